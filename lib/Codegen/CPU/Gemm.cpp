//===- Gemm.cpp - Tiles of the GEMM kernels -------------------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Gemm.h"
#include "RowContraction.h"

#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Utils/StaticValueUtils.h"

using namespace mlir;
using namespace moe;
using namespace moe::codegen;
using namespace moe::codegen::cpu;

/// Half of the second-level cache of the smallest cores in use; the other half
/// is for the rows.
static constexpr int64_t kTileBytes = 256 * 1024;
/// More columns gain nothing: the rows' share of the traffic is small already.
static constexpr int64_t kMaxTileColumns = 64;

int64_t moe::codegen::cpu::chooseTileColumns(const Target &target,
                                             int64_t columns, int64_t length,
                                             Type element, int64_t matrices) {
  int64_t granule = std::max<int64_t>(target.vectorBits / 32, 16);
  int64_t rowBytes = length * element.getIntOrFloatBitWidth() / 8 * matrices;
  int64_t limit = std::clamp(kTileBytes / rowBytes / granule * granule, granule,
                             kMaxTileColumns);
  if (ShapedType::isDynamic(columns))
    return granule;
  if (columns <= limit)
    return columns;
  // A width that divides the columns leaves no remainder code.
  for (int64_t width = limit; width >= limit / 2; width -= granule)
    if (width != 0 && columns % width == 0)
      return width;
  return limit;
}

void moe::codegen::cpu::emitRowPanel(
    KernelBuilder &k, const RowPanel &panel,
    function_ref<void(Value, ValueRange)> finish) {
  int64_t group =
      getRegisterBlock(k.getTarget().vectorBits, panel.element).rows;
  Value columns = k.dim(panel.tiles.front(), 0);
  SmallVector<Value> buffers;
  for (size_t t = 0; t < panel.tiles.size(); ++t)
    buffers.push_back(k.blockLocal({group, panel.maxColumns}, k.getF32Type()));
  auto sumsOf = [&](Value buffer, Value i) {
    return k.subview(buffer, {i, k.getIndexAttr(0)},
                     {k.getIndexAttr(1), getAsOpFoldResult(columns)}, {1, 1},
                     {false, true});
  };

  k.forEach(panel.begin, panel.end, group, [&](Value m) {
    Value count = k.minimum(k.index(group), k.sub(panel.end, m));
    for (Value buffer : buffers)
      k.forEach(k.index(0), count, 1, [&](Value i) {
        Value sums = sumsOf(buffer, i);
        k.forEachChunk(columns, [&](Value n, unsigned width) {
          k.storeVector(k.constant(0.0, width), sums, n);
        });
      });
    auto contract = [&](Value first, int64_t numRows) {
      SmallVector<Value> rows;
      for (int64_t i = 0; i < numRows; ++i)
        rows.push_back(panel.row(k.add(k.add(m, first), k.index(i))));
      for (auto [tile, buffer] : llvm::zip_equal(panel.tiles, buffers)) {
        SmallVector<Value> sums;
        for (int64_t i = 0; i < numRows; ++i)
          sums.push_back(sumsOf(buffer, k.add(first, k.index(i))));
        buildRowContraction(k, k.getLoc(), rows, tile, sums);
      }
    };
    // Whole groups, or what is left in powers of two.
    using Predicate = arith::CmpIPredicate;
    k.ifThen(k.compare(Predicate::eq, count, k.index(group)),
             [&] { contract(k.index(0), group); });
    k.ifThen(k.compare(Predicate::ne, count, k.index(group)), [&] {
      for (int64_t size = llvm::PowerOf2Ceil(group) / 2; size >= 1; size /= 2) {
        Value part = k.rem(k.div(count, k.index(size)), k.index(2));
        k.ifThen(k.compare(Predicate::eq, part, k.index(1)), [&] {
          // The parts that are larger come first.
          Value larger =
              k.mul(k.div(count, k.index(2 * size)), k.index(2 * size));
          contract(larger, size);
        });
      }
    });
    k.forEach(k.index(0), count, 1, [&](Value i) {
      SmallVector<Value> sums;
      for (Value buffer : buffers)
        sums.push_back(sumsOf(buffer, i));
      finish(k.add(m, i), sums);
    });
  });
}

Value moe::codegen::cpu::weightTile(KernelBuilder &k, Value weights,
                                    Value expert, Value first, Value count) {
  MemRefType type = getMemRefType(weights);
  SmallVector<OpFoldResult> offsets{first, k.getIndexAttr(0)};
  SmallVector<OpFoldResult> sizes{getAsOpFoldResult(count),
                                  k.getIndexAttr(type.getShape().back())};
  SmallVector<bool> keep{true, true};
  if (expert) {
    offsets.insert(offsets.begin(), expert);
    sizes.insert(sizes.begin(), k.getIndexAttr(1));
    keep.insert(keep.begin(), false);
  }
  SmallVector<int64_t> strides(offsets.size(), 1);
  return k.subview(weights, offsets, sizes, strides, keep);
}

ColumnTile moe::codegen::cpu::columnTile(KernelBuilder &k, Value position,
                                         Value columns, int64_t width) {
  Value first = k.mul(position, k.index(width));
  std::optional<int64_t> size = getConstantIntValue(columns);
  if (size && *size % width == 0)
    return {first, k.index(width)};
  return {first, k.minimum(k.index(width), k.sub(columns, first))};
}

Launch moe::codegen::cpu::launchDense(
    const Emission &emission, StringRef stem, StringRef label, ValueRange reads,
    ValueRange writes, StringRef parameters, int64_t matrices,
    function_ref<SmallVector<Value>(KernelBuilder &, Value, const ColumnTile &)>
        tiles,
    FinishRow finish) {
  MemRefType x = getMemRefType(reads[0]);
  int64_t length = x.getDimSize(1);
  int64_t width = chooseTileColumns(
      emission.target, getMemRefType(writes[0]).getDimSize(1), length,
      getMemRefType(reads[1]).getElementType(), matrices);
  auto emit = [&](KernelBuilder &k, Value block, ValueRange reads,
                  ValueRange writes) {
    Value rows = k.dim(reads[0], 0);
    // Blocks that run at the same time share weights, not rows.
    Value panels = k.ceilDiv(rows, kPanelRows);
    ColumnTile columns =
        columnTile(k, k.div(block, panels), k.dim(writes[0], 1), width);
    Value begin = k.mul(k.rem(block, panels), k.index(kPanelRows));
    Value end = k.minimum(rows, k.add(begin, k.index(kPanelRows)));
    RowPanel panel{begin,
                   end,
                   x.getElementType(),
                   [&](Value m) { return k.row(reads[0], m); },
                   tiles(k, reads[1], columns),
                   width};
    emitRowPanel(k, panel, [&](Value m, ValueRange sums) {
      finish(k, m, columns, sums, reads, writes);
    });
  };
  func::FuncOp kernel =
      getOrEmitKernel(emission, stem, reads, writes, parameters, emit);

  KernelBuilder grid = gridBuilder(emission);
  Value blocks = grid.mul(grid.ceilDiv(grid.dim(reads[0], 0), kPanelRows),
                          grid.ceilDiv(grid.dim(writes[0], 1), width));
  return {kernel, label.str(), SmallVector<Value>(reads),
          SmallVector<Value>(writes), blocks};
}
