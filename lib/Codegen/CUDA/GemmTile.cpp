//===- GemmTile.cpp - The shape of tensor-core GEMMs ----------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "GemmTile.h"
#include "MbarrierRing.h"
#include "OrderedBarrier.h"
#include "TileScheduler.h"

#include <tuple>

using namespace llvm;

namespace moe::codegen::cuda {

GemmSharedMemory::GemmSharedMemory(const GemmTile &tile) {
  // A few panels of 64 columns, one at least: what does not fit goes in turns.
  constexpr int64_t kEnoughStagingBytes = 16 * 1024;
  int64_t panel = (tile.swapAB ? tile.tileM : kMmaM) * kPanelRowBytes;
  int64_t panels = tile.swapAB ? kWeightBoxes : tile.tileN / kPanelColumns;
  stagingBytes =
      panel * std::clamp<int64_t>(kEnoughStagingBytes / panel, 1, panels);
  staging = tile.stages * tile.getStageBytes();
  tiles = staging + (tile.storesInOrder() ? 1 : tile.consumers) * stagingBytes;
  barriers = tiles + tile.stages * OutputTile::kValues * sizeof(int32_t);
  order = barriers + MbarrierRing::getBytes(tile.stages);
  bytes = order + OrderedBarrier::getBytes(tile.consumers);
}

SmallVector<int64_t> GemmTile::getHeights() const {
  SmallVector<int64_t> heights;
  for (int64_t height = std::max(stepM, tileM - 2 * stepM); height <= tileM;
       height += stepM)
    heights.push_back(height);
  return heights;
}

int64_t GemmTile::getConsumerRegisters(const Chip &chip,
                                       int64_t ofProducer) const {
  int64_t unit = chip.registerUnit;
  // A block starts with as many for each thread, and can share out no others:
  // it would wait for them forever.
  int64_t atStart =
      alignDown(chip.registers / (getThreads() * residentBlocks), unit);
  int64_t left = atStart * (1 + consumers) - ofProducer;
  return std::min<int64_t>(alignDown(left / consumers, unit),
                           chip.threadRegisters);
}

bool GemmTile::operator==(const GemmTile &other) const {
  auto fields = [](const GemmTile &tile) {
    return std::tie(tile.tileM, tile.stepM, tile.tileN, tile.stages,
                    tile.consumers, tile.swapAB, tile.residentBlocks,
                    tile.cluster);
  };
  return fields(*this) == fields(other);
}

std::string GemmTile::findProblem(const Chip &chip) const {
  auto expected = [](const Twine &what, int64_t found) {
    return ("expected " + what + " but got " + Twine(found)).str();
  };
  constexpr int64_t kMostConsumers = 2, kMostResidentBlocks = 2;
  if (consumers < 1 || consumers > kMostConsumers)
    return expected("consumers of 1 or 2", consumers);
  if (residentBlocks < 1 || residentBlocks > kMostResidentBlocks)
    return expected("resident_blocks of 1 or 2", residentBlocks);
  // TMA takes boxes of up to 256 rows, no less than a product takes columns.
  if (swapAB) {
    if (stepM < 1 || stepM % 16 != 0)
      return expected("row_step (or else rows) a multiple of 16", stepM);
    if (tileM > chip.mmaColumns)
      return expected("rows of at most " + Twine(chip.mmaColumns), tileM);
    int64_t each = kWeightBoxes * kMmaM;
    if (tileN != consumers * each)
      return expected("weights = " + Twine(each) +
                          " * consumers = " + Twine(consumers * each),
                      tileN);
  } else {
    if (tileM != consumers * kMmaM || stepM != tileM)
      return expected("rows = " + Twine(kMmaM) +
                          " * consumers = " + Twine(consumers * kMmaM),
                      tileM);
    if (tileN % 128 != 0 || tileN > chip.mmaColumns)
      return expected("weights of 128 or 256", tileN);
  }
  if (cluster != 1 && (cluster != kWeightBoxes || !chip.hasClusters))
    return expected("cluster of 1" + Twine(chip.hasClusters ? " or 2" : ""),
                    cluster);
  if (tileM % stepM != 0)
    return expected("rows a multiple of row_step = " + Twine(stepM), tileM);
  if (stages < 2)
    return expected("stages of at least 2", stages);
  // Before products: a tile with thousands of stages has no size to speak of.
  if (int64_t most = chip.sharedBytes / getStageBytes(); stages > most)
    return expected("stages of at most " + Twine(most) + ", of " +
                        Twine(getStageBytes()) + " bytes each,",
                    stages);
  int64_t bytes = GemmSharedMemory(*this).bytes * residentBlocks;
  if (bytes > chip.sharedBytes)
    return expected("at most " + Twine(chip.sharedBytes) +
                        " bytes of shared memory",
                    bytes);
  // A warpgroup holds its sums, beside what else it needs.
  int64_t sums = getAccumulators() * getMmaN(tileM) / 2;
  int64_t most = getConsumerRegisters(chip, chip.copyingRegisters) -
                 chip.consumerRegisters;
  if (sums > most)
    return expected("sums in at most " + Twine(most) + " registers of a thread",
                    sums);
  return "";
}

} // namespace moe::codegen::cuda
