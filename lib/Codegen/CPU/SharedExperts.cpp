//===- SharedExperts.cpp - The MLP that every token passes through --------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "../PhaseChecks.h"
#include "Activation.h"

using namespace mlir;
using namespace moe::codegen;
using namespace moe::codegen::cpu;

/// hidden = activation(x * w13^T).
static Launch launchUp(const Emission &emission, Value x, Value w13,
                       Value hidden, const ActivationParams &params) {
  auto tiles = [&](KernelBuilder &k, Value weights, const ColumnTile &columns) {
    return activationTiles(k, params, weights, {}, columns);
  };
  auto finish = [&](KernelBuilder &k, Value row, const ColumnTile &columns,
                    ValueRange sums, ValueRange reads, ValueRange writes) {
    k.forEachChunk(columns.count, [&](Value n, unsigned width) {
      Value gate = k.loadVector(sums[0], n, width);
      Value up = params.gated ? k.loadVector(sums[1], n, width) : Value();
      k.storeVector(emitActivation(k, params, gate, up), writes[0],
                    {row, k.add(columns.first, n)});
    });
  };
  return launchDense(emission, "shared_up", "shared.up", {x, w13}, hidden,
                     describe(params), getNumMatrices(params), tiles, finish);
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

Launches
moe::codegen::cpu::lowerSharedExperts(const Emission &emission,
                                      const SharedExpertsOperands &operands,
                                      const ActivationParams &params) {
  if (failed(check(emission.loc, operands, params)))
    return failure();
  MemRefType w13 = getMemRefType(operands.w13);
  int64_t width = w13.getDimSize(0) / getNumMatrices(params);
  Type element = getMemRefType(operands.x).getElementType();
  Value hidden = allocateScratch(emission, operands.x, width, element);

  SmallVector<Launch> launches;
  Value gate;
  if (operands.gate) {
    gate = allocateScratch(emission, operands.x, 1,
                           Float32Type::get(operands.x.getContext()));
    launches.push_back(launchLinear(emission, "shared.gate", operands.x,
                                    operands.gate, {}, gate));
  }
  launches.push_back(
      launchUp(emission, operands.x, operands.w13, hidden, params));
  launches.push_back(
      launchDown(emission, hidden, operands.w2, gate, operands.shared));
  return launches;
}
