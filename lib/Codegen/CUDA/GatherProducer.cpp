//===- GatherProducer.cpp - Scattered rows in shared memory ---------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "GatherProducer.h"
#include "GemmTile.h"

#include "mlir/Dialect/LLVMIR/NVVMDialect.h"

using namespace mlir;

namespace moe::codegen::cuda {

/// Elements of a chunk.
static constexpr int64_t kChunk = kChunkBytes / 2;
/// Chunks of a row of a panel.
static constexpr int64_t kChunks = kPanelRowBytes / kChunkBytes;

void GatherProducer::begin(const OutputTile &tile) {
  sources.clear();
  bytes.clear();
  Expr thread = k.thread() % kWarpgroup;
  for (int64_t turn = 0; turn < tileRows; turn += kRowsAtOnce) {
    Expr row = tile.firstRow + thread / kChunks + turn;
    Expr isRow = row < tile.endRow;
    Expr source = k.loadRaw(sourceRows, {min(row, tile.endRow - 1)});
    sources.push_back(k.address(rows, {source, thread % kChunks * kChunk}));
    bytes.push_back(k.select(isRow, k.i32(kChunkBytes), k.i32(0)));
  }
}

void GatherProducer::load(Expr step, Expr panel, Expr barrier) {
  Expr thread = k.thread() % kWarpgroup;
  int64_t columns = rows.type.getDimSize(1);
  Expr element = step * kStageDepth;
  // Within the eight rows of a swizzle a thread's row is the same every turn.
  Expr row = thread / kChunks;
  Expr chunk = thread % kChunks ^ row % 8;
  Array target{panel, k.getI8Type(), {k.i32(tileRows), k.i32(kPanelRowBytes)}};
  for (auto [turn, source, size] : llvm::enumerate(sources, bytes)) {
    Expr here = size;
    if (columns % kStageDepth != 0)
      here = k.select(element + thread % kChunks * kChunk < columns, size,
                      k.i32(0));
    Array line{source, rows.type.getElementType(), {k.i32(columns)}};
    Expr to = k.address(target, {row + static_cast<int64_t>(turn) * kRowsAtOnce,
                                 chunk * kChunkBytes});
    NVVM::CpAsyncOp::create(k, to, k.address(line, {element}), kChunkBytes,
                            NVVM::LoadCacheModifierKind::CG, here);
  }
  NVVM::CpAsyncMBarrierArriveOp::create(k, barrier, /*noinc=*/true);
}

} // namespace moe::codegen::cuda
