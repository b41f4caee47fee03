//===- Combine.cpp - Weighted sums of experts, and the layer's output -----===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Emitters.h"
#include "KernelBuilder.h"

#include "mlir/Dialect/SCF/IR/SCF.h"

using namespace mlir;
using namespace moe;
using namespace moe::codegen;
using namespace moe::codegen::cpu;

//===----------------------------------------------------------------------===//
// Combine
//===----------------------------------------------------------------------===//

/// Token `t`: the terms are added, one slot after the other, to a row of f32
/// that stays in the first-level cache. That is the result's own row if it is
/// f32.
static void emitSums(KernelBuilder &k, Value t, ValueRange reads, Value routed,
                     double scale) {
  Value expertOut = reads[0], pairRows = reads[1];
  Value weights = reads.size() > 2 ? reads[2] : Value();
  bool isWide = getMemRefType(routed).getElementType().isF32();
  int64_t numColumns = getMemRefType(routed).getDimSize(1);
  Value columns = k.index(numColumns);
  Value sums =
      isWide ? k.row(routed, t) : k.blockLocal({numColumns}, k.getF32Type());
  k.forEachChunk(columns, [&](Value n, unsigned width) {
    k.storeVector(k.constant(0.0, width), sums, n);
  });
  k.forEach(k.index(0), k.dim(pairRows, 1), 1, [&](Value j) {
    Value row = k.loadIndex(pairRows, {t, j});
    Value isRow = k.compare(arith::CmpIPredicate::sge, row, k.index(0));
    k.ifThen(isRow, [&] {
      Value weight = k.constant(scale, 1);
      if (weights)
        weight = k.mulf(k.loadVector(weights, {t, j}, 1), weight);
      k.forEachChunk(columns, [&](Value n, unsigned width) {
        Value term = k.loadVector(expertOut, {row, n}, width);
        Value sum = k.loadVector(sums, n, width);
        k.storeVector(k.fma(k.splat(weight, width), term, sum), sums, n);
      });
    });
  });
  if (!isWide)
    k.forEachChunk(columns, [&](Value n, unsigned width) {
      k.storeVector(k.loadVector(sums, n, width), routed, {t, n});
    });
}

LogicalResult moe::codegen::cpu::emitCombine(CombineOp op,
                                             const Emission &emission) {
  double scale = op.getScale().convertToDouble();
  SmallVector<Value> reads{op.getExpertOut(), op.getPairRows()};
  if (op.getWeights())
    reads.push_back(op.getWeights());
  func::FuncOp kernel = getOrEmitKernel(
      emission, "combine", reads, op.getInit(), describeParameters(scale),
      [&](KernelBuilder &k, Value block, ValueRange reads, ValueRange writes) {
        emitSums(k, block, reads, writes[0], scale);
      });
  Value grid = gridBuilder(emission).dim(op.getInit(), 0);
  emitLaunches(emission, {{kernel, "combine", reads, {op.getInit()}, grid}});
  return success();
}

//===----------------------------------------------------------------------===//
// Merge
//===----------------------------------------------------------------------===//

/// The weight that token `t` itself has through zero experts.
static Value emitZeroWeight(KernelBuilder &k, Value t, Value ids, Value weights,
                            int64_t firstZeroExpert, double zeroScale) {
  auto loop = scf::ForOp::create(k, k.index(0), k.dim(ids, 1), k.index(1),
                                 k.constant(0.0, 1));
  {
    OpBuilder::InsertionGuard guard(k);
    k.setInsertionPointToStart(loop.getBody());
    Value j = loop.getInductionVar(), sum = loop.getRegionIterArg(0);
    Value isZero =
        k.compare(arith::CmpIPredicate::sge, k.loadIndex(ids, {t, j}),
                  k.index(firstZeroExpert));
    Value added = k.addf(sum, k.loadVector(weights, {t, j}, 1));
    scf::YieldOp::create(k, k.select(isZero, added, sum));
  }
  return k.mulf(loop.getResult(0), k.constant(zeroScale, 1));
}

LogicalResult moe::codegen::cpu::emitMerge(MergeOp op,
                                           const Emission &emission) {
  SmallVector<Value> reads{op.getRouted()};
  bool hasShared = op.getShared() != nullptr;
  bool hasZero = op.getX() != nullptr;
  if (hasShared)
    reads.push_back(op.getShared());
  if (hasZero)
    reads.append({op.getX(), op.getIds(), op.getWeights()});
  int64_t firstZeroExpert = op.getFirstZeroExpert().value_or(0);
  double zeroScale = hasZero ? op.getZeroScale()->convertToDouble() : 1.0;
  auto emit = [&](KernelBuilder &k, Value t, ValueRange reads,
                  ValueRange writes) {
    ValueRange zero = reads.drop_front(1 + hasShared);
    Value weight;
    if (hasZero)
      weight =
          emitZeroWeight(k, t, zero[1], zero[2], firstZeroExpert, zeroScale);
    k.forEachChunk(k.dim(writes[0], 1), [&](Value n, unsigned width) {
      Value sum = k.loadVector(reads[0], {t, n}, width);
      if (hasShared)
        sum = k.addf(sum, k.loadVector(reads[1], {t, n}, width));
      if (hasZero)
        sum = k.fma(k.splat(weight, width),
                    k.loadVector(zero[0], {t, n}, width), sum);
      k.storeVector(sum, writes[0], {t, n});
    });
  };
  func::FuncOp kernel = getOrEmitKernel(
      emission, "merge", reads, op.getInit(),
      describeParameters(hasShared, hasZero, firstZeroExpert, zeroScale), emit);
  Value grid = gridBuilder(emission).dim(op.getInit(), 0);
  emitLaunches(emission, {{kernel, "merge", reads, {op.getInit()}, grid}});
  return success();
}
