//===- GatherLoader.cpp - Scattered rows in shared memory -----------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "GatherLoader.h"

#include "mlir/Dialect/LLVMIR/NVVMDialect.h"

using namespace mlir;

namespace moe::codegen::cuda {

/// Chunks of a row of a panel, and rows that the warpgroup brings at once.
static constexpr int64_t kChunks = kPanelRowBytes / kChunkBytes;
static constexpr int64_t kRowsAtOnce = kWarpgroup / kChunks;

GatherLoader::GatherLoader(Launch &launch, Value x, const Buffer &sourceRows,
                           const GemmTile &tile)
    : tile(tile), rows(launch.read(x)), sourceRows(sourceRows),
      depth(getStageDepth(rows.type.getElementType())), chunk(depth / kChunks) {
}

void GatherLoader::begin(KernelBuilder &k, const OutputTile &output) {
  sources.clear();
  count = output.endRow - output.firstRow;
  Expr thread = k.thread() % kWarpgroup;
  for (int64_t turn = 0; turn < tile.tileM; turn += kRowsAtOnce) {
    Expr row = output.firstRow + thread / kChunks + turn;
    Expr source = k.loadRaw(sourceRows, {min(row, output.endRow - 1)});
    sources.push_back(k.address(rows, {source, thread % kChunks * chunk}));
  }
}

void GatherLoader::copy(KernelBuilder &k, const StageToFill &stage) const {
  int64_t columns = rows.type.getDimSize(1);
  Expr panel = GemmStage(k, tile, stage.number).rows();
  // Within the eight rows of a swizzle a thread's row is the same every turn.
  Expr thread = k.thread() % kWarpgroup;
  Expr row = thread / kChunks, place = thread % kChunks;
  Array target{
      panel, k.getI8Type(), {k.i32(tile.tileM), k.i32(kPanelRowBytes)}};
  Expr first = k.address(target, {row, (place ^ row % 8) * kChunkBytes});
  // Chunks beyond the end of a row are zeros.
  Value bytes;
  if (columns % depth != 0)
    bytes = k.select(stage.column + place * chunk < columns, k.i32(kChunkBytes),
                     k.i32(0));
  auto copyRow = [&](int64_t turn) {
    Array line{sources[turn], rows.type.getElementType(), {k.i32(columns)}};
    Array to{first, k.getI8Type(), {k.i32(0)}};
    Expr target = k.address(to, {k.i32(turn * kRowsAtOnce * kPanelRowBytes)});
    NVVM::CpAsyncOp::create(k, target, k.address(line, {stage.column}),
                            kChunkBytes, NVVM::LoadCacheModifierKind::CG,
                            bytes);
  };
  // No row has a condition of its own: the sooner the copies are under way, the
  // more of their time is hidden.
  for (int64_t begin = 0; begin < tile.tileM; begin += tile.stepM)
    k.ifThen(count > begin, [&] {
      for (int64_t turn = begin; turn < begin + tile.stepM; turn += kRowsAtOnce)
        copyRow(turn / kRowsAtOnce);
    });
  NVVM::CpAsyncMBarrierArriveOp::create(k, stage.barrier, /*noinc=*/true);
}

} // namespace moe::codegen::cuda
