//===- GemmTile.h - The shape of tensor-core GEMMs --------------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// What fits into a chip. Which tiles are chosen: GemmRecipe.h.
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_LIB_CODEGEN_CUDA_GEMMTILE_H
#define MOE_MLIR_LIB_CODEGEN_CUDA_GEMMTILE_H

#include "moe-mlir/Codegen/CUDA/Target.h"

#include "mlir/IR/Types.h"
#include "llvm/ADT/SmallVector.h"
#include <string>

namespace moe::codegen::cuda {

/// Threads of a warpgroup.
inline constexpr int64_t kWarpgroup = 128;
/// Lines of the output along M that a warpgroup has of one product.
inline constexpr int64_t kMmaM = 64;
/// A panel is what one stage has of an operand: rows of so many bytes, the
/// width of the swizzle.
inline constexpr int64_t kPanelRowBytes = 128;
/// The swizzle moves the 16-byte chunks of a row within it: chunk c of row r
/// lies at place c xor (r mod 8).
inline constexpr int64_t kChunkBytes = 16;
/// The weights of a tile are two boxes of rows: gates and ups of the same
/// columns, or neighbours.
inline constexpr int64_t kWeightBoxes = 2;
/// Columns of an output of two bytes an element in a row of a panel.
inline constexpr int64_t kPanelColumns = kPanelRowBytes / 2;

/// Tile K: elements of an operand in one stage, a row of a panel.
inline int64_t getStageDepth(mlir::Type element) {
  return kPanelRowBytes * 8 / element.getIntOrFloatBitWidth();
}

/// How a block computes y [M, N] = x [M, K] * w [N, K]^T on tensor cores: one
/// warpgroup, the producer, loads stages of x and w, the consumers multiply.
///
/// With swap-AB the weights are the side of the product that has 64 lines and
/// the rows of x the one that may have as few as 8: right where few rows meet
/// many weights, and where their number differs from tile to tile. Such a tile
/// is as high as its rows need, in steps of `stepM`; what is left out is not
/// loaded nor, down to the lowest of getHeights(), computed.
///
/// In a cluster, blocks take neighbouring tiles with the same weights, of which
/// each loads a box for all (multicast).
struct GemmTile {
  int64_t tileM; ///< Rows of x, at most.
  int64_t stepM; ///< A divisor of tileM; without swap-AB, tileM itself.
  int64_t tileN; ///< Rows of w, in kWeightBoxes boxes.
  int64_t stages;
  int64_t consumers; ///< Warpgroups that multiply.
  bool swapAB;
  int64_t residentBlocks; ///< Of one multiprocessor.
  int64_t cluster = 1;    ///< Blocks: 1, or as many as boxes.

  int64_t getThreads() const { return (1 + consumers) * kWarpgroup; }
  int64_t getRowBytes() const { return tileM * kPanelRowBytes; }
  int64_t getWeightBytes() const { return tileN * kPanelRowBytes; }
  int64_t getStageBytes() const { return getRowBytes() + getWeightBytes(); }
  /// Rows of w in one box.
  int64_t getBoxRows() const { return tileN / kWeightBoxes; }
  /// Columns of the output that a tile has; a gated activation makes one of
  /// both boxes.
  int64_t getColumns(bool isGated) const {
    return isGated ? getBoxRows() : tileN;
  }
  /// Accumulators that a warpgroup holds: one, or with swap-AB one per box.
  int64_t getAccumulators() const { return swapAB ? kWeightBoxes : 1; }
  /// N of the products of a tile of `height` rows.
  int64_t getMmaN(int64_t height) const { return swapAB ? height : tileN; }
  /// The heights that there is code for, rising: three at most.
  llvm::SmallVector<int64_t> getHeights() const;
  /// Whether the consumers store their results one by one, in the same memory,
  /// which leaves more of it for stages. From their first turn on they are some
  /// steps apart, and one multiplies while the other stores.
  bool storesInOrder() const { return swapAB && consumers > 1; }

  /// Registers that a consumer's thread may have, if one of the producer has
  /// `ofProducer`.
  int64_t getConsumerRegisters(const Chip &chip, int64_t ofProducer) const;

  bool operator==(const GemmTile &other) const;
  /// What does not fit together or into the chip: what was expected and found,
  /// by the names of `#moe.gemm_tile`, or "".
  std::string findProblem(const Chip &chip) const;
  bool isValid(const Chip &chip) const { return findProblem(chip).empty(); }
};

/// Where the parts of a block's dynamic shared memory begin. The stages come
/// first.
struct GemmSharedMemory {
  explicit GemmSharedMemory(const GemmTile &tile);

  int64_t staging;      ///< For the results of the consumers; see Epilogue.
  int64_t stagingBytes; ///< Of one consumer.
  int64_t tiles;        ///< One OutputTile per stage.
  int64_t barriers;     ///< Of the ring.
  int64_t order;        ///< Of the consumers, to store results.
  int64_t bytes;        ///< Of it all.
};

} // namespace moe::codegen::cuda

#endif // MOE_MLIR_LIB_CODEGEN_CUDA_GEMMTILE_H
