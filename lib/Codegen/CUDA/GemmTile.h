//===- GemmTile.h - The shape of tensor-core GEMMs --------------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_LIB_CODEGEN_CUDA_GEMMTILE_H
#define MOE_MLIR_LIB_CODEGEN_CUDA_GEMMTILE_H

#include "Wgmma.h"
#include "moe-mlir/Codegen/CUDA/Target.h"

namespace moe::codegen::cuda {

/// The weights of a tile are two boxes of rows: gates and ups of the same
/// columns, or neighbours.
inline constexpr int64_t kWeightBoxes = 2;
/// Elements of K in one stage: a row of a panel.
inline constexpr int64_t kStageDepth = kPanelRowBytes / 2;

/// How a block computes y [T, N] = x [T, K] * w [N, K]^T on tensor cores: one
/// warpgroup loads stages of x and w, the others multiply.
///
/// `swapped` puts the weights on the side of wgmma that has 64 rows and the
/// rows of x on the one that may have as few as 8: right where few rows meet
/// many weights, and where their number differs from tile to tile. A swapped
/// tile is as high as its rows need, in steps of `rowStep`; what is left out is
/// not loaded nor, down to getLeastHeight(), computed.
///
/// In a cluster, blocks take neighbouring tiles with the same weights, of which
/// each loads a box for all.
struct GemmTile {
  int64_t rows;    ///< Of x, at most.
  int64_t rowStep; ///< A divisor of `rows`; of a tile not swapped, all of them.
  int64_t weights; ///< Rows of w, in kWeightBoxes boxes.
  int64_t stages;
  int64_t consumers; ///< Warpgroups that multiply.
  bool swapped;
  int64_t residentBlocks; ///< Of one multiprocessor.
  int64_t cluster = 1;    ///< Blocks: 1, or as many as boxes.

  int64_t getThreads() const { return (1 + consumers) * kWarpgroup; }
  int64_t getRowBytes() const { return rows * kPanelRowBytes; }
  int64_t getWeightBytes() const { return weights * kPanelRowBytes; }
  int64_t getStageBytes() const { return getRowBytes() + getWeightBytes(); }
  /// Rows of w in one box.
  int64_t getBoxRows() const { return weights / kWeightBoxes; }
  /// Sums that a warpgroup holds: one, or when swapped one per box.
  int64_t getAccumulators() const { return swapped ? kWeightBoxes : 1; }
  /// Rows that the lowest tile multiplies: there are three heights at most, for
  /// each is code of its own.
  int64_t getLeastHeight() const {
    return std::max(rowStep, rows - 2 * rowStep);
  }
  /// Whether the consumers store their results one by one, in the same memory,
  /// which leaves more of it for stages. From their first turn on they are some
  /// steps apart, and one multiplies while the other stores.
  bool storesInTurn() const { return swapped && consumers > 1; }
  /// Columns of wgmma in a tile of `height` rows.
  int64_t getWgmmaColumns(int64_t height) const {
    return swapped ? height : weights;
  }

  /// Registers that a thread that multiplies may have, if one that loads has
  /// `ofProducer`.
  int64_t getConsumerRegisters(int64_t ofProducer) const;

  bool operator==(const GemmTile &other) const;
  /// What does not fit together or into the target: what was expected and
  /// found, or "".
  std::string findProblem(const Target &target) const;
  bool isValid(const Target &target) const {
    return findProblem(target).empty();
  }
};

/// What decides about tiles: a product with `weights` rows of weights (of one
/// expert) of `depth` elements.
struct GemmShape {
  int64_t weights, depth;
  bool hasExperts;
  bool isGathered; ///< Rows of x are scattered.
  bool isStaged;   ///< Outputs of two bytes an element; see GemmEpilogue.
  /// Rows of a tile whose sums leave the epilogue the registers that it needs.
  int64_t mostTileRows;
};

/// A tile, and the rows (with experts: of the average one) up to which to use
/// it.
struct GemmChoice {
  int64_t mostRows;
  GemmTile tile;
};

/// Tiles for few to many rows; the last is for all numbers that are left.
llvm::SmallVector<GemmChoice> chooseGemmTiles(const Target &target,
                                              const GemmShape &shape);

/// Where the parts of a block's dynamic shared memory begin.
struct GemmSharedMemory {
  explicit GemmSharedMemory(const GemmTile &tile);

  int64_t staging;      ///< For the results of the consumers; see GemmEpilogue.
  int64_t stagingBytes; ///< Of one consumer.
  int64_t tiles;        ///< One OutputTile per stage.
  int64_t barriers;     ///< Of the ring.
  int64_t turns;        ///< Of the consumers, to store results.
  int64_t bytes;        ///< Of it all.
};

} // namespace moe::codegen::cuda

#endif // MOE_MLIR_LIB_CODEGEN_CUDA_GEMMTILE_H
