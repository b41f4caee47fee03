//===- GemmStage.h - Where operands lie in shared memory --------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_LIB_CODEGEN_CUDA_GEMMSTAGE_H
#define MOE_MLIR_LIB_CODEGEN_CUDA_GEMMSTAGE_H

#include "GemmTile.h"
#include "KernelBuilder.h"

namespace moe::codegen::cuda {

/// One stage of a block's dynamic shared memory: the panels of the rows, and
/// behind them those of the boxes of the weights. A panel is a part of K: rows
/// of 128 bytes, one after the other, with the 128-byte swizzle, aligned to
/// 1024 bytes.
class GemmStage {
public:
  /// `number` (i32) is that of the stage.
  GemmStage(KernelBuilder &k, const GemmTile &tile, Expr number)
      : k(k), tile(tile), number(number) {}

  /// The address of row `row` of the tile's rows, a multiple of 8.
  Expr rows(int64_t row = 0) const { return at(row * kPanelRowBytes); }
  /// The address of a box of the weights.
  Expr weights(int64_t box) const {
    return at(tile.getRowBytes() + box * tile.getBoxRows() * kPanelRowBytes);
  }

private:
  Expr at(int64_t offset) const {
    Array stages =
        k.dynamicShared(0, {tile.stages, tile.getStageBytes()}, k.getI8Type());
    return k.address(stages, {number, k.i32(offset)});
  }

  KernelBuilder &k;
  const GemmTile &tile;
  Expr number;
};

} // namespace moe::codegen::cuda

#endif // MOE_MLIR_LIB_CODEGEN_CUDA_GEMMSTAGE_H
