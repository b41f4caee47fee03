//===- Experts.cpp - The MLPs of the routed experts -----------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Activation.h"
#include "Emitters.h"

using namespace mlir;
using namespace moe;
using namespace moe::codegen;
using namespace moe::codegen::cpu;

namespace {
/// The kernel of one of the two GEMMs: what differs between them.
struct GroupedGemm {
  StringRef stem, label;
  /// reads[0] holds the rows, reads[1] the expert offsets, reads[2] the
  /// weights.
  SmallVector<Value> reads;
  Value write; ///< [P, N]
  std::string parameters;
  int64_t matrices;
  function_ref<SmallVector<Value>(KernelBuilder &, Value weights, Value expert,
                                  const ColumnTile &)>
      tiles;
  /// The operand of sorted pair p.
  function_ref<Value(KernelBuilder &, Value pair, ValueRange reads)> row;
  function_ref<void(KernelBuilder &, Value expert, Value pair,
                    const ColumnTile &, ValueRange sums, ValueRange reads,
                    Value write)>
      finish;
};
} // namespace

/// One launch of a block for each expert and column tile.
static Launch launchGrouped(const Emission &emission, const GroupedGemm &gemm) {
  MemRefType rows = getMemRefType(gemm.reads[0]);
  MemRefType weights = getMemRefType(gemm.reads[2]);
  MemRefType write = getMemRefType(gemm.write);
  int64_t width = chooseTileColumns(emission.target, write.getDimSize(1),
                                    rows.getDimSize(1),
                                    weights.getElementType(), gemm.matrices);
  int64_t numTiles = llvm::divideCeil(write.getDimSize(1), width);
  auto emit = [&](KernelBuilder &k, Value block, ValueRange reads,
                  ValueRange writes) {
    Value expert = k.div(block, k.index(numTiles));
    ColumnTile columns = columnTile(k, k.rem(block, k.index(numTiles)),
                                    k.dim(writes[0], 1), width);
    Value begin = k.loadIndex(reads[1], expert);
    Value end = k.loadIndex(reads[1], k.add(expert, k.index(1)));
    // Without rows the loop over rows does nothing: no weight is read.
    RowPanel panel{begin,
                   end,
                   rows.getElementType(),
                   [&](Value pair) { return gemm.row(k, pair, reads); },
                   gemm.tiles(k, reads[2], expert, columns),
                   width};
    emitRowPanel(k, panel, [&](Value pair, ValueRange sums) {
      gemm.finish(k, expert, pair, columns, sums, reads, writes[0]);
    });
  };
  func::FuncOp kernel = getOrEmitKernel(emission, gemm.stem, gemm.reads,
                                        gemm.write, gemm.parameters, emit);
  KernelBuilder grid = gridBuilder(emission);
  // Without pairs there is nothing to look at.
  Value pairs = grid.dim(gemm.write, 0);
  Value experts = grid.dim(gemm.reads[2], 0);
  Value isEmpty = grid.compare(arith::CmpIPredicate::eq, pairs, grid.index(0));
  Value blocks = grid.select(isEmpty, grid.index(0),
                             grid.mul(experts, grid.index(numTiles)));
  return {kernel, gemm.label.str(), gemm.reads, {gemm.write}, blocks};
}

/// Bias of gate and up at `column` of the intermediate width.
static SmallVector<Value> loadBias(KernelBuilder &k, ActivationAttr activation,
                                   Value bias, Value expert, Value column,
                                   unsigned width) {
  if (!activation.isGated())
    return {k.loadVector(bias, {expert, column}, width)};
  Value up = k.add(column, k.index(getMemRefType(bias).getDimSize(1) / 2));
  return {k.loadVector(bias, {expert, column}, width),
          k.loadVector(bias, {expert, up}, width)};
}

/// hidden = activation(rows[sourceRows] * inputWeight * w13^T + b13).
static Launch launchUp(const Emission &emission, ExpertsOp op, Value hidden) {
  ActivationAttr activation = op.getActivation();
  SmallVector<Value> all{op.getRows(), op.getOffsets(), op.getW13(),
                         op.getSourceRows()};
  bool hasBias = op.getB13() != nullptr;
  bool hasInputWeight = op.getInputWeights() != nullptr;
  size_t biasPosition = all.size();
  if (hasBias)
    all.push_back(op.getB13());
  size_t weightPosition = all.size();
  if (hasInputWeight)
    all.push_back(op.getInputWeights());

  auto source = [](KernelBuilder &k, Value pair, ValueRange reads) {
    return k.loadIndex(reads[3], pair);
  };
  auto tiles = [&](KernelBuilder &k, Value weights, Value expert,
                   const ColumnTile &columns) {
    return activationTiles(k, activation, weights, expert, columns);
  };
  auto row = [&](KernelBuilder &k, Value pair, ValueRange reads) {
    return k.row(reads[0], source(k, pair, reads));
  };
  auto finish = [&](KernelBuilder &k, Value expert, Value pair,
                    const ColumnTile &columns, ValueRange sums,
                    ValueRange reads, Value write) {
    Value scale;
    if (hasInputWeight)
      scale = k.loadFloat(reads[weightPosition],
                          {source(k, pair, reads), k.index(0)});
    k.forEachChunk(columns.count, [&](Value n, unsigned width) {
      Value column = k.add(columns.first, n);
      SmallVector<Value> values;
      for (Value sum : sums) {
        values.push_back(k.loadVector(sum, n, width));
        // The GEMM is linear, so the row's weight can follow it.
        if (scale)
          values.back() = k.mulf(values.back(), k.splat(scale, width));
      }
      if (hasBias)
        for (auto [value, bias] : llvm::zip_equal(
                 values, loadBias(k, activation, reads[biasPosition], expert,
                                  column, width)))
          value = k.addf(value, bias);
      Value up = activation.isGated() ? values[1] : Value();
      k.storeVector(emitActivation(k, activation, values[0], up), write,
                    {pair, column});
    });
  };
  return launchGrouped(
      emission,
      {"experts_up", "experts.up", all, hidden,
       describe(activation) + describeParameters(hasBias, hasInputWeight),
       getNumMatrices(activation), tiles, row, finish});
}

/// out = hidden * w2^T + b2.
static Launch launchDown(const Emission &emission, ExpertsOp op, Value hidden) {
  SmallVector<Value> all{hidden, op.getOffsets(), op.getW2()};
  bool hasBias = op.getB2() != nullptr;
  if (hasBias)
    all.push_back(op.getB2());
  auto tiles = [](KernelBuilder &k, Value weights, Value expert,
                  const ColumnTile &columns) {
    return SmallVector<Value>{
        weightTile(k, weights, expert, columns.first, columns.count)};
  };
  auto row = [](KernelBuilder &k, Value pair, ValueRange reads) {
    return k.row(reads[0], pair);
  };
  auto finish = [&](KernelBuilder &k, Value expert, Value pair,
                    const ColumnTile &columns, ValueRange sums,
                    ValueRange reads, Value write) {
    k.forEachChunk(columns.count, [&](Value n, unsigned width) {
      Value column = k.add(columns.first, n);
      Value sum = k.loadVector(sums[0], n, width);
      if (hasBias)
        sum = k.addf(sum, k.loadVector(reads[3], {expert, column}, width));
      k.storeVector(sum, write, {pair, column});
    });
  };
  return launchGrouped(emission, {"experts_down", "experts.down", all,
                                  op.getInit(), "", 1, tiles, row, finish});
}

LogicalResult moe::codegen::cpu::emitExperts(ExpertsOp op,
                                             const Emission &emission) {
  if (failed(checkPlainWeights(op, kTargetName)))
    return failure();
  int64_t width = getMemRefType(op.getW2()).getDimSize(2);
  Type element = getMemRefType(op.getRows()).getElementType();
  // [P, I] of the rows' type.
  Value hidden = allocateScratch(emission, op.getInit(), width, element);
  Launch up = launchUp(emission, op, hidden);
  emitLaunches(emission, {up, launchDown(emission, op, hidden)});
  return success();
}
