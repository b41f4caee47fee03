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

  auto fields() { return std::tie(expert, firstRow, endRow, column); }
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

  /// Calls `body(tile, state)` for the block's tiles, which hands back the
  /// state for the next one. To be called by whole warps; all lanes get the
  /// same tiles.
  template <typename State, typename Body>
  State forEachTile(Expr rows, State init, const Body &body) {
    Expr zero = k.i32(0), total = countTiles(rows);
    auto isTile = [&](const Walk<State> &at) {
      return at.cursor.index < total;
    };
    auto next = [&](const Walk<State> &at) {
      Cursor after = advance(at.cursor);
      OutputTile tile = place(zero, zero, rows, at.cursor.index);
      return Walk<State>{after, body(tile, at.state)};
    };
    return k.whileTrue(Walk<State>{begin(), init}, isTile, next).state;
  }
  template <typename State, typename Body>
  State forEachTileOfExperts(const Buffer &expertOffsets, State init,
                             const Body &body) {
    // A warp looks at one expert per lane at a time, and counts tiles from the
    // first of these experts.
    Expr experts = k.dim(expertOffsets, 0) - 1;
    auto walkWindow = [&](Expr first, const Walk<State> &from) {
      ExpertWindow window = lookAt(expertOffsets, experts, first);
      auto isTile = [&](const Walk<State> &at) {
        return at.cursor.index < window.total;
      };
      auto next = [&](const Walk<State> &at) {
        OutputTile tile = place(window, at.cursor.index);
        Cursor after = advance(at.cursor);
        return Walk<State>{after, body(tile, at.state)};
      };
      Walk<State> end = k.whileTrue(from, isTile, next);
      end.cursor.index = end.cursor.index - window.total;
      return end;
    };
    return k
        .forEach(k.i32(0), experts, k.i32(kWarpSize),
                 Walk<State>{begin(), init}, walkWindow)
        .state;
  }

private:
  /// Where a cluster is: the number of its next tiles, and which of the round's
  /// that is.
  struct Cursor {
    Expr index, slot;
    auto fields() { return std::tie(index, slot); }
  };
  template <typename State> struct Walk {
    Cursor cursor;
    State state;
    auto fields() { return std::tie(cursor, state); }
  };
  /// As many experts as a warp has lanes, a lane's own each.
  struct ExpertWindow {
    Expr first;      ///< The first lane's.
    Expr begin, end; ///< Rows of the lane's expert.
    Expr tiles;      ///< Of the lane's expert.
    Expr upTo;       ///< Of this expert and those before it.
    Expr total;      ///< Of all lanes.
  };

  /// The block's tile of those that the cluster gets as number `index` of the
  /// rectangle of rows [firstRow, endRow) and all columns.
  OutputTile place(Expr expert, Expr firstRow, Expr endRow, Expr index);
  /// The same for number `index` of a window's experts.
  OutputTile place(const ExpertWindow &window, Expr index);
  ExpertWindow lookAt(const Buffer &expertOffsets, Expr experts, Expr first);
  Cursor begin() { return {k.block() / cluster, k.block() / cluster}; }
  Cursor advance(const Cursor &cursor);
  /// How often a cluster takes tiles of so many rows, down the rows and at all.
  Expr countDown(Expr rows) { return ceilDiv(rows, tileRows * cluster); }
  Expr countTiles(Expr rows) { return countDown(rows) * columnTiles; }

  KernelBuilder &k;
  int64_t tileRows, rowStep, tileColumns, columnTiles, cluster;
};

} // namespace moe::codegen::cuda

#endif // MOE_MLIR_LIB_CODEGEN_CUDA_TILESCHEDULER_H
