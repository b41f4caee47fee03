//===- GatherProducer.h - Scattered rows in shared memory -------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_LIB_CODEGEN_CUDA_GATHERPRODUCER_H
#define MOE_MLIR_LIB_CODEGEN_CUDA_GATHERPRODUCER_H

#include "TileScheduler.h"
#include "Wgmma.h"

namespace moe::codegen::cuda {

/// Copies rows that an index each names to panels in shared memory, by the 128
/// threads of a warpgroup, eight of which bring a row of a panel. TMA cannot
/// gather rows on this architecture; these copies pass the registers by, too.
class GatherProducer {
public:
  /// Row r of the output reads row sourceRows[r] of `rows` [R, K], whose
  /// elements have two bytes. Tiles are high up to `tileRows`, in steps of
  /// `rowStep`.
  GatherProducer(KernelBuilder &k, const Buffer &rows, const Buffer &sourceRows,
                 int64_t tileRows, int64_t rowStep)
      : k(k), rows(rows), sourceRows(sourceRows), tileRows(tileRows),
        rowStep(rowStep) {}

  /// Looks up the rows of a tile. Those of its last step beyond its end are the
  /// last row again.
  void begin(const OutputTile &tile);
  /// Starts the copies of elements [64 * step, 64 * step + 64) of each row to
  /// `panel`, and lets the thread arrive at `barrier` when its own are done.
  void load(Expr step, Expr panel, Expr barrier);

private:
  /// Rows that the warpgroup brings at once.
  static constexpr int64_t kRowsAtOnce =
      kWarpgroup * kChunkBytes / kPanelRowBytes;

  KernelBuilder &k;
  const Buffer &rows, &sourceRows;
  int64_t tileRows, rowStep;
  Expr count; ///< Rows of the tile.
  /// Where the thread's chunk of each of its rows begins.
  llvm::SmallVector<Expr> sources;
};

} // namespace moe::codegen::cuda

#endif // MOE_MLIR_LIB_CODEGEN_CUDA_GATHERPRODUCER_H
