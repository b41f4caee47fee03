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
  Expr thread = k.thread() % kWarpgroup;
  for (int64_t turn = 0; turn < tileRows; turn += kRowsAtOnce) {
    Expr row = tile.firstRow + thread / kChunks + turn;
    Expr source = k.loadRaw(sourceRows, {min(row, tile.endRow - 1)});
    sources.push_back(k.address(rows, {source, thread % kChunks * kChunk}));
  }
}

void GatherProducer::load(Expr step, Expr panel, Expr barrier) {
  int64_t columns = rows.type.getDimSize(1);
  // Within the eight rows of a swizzle a thread's row is the same every turn.
  Expr thread = k.thread() % kWarpgroup;
  Expr row = thread / kChunks, chunk = thread % kChunks;
  Array target{panel, k.getI8Type(), {k.i32(tileRows), k.i32(kPanelRowBytes)}};
  Expr first = k.address(target, {row, (chunk ^ row % 8) * kChunkBytes});
  // Chunks beyond the end of a row are zeros.
  Value bytes;
  if (columns % kStageDepth != 0)
    bytes = k.select(step * kStageDepth + chunk * kChunk < columns,
                     k.i32(kChunkBytes), k.i32(0));
  auto copy = [&](int64_t turn) {
    Array line{sources[turn], rows.type.getElementType(), {k.i32(columns)}};
    Array place{first, k.getI8Type(), {k.i32(0)}};
    Expr to = k.address(place, {k.i32(turn * kRowsAtOnce * kPanelRowBytes)});
    NVVM::CpAsyncOp::create(k, to, k.address(line, {step * kStageDepth}),
                            kChunkBytes, NVVM::LoadCacheModifierKind::CG,
                            bytes);
  };
  // No row has a condition of its own: the sooner the copies are under way, the
  // more of their time is hidden.
  for (int64_t begin = 0; begin < tileRows; begin += rowStep)
    k.ifThen(count > begin, [&] {
      for (int64_t turn = begin; turn < begin + rowStep; turn += kRowsAtOnce)
        copy(turn / kRowsAtOnce);
    });
  NVVM::CpAsyncMBarrierArriveOp::create(k, barrier, /*noinc=*/true);
}

} // namespace moe::codegen::cuda
