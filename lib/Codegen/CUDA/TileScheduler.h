//===- TileScheduler.h - Which tiles of the output a block does -*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_LIB_CODEGEN_CUDA_TILESCHEDULER_H
#define MOE_MLIR_LIB_CODEGEN_CUDA_TILESCHEDULER_H

#include "KernelBuilder.h"

namespace moe::codegen::cuda {

/// A tile of the output: all i32.
struct OutputTile {
  Expr expert;   ///< 0 where there are no experts; negative: no tile.
  Expr firstRow; ///< The tile's rows are [firstRow, endRow).
  Expr endRow;
  Expr column; ///< The tile's first column.

  Exprs values() const { return {expert, firstRow, endRow, column}; }
  static OutputTile from(llvm::ArrayRef<Expr> values) {
    return {values[0], values[1], values[2], values[3]};
  }
  static constexpr int64_t kValues = 4;
};

/// Deals the tiles of an output [rows, columns] to the blocks of a persistent
/// grid: in each round every block gets one, and from round to round they swap
/// places, so that no block gets all the low tiles. With experts, the rows of
/// expert e are [offsets[e], offsets[e + 1]), and tiles do not reach over their
/// ends. Tiles are as few as can be, and those of an expert as high as its rows
/// need in steps, none more than a step higher than another.
///
/// The blocks of a cluster get tiles of the same columns and expert that follow
/// each other, at the same time: tiles of an expert are a multiple of them, and
/// the last may have no rows (endRow <= firstRow).
class TileScheduler {
public:
  /// Tiles of up to `tileRows`, in steps of `rowStep`, by `tileColumns`.
  TileScheduler(KernelBuilder &k, int64_t tileRows, int64_t rowStep,
                int64_t tileColumns, int64_t columns, int64_t cluster = 1)
      : k(k), tileRows(tileRows), rowStep(rowStep), tileColumns(tileColumns),
        columnTiles(llvm::divideCeil(columns, tileColumns)), cluster(cluster) {}
  TileScheduler(KernelBuilder &k, int64_t tileRows, int64_t tileColumns,
                int64_t columns)
      : TileScheduler(k, tileRows, tileRows, tileColumns, columns) {}

  /// Calls `body` for the block's tiles, carrying values from one to the next.
  /// To be called by whole warps; all lanes get the same tiles.
  using Body =
      llvm::function_ref<Exprs(const OutputTile &, llvm::ArrayRef<Expr>)>;
  Exprs forEachTile(Expr rows, llvm::ArrayRef<Expr> init, Body body);
  Exprs forEachTileOfExperts(const Buffer &expertOffsets,
                             llvm::ArrayRef<Expr> init, Body body);

private:
  /// The block's tile of those that the cluster gets as number `index` of the
  /// rectangle of rows [firstRow, endRow) and all columns.
  OutputTile place(Expr expert, Expr firstRow, Expr endRow, Expr index);
  /// Where a cluster is: the number of its next tiles, and which of the round's
  /// that is.
  static constexpr int64_t kCursor = 2;
  Exprs begin() { return {k.block() / cluster, k.block() / cluster}; }
  Exprs advance(llvm::ArrayRef<Expr> cursor);
  /// How often a cluster takes tiles of so many rows, down the rows and at all.
  Expr countDown(Expr rows) { return ceilDiv(rows, tileRows * cluster); }
  Expr countTiles(Expr rows) { return countDown(rows) * columnTiles; }

  KernelBuilder &k;
  int64_t tileRows, rowStep, tileColumns, columnTiles, cluster;
};

} // namespace moe::codegen::cuda

#endif // MOE_MLIR_LIB_CODEGEN_CUDA_TILESCHEDULER_H
