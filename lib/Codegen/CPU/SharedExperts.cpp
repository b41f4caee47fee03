//===- SharedExperts.cpp - The MLP that every token passes through --------===//
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

/// hidden = activation(x * w13^T).
static Launch launchUp(const Emission &emission, Value x, Value w13,
                       Value hidden, ActivationAttr activation) {
  auto tiles = [&](KernelBuilder &k, Value weights, const ColumnTile &columns) {
    return activationTiles(k, activation, weights, {}, columns);
  };
  auto finish = [&](KernelBuilder &k, Value row, const ColumnTile &columns,
                    ValueRange sums, ValueRange reads, ValueRange writes) {
    k.forEachChunk(columns.count, [&](Value n, unsigned width) {
      Value gate = k.loadVector(sums[0], n, width);
      Value up =
          activation.isGated() ? k.loadVector(sums[1], n, width) : Value();
      k.storeVector(emitActivation(k, activation, gate, up), writes[0],
                    {row, k.add(columns.first, n)});
    });
  };
  return launchDense(emission, "shared_up", "shared.up", {x, w13}, hidden,
                     describe(activation), getNumMatrices(activation), tiles,
                     finish);
}

/// shared = hidden * w2^T, times the sigmoid of the token's gate if there is
/// one.
static Launch launchDown(const Emission &emission, Value hidden, Value w2,
                         Value gate, Value shared) {
  SmallVector<Value> reads{hidden, w2};
  if (gate)
    reads.push_back(gate);
  auto tiles = [](KernelBuilder &k, Value weights, const ColumnTile &columns) {
    return SmallVector<Value>{
        weightTile(k, weights, {}, columns.first, columns.count)};
  };
  auto finish = [](KernelBuilder &k, Value row, const ColumnTile &columns,
                   ValueRange sums, ValueRange reads, ValueRange writes) {
    Value scale;
    if (reads.size() > 2)
      scale = k.sigmoid(k.loadVector(reads[2], {row, k.index(0)}, 1));
    k.forEachChunk(columns.count, [&](Value n, unsigned width) {
      Value sum = k.loadVector(sums[0], n, width);
      if (scale)
        sum = k.mulf(sum, k.splat(scale, width));
      k.storeVector(sum, writes[0], {row, k.add(columns.first, n)});
    });
  };
  return launchDense(emission, "shared_down", "shared.down", reads, shared, "",
                     1, tiles, finish);
}

LogicalResult moe::codegen::cpu::emitSharedExperts(SharedExpertsOp op,
                                                   const Emission &emission) {
  int64_t width = getMemRefType(op.getW2()).getDimSize(1);
  Type element = getMemRefType(op.getX()).getElementType();
  // [T, S] of x's type, and [T, 1] where there is a gate.
  Value hidden = allocateScratch(emission, op.getX(), width, element);
  Value gate;
  if (op.getGate()) {
    gate =
        allocateScratch(emission, op.getX(), 1, emission.builder.getF32Type());
    emitLaunches(emission, launchLinear(emission, "shared.gate", op.getX(),
                                        op.getGate(), {}, gate));
  }
  Launch up =
      launchUp(emission, op.getX(), op.getW13(), hidden, op.getActivation());
  emitLaunches(emission, {up, launchDown(emission, hidden, op.getW2(), gate,
                                         op.getInit())});
  return success();
}
