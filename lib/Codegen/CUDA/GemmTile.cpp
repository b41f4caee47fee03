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
#include "Turns.h"

#include <limits>
#include <tuple>

using namespace llvm;

namespace moe::codegen::cuda {

GemmSharedMemory::GemmSharedMemory(const GemmTile &tile) {
  // A few panels of 64 columns, one at least: what does not fit goes in turns.
  constexpr int64_t kEnoughStagingBytes = 16 * 1024;
  int64_t panel = (tile.swapped ? tile.rows : kWgmmaRows) * kPanelRowBytes;
  int64_t panels = tile.swapped ? kWeightBoxes : tile.weights / kStageDepth;
  stagingBytes =
      panel * std::clamp<int64_t>(kEnoughStagingBytes / panel, 1, panels);
  staging = tile.stages * tile.getStageBytes();
  tiles = staging + (tile.storesInTurn() ? 1 : tile.consumers) * stagingBytes;
  barriers = tiles + tile.stages * OutputTile::kValues * sizeof(int32_t);
  turns = barriers + MbarrierRing::getBytes(tile.stages);
  bytes = turns + Turns::getBytes(tile.consumers);
}

int64_t GemmTile::getConsumerRegisters(int64_t ofProducer) const {
  constexpr int64_t kRegisters = 64 * 1024, kUnit = 8, kMost = 240;
  // A block starts with as many for each thread, and can share out no others:
  // it would wait for them forever.
  int64_t atStart =
      alignDown(kRegisters / (getThreads() * residentBlocks), kUnit);
  int64_t left = atStart * (1 + consumers) - ofProducer;
  return std::min<int64_t>(alignDown(left / consumers, kUnit), kMost);
}

bool GemmTile::operator==(const GemmTile &other) const {
  auto fields = [](const GemmTile &tile) {
    return std::tie(tile.rows, tile.rowStep, tile.weights, tile.stages,
                    tile.consumers, tile.swapped, tile.residentBlocks,
                    tile.cluster);
  };
  return fields(*this) == fields(other);
}

std::string GemmTile::findProblem(const Target &target) const {
  auto expected = [](const Twine &what, int64_t found) {
    return ("expected " + what + " but got " + Twine(found)).str();
  };
  // wgmma takes up to 256 columns, and TMA boxes of as many rows.
  constexpr int64_t kMostColumns = 256, kMostConsumers = 2;
  constexpr int64_t kMostResidentBlocks = 2;
  if (consumers < 1 || consumers > kMostConsumers)
    return expected("consumers of 1 or 2", consumers);
  if (residentBlocks < 1 || residentBlocks > kMostResidentBlocks)
    return expected("resident_blocks of 1 or 2", residentBlocks);
  if (swapped) {
    if (rowStep < 1 || rowStep % 16 != 0)
      return expected("row_step (or else rows) a multiple of 16", rowStep);
    if (rows > kMostColumns)
      return expected("rows of at most 256", rows);
    int64_t each = kWeightBoxes * kWgmmaRows;
    if (weights != consumers * each)
      return expected("weights = " + Twine(each) +
                          " * consumers = " + Twine(consumers * each),
                      weights);
  } else {
    if (rows != consumers * kWgmmaRows || rowStep != rows)
      return expected("rows = " + Twine(kWgmmaRows) +
                          " * consumers = " + Twine(consumers * kWgmmaRows),
                      rows);
    if (weights % 128 != 0 || weights > kMostColumns)
      return expected("weights of 128 or 256", weights);
  }
  if (cluster != 1 && cluster != kWeightBoxes)
    return expected("cluster of 1 or " + Twine(kWeightBoxes), cluster);
  if (rows % rowStep != 0)
    return expected("rows a multiple of row_step = " + Twine(rowStep), rows);
  if (stages < 2)
    return expected("stages of at least 2", stages);
  // Before products: a tile with thousands of stages has no size to speak of.
  if (int64_t most = target.sharedBytes / getStageBytes(); stages > most)
    return expected("stages of at most " + Twine(most) + ", of " +
                        Twine(getStageBytes()) + " bytes each,",
                    stages);
  int64_t bytes = GemmSharedMemory(*this).bytes * residentBlocks;
  if (bytes > target.sharedBytes)
    return expected("at most " + Twine(target.sharedBytes) +
                        " bytes of shared memory",
                    bytes);
  // A warpgroup holds its sums; addresses and the epilogue need some more.
  constexpr int64_t kRegistersBesideSums = 32, kMostOfProducer = 56;
  int64_t sums = getAccumulators() * getWgmmaColumns(rows) / 2;
  int64_t most = getConsumerRegisters(kMostOfProducer) - kRegistersBesideSums;
  if (sums > most)
    return expected("sums in at most " + Twine(most) + " registers of a thread",
                    sums);
  return "";
}

//===----------------------------------------------------------------------===//
// The choice
//===----------------------------------------------------------------------===//

// Rows, step, weights, stages, consumers, swapped, resident blocks, cluster.
/// Experts, whose weights are read once for every tile: as high as leaves room
/// for four stages; the same in pairs that share the weights; and as high as
/// registers allow.
static constexpr GemmTile kTileOfExperts{144, 16, 256, 4, 2, true, 1};
static constexpr GemmTile kPairOfExperts{144, 16, 256, 4, 2, true, 1, 2};
static constexpr GemmTile kHighTileOfExperts{192, 32, 256, 3, 2, true, 1};
/// Dense products that read weights past few rows.
static constexpr GemmTile kFewRows{64, 32, 128, 4, 1, true, 2};
/// Dense products, of too few tiles or enough for all multiprocessors.
static constexpr GemmTile kFewTiles{128, 128, 128, 6, 2, false, 1};
static constexpr GemmTile kManyTiles{128, 128, 256, 4, 2, false, 1};

/// Cycles that a dense product takes, roughly: every multiprocessor works off
/// its tiles, at the speed of its tensor cores or of what L2 sends it.
static double estimateCycles(const Target &target, const GemmShape &shape,
                             const GemmTile &tile, int64_t rows) {
  constexpr double kProductsPerCycle = 2048, kBytesPerCycle = 45;
  constexpr double kCyclesPerTile = 2000; // Filling the ring, and the epilogue.
  int64_t rowTiles = divideCeil(rows, tile.rows);
  int64_t height = alignTo(divideCeil(rows, rowTiles), tile.rowStep);
  int64_t tiles = rowTiles * divideCeil(shape.weights, tile.weights);
  double steps = divideCeil(shape.depth, kStageDepth);
  double products = height * tile.weights * kStageDepth / kProductsPerCycle;
  double loads = (height + tile.weights) * kPanelRowBytes / kBytesPerCycle;
  double cycles = steps * std::max(products, loads) + kCyclesPerTile;
  return cycles * divideCeil(tiles, target.multiprocessors);
}

SmallVector<GemmChoice> chooseGemmTiles(const Target &target,
                                        const GemmShape &shape) {
  constexpr int64_t kAll = std::numeric_limits<int64_t>::max();
  SmallVector<GemmChoice> choices;
  auto add = [&](int64_t mostRows, GemmTile tile) {
    // Without staging, branches for heights cost registers that are not there.
    if (!shape.isStaged)
      tile.rowStep = tile.rows;
    if (!choices.empty() && choices.back().tile == tile)
      choices.back().mostRows = mostRows;
    else
      choices.push_back({mostRows, tile});
  };
  if (shape.hasExperts) {
    // By the rows of the average expert: one tile is enough for nearly all
    // experts, then one pair or high tile, then two tiles; and of many rows
    // any tile is full. Measured, on one H100 and one H200: pairs won where
    // rows are gathered, high tiles elsewhere.
    auto fit = [&](GemmTile tile) {
      tile.rows = std::min(tile.rows, shape.mostTileRows);
      return tile;
    };
    GemmTile one = fit(kTileOfExperts), pair = fit(kPairOfExperts);
    GemmTile high = fit(kHighTileOfExperts);
    if (shape.isGathered) {
      add(136, one);
      add(264, pair);
      add(352, one);
      add(kAll, pair);
    } else {
      add(112, one);
      add(172, high);
      add(480, one);
      add(kAll, high);
    }
    return choices;
  }
  for (int64_t rows :
       {32, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048, 4096}) {
    auto best = std::min({kFewRows, kFewTiles, kManyTiles},
                         [&](const GemmTile &a, const GemmTile &b) {
                           return estimateCycles(target, shape, a, rows) <
                                  estimateCycles(target, shape, b, rows);
                         });
    add(rows, best);
  }
  add(kAll, kManyTiles);
  return choices;
}

} // namespace moe::codegen::cuda
