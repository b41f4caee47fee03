//===- Combine.cpp - Weighted sums of experts, and the layer's output -----===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "KernelBuilder.h"

using namespace mlir;
using namespace moe::codegen::cpu;

//===----------------------------------------------------------------------===//
// Combine
//===----------------------------------------------------------------------===//

/// Token `t`: the terms are added to `routed`, whose row stays in the first
/// level cache, one slot after the other.
static void emitCombine(KernelBuilder &k, Value t, ValueRange reads,
                        Value routed, double scale) {
  Value expertOut = reads[0], pairRows = reads[1], weights = reads[2];
  Value columns = k.dim(routed, 1);
  k.forEachChunk(columns, [&](Value n, unsigned width) {
    k.storeVector(k.constant(0.0, width), routed, {t, n});
  });
  k.forEach(k.index(0), k.dim(pairRows, 1), 1, [&](Value j) {
    Value row = k.loadIndex(pairRows, {t, j});
    Value isRow = k.compare(arith::CmpIPredicate::sge, row, k.index(0));
    k.ifThen(isRow, [&] {
      Value weight = k.loadFloat(weights, {t, j});
      weight = k.mulf(weight, k.constantLike(scale, weight));
      k.forEachChunk(columns, [&](Value n, unsigned width) {
        Value term = k.loadVector(expertOut, {row, n}, width);
        Value sum = k.loadVector(routed, {t, n}, width);
        k.storeVector(k.fma(k.splat(weight, width), term, sum), routed, {t, n});
      });
    });
  });
}

Launches moe::codegen::cpu::lowerCombine(const Emission &emission,
                                         const CombineOperands &operands,
                                         double scale) {
  if (failed(checkOperand(emission, operands.expertOut, "expert_out", 2,
                          isModelType, {0})) ||
      failed(checkOperand(emission, operands.pairRows, "pair_rows", 2, isI32,
                          {0})) ||
      failed(
          checkOperand(emission, operands.weights, "weights", 2, isF32, {0})) ||
      failed(checkOperand(emission, operands.routed, "routed", 2, isF32, {0})))
    return failure();
  SmallVector<Value> reads{operands.expertOut, operands.pairRows,
                           operands.weights};
  func::FuncOp kernel = getOrEmitKernel(
      emission, "combine", reads, operands.routed, describeParameters(scale),
      [&](KernelBuilder &k, Value block, ValueRange reads, ValueRange writes) {
        emitCombine(k, block, reads, writes[0], scale);
      });
  Value grid = gridBuilder(emission).dim(operands.routed, 0);
  return SmallVector<Launch>{
      {kernel, "combine", reads, {operands.routed}, grid}};
}

//===----------------------------------------------------------------------===//
// Merge
//===----------------------------------------------------------------------===//

Launches moe::codegen::cpu::lowerMerge(const Emission &emission,
                                       const MergeOperands &operands) {
  if (failed(
          checkOperand(emission, operands.routed, "routed", 2, isF32, {0})) ||
      failed(checkOperand(emission, operands.y, "y", 2, isModelType, {0})))
    return failure();
  SmallVector<Value> reads{operands.routed};
  if (operands.shared) {
    if (failed(
            checkOperand(emission, operands.shared, "shared", 2, isF32, {0})))
      return failure();
    reads.push_back(operands.shared);
  }
  func::FuncOp kernel = getOrEmitKernel(
      emission, "merge", reads, operands.y, "",
      [](KernelBuilder &k, Value t, ValueRange reads, ValueRange writes) {
        k.forEachChunk(k.dim(writes[0], 1), [&](Value n, unsigned width) {
          Value sum = k.loadVector(reads[0], {t, n}, width);
          if (reads.size() > 1)
            sum = k.addf(sum, k.loadVector(reads[1], {t, n}, width));
          k.storeVector(sum, writes[0], {t, n});
        });
      });
  Value grid = gridBuilder(emission).dim(operands.y, 0);
  return SmallVector<Launch>{{kernel, "merge", reads, {operands.y}, grid}};
}
