//===- GemmTile.cpp - The shape of tensor-core GEMMs ----------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "GemmTile.h"
#include "MbarrierRing.h"
#include "TileScheduler.h"

namespace moe::codegen::cuda {

GemmSharedMemory::GemmSharedMemory(const GemmTile &tile) {
  // Two or four panels of 64 columns; what does not fit goes in turns.
  constexpr int64_t kMaxStagingBytes = 16 * 1024;
  int64_t results = tile.swapped ? kWeightBoxes * tile.getRowBytes()
                                 : tile.weights / 64 * 64 * kPanelRowBytes;
  stagingBytes = std::min(results, kMaxStagingBytes);
  staging = tile.stages * tile.getStageBytes();
  tiles = staging + tile.consumers * stagingBytes;
  barriers = tiles + tile.stages * OutputTile::kValues * sizeof(int32_t);
  bytes = barriers + MbarrierRing::getBytes(tile.stages);
}

bool GemmTile::isValid(const Target &target) const {
  bool fits = swapped ? rows % 16 == 0 && rows <= 256 &&
                            getBoxRows() == consumers * kWgmmaRows
                      : weights % 128 == 0 && weights <= 256 &&
                            rows == consumers * kWgmmaRows;
  return fits && stages >= 2 &&
         GemmSharedMemory(*this).bytes * residentBlocks <= target.sharedBytes;
}

} // namespace moe::codegen::cuda
