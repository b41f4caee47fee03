//===- TileScheduler.cpp - Which tiles of the output a block does ---------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "TileScheduler.h"

#include "mlir/Dialect/LLVMIR/LLVMDialect.h"

using namespace mlir;

namespace moe::codegen::cuda {

/// Tiles go down so many tile rows before they go to the next column. Blocks
/// that run at once then form a rectangle, and what they read stays in L2.
static constexpr int64_t kRasterRows = 16;

OutputTile TileScheduler::place(Expr expert, Expr firstRow, Expr endRow,
                                Expr index) {
  Expr rows = endRow - firstRow, numDown = countDown(rows);
  int64_t rasterRows = kRasterRows / cluster;
  int64_t perGroup = rasterRows * columnTiles;
  Expr firstOfGroup = index / perGroup * rasterRows;
  Expr tilesDown = min(numDown - firstOfGroup, rasterRows);
  Expr within = index % perGroup;
  Expr row = firstOfGroup + within % tilesDown;
  Expr column = within / tilesDown;
  if (cluster > 1)
    row = row * cluster + k.block() % cluster;
  Expr height = k.i32(tileRows), first = firstRow + row * tileRows;
  if (rowStep != tileRows) {
    Expr steps = ceilDiv(rows, rowStep), rowTiles = numDown * cluster;
    Expr low = steps / rowTiles, numHigh = steps % rowTiles;
    height = (low + k.select(row < numHigh, k.i32(1), k.i32(0))) * rowStep;
    first = firstRow + (row * low + min(row, numHigh)) * rowStep;
  }
  return {expert, first, min(first + height, endRow), column * tileColumns};
}

Exprs TileScheduler::advance(ArrayRef<Expr> cursor) {
  Expr slot = cursor[1] + 1, clusters = k.numBlocks() / cluster;
  slot = k.select(slot == clusters, k.i32(0), slot);
  return {cursor[0] + clusters + slot - cursor[1], slot};
}

Exprs TileScheduler::forEachTile(Expr rows, ArrayRef<Expr> init, Body body) {
  Expr zero = k.i32(0), total = countTiles(rows);
  auto isTile = [&](ArrayRef<Expr> carried) { return carried[0] < total; };
  auto next = [&](ArrayRef<Expr> carried) {
    Exprs results = advance(carried);
    llvm::append_range(results, body(place(zero, zero, rows, carried[0]),
                                     carried.drop_front(kCursor)));
    return results;
  };
  Exprs start = begin();
  llvm::append_range(start, init);
  return Exprs(llvm::drop_begin(k.whileTrue(start, isTile, next), kCursor));
}

Exprs TileScheduler::forEachTileOfExperts(const Buffer &expertOffsets,
                                          ArrayRef<Expr> init, Body body) {
  // A warp looks at one expert per lane at a time, and counts tiles from the
  // first of these experts.
  Expr experts = k.dim(expertOffsets, 0) - 1;
  auto window = [&](Expr first, ArrayRef<Expr> carried) {
    Expr expert = min(first + k.lane(), experts - 1);
    Expr begin = k.loadRaw(expertOffsets, {expert});
    Expr end = k.loadRaw(expertOffsets, {expert + 1});
    Expr isOwn = first + k.lane() < experts;
    Expr tiles = k.select(isOwn, countTiles(end - begin), k.i32(0));
    Expr upTo = k.scanLanes(tiles);
    Expr total = k.shuffle(upTo, k.i32(kWarpSize - 1));
    auto isHere = [&](ArrayRef<Expr> values) { return values[0] < total; };
    auto next = [&](ArrayRef<Expr> values) {
      Expr isBehind = upTo > values[0];
      Expr lane = k.wrap(LLVM::CountTrailingZerosOp::create(
          k, k.getI32Type(), k.ballot(isBehind), /*is_zero_poison=*/true));
      Expr index = values[0] - k.shuffle(upTo - tiles, lane);
      OutputTile tile = place(first + lane, k.shuffle(begin, lane),
                              k.shuffle(end, lane), index);
      Exprs results = advance(values);
      llvm::append_range(results, body(tile, values.drop_front(kCursor)));
      return results;
    };
    Exprs after = k.whileTrue(carried, isHere, next);
    after[0] = after[0] - total;
    return after;
  };
  Exprs start = begin();
  llvm::append_range(start, init);
  Exprs end = k.forEach(k.i32(0), experts, k.i32(kWarpSize), start, window);
  return Exprs(llvm::drop_begin(end, kCursor));
}

} // namespace moe::codegen::cuda
