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

TileScheduler::Cursor TileScheduler::advance(const Cursor &cursor) {
  Expr slot = cursor.slot + 1, clusters = k.numBlocks() / cluster;
  slot = k.select(slot == clusters, k.i32(0), slot);
  return {cursor.index + clusters + slot - cursor.slot, slot};
}

TileScheduler::ExpertWindow TileScheduler::lookAt(const Buffer &expertOffsets,
                                                  Expr experts, Expr first) {
  Expr expert = min(first + k.lane(), experts - 1);
  Expr begin = k.loadRaw(expertOffsets, {expert});
  Expr end = k.loadRaw(expertOffsets, {expert + 1});
  Expr isOwn = first + k.lane() < experts;
  Expr tiles = k.select(isOwn, countTiles(end - begin), k.i32(0));
  Expr upTo = k.scanLanes(tiles);
  return {first, begin, end,
          tiles, upTo,  k.shuffle(upTo, k.i32(kWarpSize - 1))};
}

OutputTile TileScheduler::place(const ExpertWindow &window, Expr index) {
  Expr isBehind = window.upTo > index;
  Expr lane = k.wrap(LLVM::CountTrailingZerosOp::create(
      k, k.getI32Type(), k.ballot(isBehind), /*is_zero_poison=*/true));
  Expr within = index - k.shuffle(window.upTo - window.tiles, lane);
  Expr expert = window.first + lane;
  Expr begin = k.shuffle(window.begin, lane);
  Expr end = k.shuffle(window.end, lane);
  return place(expert, begin, end, within);
}

} // namespace moe::codegen::cuda
