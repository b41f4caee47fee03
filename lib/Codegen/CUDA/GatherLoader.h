//===- GatherLoader.h - Scattered rows in shared memory ---------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_LIB_CODEGEN_CUDA_GATHERLOADER_H
#define MOE_MLIR_LIB_CODEGEN_CUDA_GATHERLOADER_H

#include "Loader.h"

namespace moe::codegen::cuda {

/// Copies rows that an index each names to panels in shared memory, by the 128
/// threads of the producer, eight of which bring a row of a panel. TMA cannot
/// gather rows on this architecture; these copies pass the registers by, too.
class GatherLoader : public Loader {
public:
  /// Row r of the output reads row sourceRows[r] of `rows` [R, K].
  GatherLoader(Launch &launch, mlir::Value rows, const Buffer &sourceRows,
               const GemmTile &tile);

  int64_t getArrivals() const override { return kWarpgroup; }
  /// Looks up the rows of a tile. Those of its last step beyond its end are the
  /// last row again.
  void begin(KernelBuilder &k, const OutputTile &output) override;
  void copy(KernelBuilder &k, const StageToFill &stage) const override;

private:
  const GemmTile &tile;
  Buffer rows, sourceRows;
  int64_t depth; ///< Elements of K in a stage.
  int64_t chunk; ///< Elements of a chunk.
  Expr count;    ///< Rows of the tile.
  /// Where the thread's chunk of each of its rows begins.
  llvm::SmallVector<Expr> sources;
};

} // namespace moe::codegen::cuda

#endif // MOE_MLIR_LIB_CODEGEN_CUDA_GATHERLOADER_H
