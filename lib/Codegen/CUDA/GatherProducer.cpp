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
  count = tile.endRow - tile.firstRow;
  int64_t chunksOfRow = rows.type.getDimSize(1) / kChunk;
  Expr thread = k.thread() % kWarpgroup;
  for (int64_t turn = 0; turn < tileRows; turn += kRowsAtOnce) {
    Expr row = tile.firstRow + thread / kChunks + turn;
    Expr source = k.loadRaw(sourceRows, {min(row, tile.endRow - 1)});
    sources.push_back(source * chunksOfRow + thread % kChunks);
  }
}

void GatherProducer::load(Expr step, Expr panel, Expr barrier) {
  int64_t columns = rows.type.getDimSize(1);
  Array chunks{k.array(rows).base,
               VectorType::get(kChunk, rows.type.getElementType()),
               {k.i32(0)}};
  Array target{panel, k.getI8Type(), {k.i32(tileRows), k.i32(kPanelRowBytes)}};
  // Within the eight rows of a swizzle a thread's row is the same every turn.
  Expr thread = k.thread() % kWarpgroup;
  Expr row = thread / kChunks, chunk = thread % kChunks;
  Expr place = (chunk ^ row % 8) * kChunkBytes;
  // Chunks beyond the end of a row are zeros; rows beyond the end of the tile
  // are left alone, for what they hold reaches no other row.
  Expr bytes = k.i32(kChunkBytes);
  if (columns % kStageDepth != 0)
    bytes = k.select(step * kStageDepth + chunk * kChunk < columns, bytes,
                     k.i32(0));
  for (auto [index, source] : llvm::enumerate(sources)) {
    Expr line = row + static_cast<int64_t>(index) * kRowsAtOnce;
    k.ifThen(line < count, [&] {
      Expr from = k.address(chunks, {source + step * kChunks});
      NVVM::CpAsyncOp::create(k, k.address(target, {line, place}), from,
                              kChunkBytes, NVVM::LoadCacheModifierKind::CG,
                              columns % kStageDepth ? Value(bytes) : Value());
    });
  }
  NVVM::CpAsyncMBarrierArriveOp::create(k, barrier, /*noinc=*/true);
}

} // namespace moe::codegen::cuda
