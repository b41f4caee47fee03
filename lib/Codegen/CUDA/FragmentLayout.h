//===- FragmentLayout.h - Whose sums are where ------------------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Tensor cores deal results to threads in matrices of 8 x 8: wgmma, mma.sync
// and, read back as 16x256b, tcgen05. The thread t of a warpgroup holds, for
// each block j of eight lines along the instruction's N, the four elements
//
//   M = 64 * warpgroup + 16 * (t / 32) + (t % 32) / 4 + 8 * h
//   N = 8 * j + 2 * (t % 4) + b                               h, b in {0, 1}
//
// M are rows of the output and N its columns or, with swap-AB, the other way
// round. The epilogue asks here, and does not know which.
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_LIB_CODEGEN_CUDA_FRAGMENTLAYOUT_H
#define MOE_MLIR_LIB_CODEGEN_CUDA_FRAGMENTLAYOUT_H

#include "GemmTile.h"
#include "KernelBuilder.h"

namespace moe::codegen::cuda {

/// Sides of the output.
enum class Axis { Row, Column };

/// The elements of a tile of the output that one warpgroup has.
class FragmentLayout {
public:
  /// Blocks [first, first + count) of the sums that belong to one box of the
  /// weights and on, whose lines along M are the same.
  struct Part {
    int64_t box, first, count;
  };

  /// Of the tile `height` rows are computed. `consumer` is the number of the
  /// warpgroup and `thread` that of the thread in it.
  FragmentLayout(KernelBuilder &k, const GemmTile &tile, int64_t height,
                 Expr consumer, Expr thread)
      : k(k), tile(tile), height(height), consumer(consumer), thread(thread) {}

  /// The side along which M goes, and that along which N goes. Along N a thread
  /// has pairs of neighbours: (b = 0, b = 1).
  Axis getAxisOfM() const { return tile.swapAB ? Axis::Column : Axis::Row; }
  Axis getAxisOfN() const { return tile.swapAB ? Axis::Row : Axis::Column; }

  /// All that the warpgroup has, of as many columns as the output has. Gated,
  /// the second box of the weights gives no columns of its own.
  llvm::SmallVector<Part> getParts(bool isGated) const;
  /// The same in parts of 64 columns of the output.
  llvm::SmallVector<Part> getPanels(bool isGated) const;
  /// Rows of a panel, and the row and column of its first element in the tile.
  int64_t getPanelRows() const { return tile.swapAB ? height : kMmaM; }
  Expr firstRowOf(const Part &panel) const;
  Expr firstColumnOf(const Part &panel) const;

  /// The place in the tile, along the side of M or N, of the thread's elements
  /// (h, .) of a part or (., b) of block j.
  Expr alongM(const Part &part, int64_t h) const;
  Expr alongN(int64_t j, int64_t b) const;
  /// The row and the column of an element in the tile.
  Expr rowOf(const Part &part, int64_t j, int64_t h, int64_t b) const;
  Expr columnOf(const Part &part, int64_t j, int64_t h, int64_t b) const;

private:
  KernelBuilder &k;
  const GemmTile &tile;
  int64_t height;
  Expr consumer, thread;
};

} // namespace moe::codegen::cuda

#endif // MOE_MLIR_LIB_CODEGEN_CUDA_FRAGMENTLAYOUT_H
