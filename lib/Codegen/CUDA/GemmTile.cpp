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
  // A few panels of 64 columns, one at least: what does not fit goes in turns.
  constexpr int64_t kEnoughStagingBytes = 16 * 1024;
  int64_t panel = (tile.swapped ? tile.rows : kWgmmaRows) * kPanelRowBytes;
  int64_t panels = tile.swapped ? kWeightBoxes : tile.weights / kStageDepth;
  stagingBytes =
      panel * std::clamp<int64_t>(kEnoughStagingBytes / panel, 1, panels);
  staging = tile.stages * tile.getStageBytes();
  tiles = staging + tile.consumers * stagingBytes;
  barriers = tiles + tile.stages * OutputTile::kValues * sizeof(int32_t);
  bytes = barriers + MbarrierRing::getBytes(tile.stages);
}

int64_t GemmTile::getConsumerRegisters(int64_t ofProducer) const {
  constexpr int64_t kRegisters = 64 * 1024, kUnit = 8, kMost = 240;
  // A block starts with as many for each thread, and can share out no others:
  // it would wait for them forever.
  int64_t atStart =
      llvm::alignDown(kRegisters / (getThreads() * residentBlocks), kUnit);
  int64_t left = atStart * (1 + consumers) - ofProducer;
  return std::min<int64_t>(llvm::alignDown(left / consumers, kUnit), kMost);
}

bool GemmTile::isValid(const Target &target) const {
  bool fits = swapped ? rowStep % 16 == 0 && rows <= 256 &&
                            getBoxRows() == consumers * kWgmmaRows
                      : weights % 128 == 0 && weights <= 256 &&
                            rows == consumers * kWgmmaRows && rowStep == rows;
  return fits && rows % rowStep == 0 && stages >= 2 &&
         GemmSharedMemory(*this).bytes * residentBlocks <= target.sharedBytes;
}

} // namespace moe::codegen::cuda
