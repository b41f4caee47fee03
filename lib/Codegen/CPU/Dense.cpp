//===- Dense.cpp - Gate and projections -----------------------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Emitters.h"
#include "Gemm.h"

using namespace mlir;
using namespace moe;
using namespace moe::codegen;
using namespace moe::codegen::cpu;

Launch moe::codegen::cpu::launchLinear(const Emission &emission,
                                       StringRef label, Value x, Value weight,
                                       Value bias, Value y) {
  SmallVector<Value> reads{x, weight};
  if (bias)
    reads.push_back(bias);
  auto tiles = [](KernelBuilder &k, Value weights, const ColumnTile &columns) {
    return SmallVector<Value>{
        weightTile(k, weights, {}, columns.first, columns.count)};
  };
  auto finish = [](KernelBuilder &k, Value row, const ColumnTile &columns,
                   ValueRange sums, ValueRange reads, ValueRange writes) {
    k.forEachChunk(columns.count, [&](Value n, unsigned width) {
      Value column = k.add(columns.first, n);
      Value sum = k.loadVector(sums[0], n, width);
      if (reads.size() > 2)
        sum = k.addf(sum, k.loadVector(reads[2], column, width));
      k.storeVector(sum, writes[0], {row, column});
    });
  };
  return launchDense(emission, "linear", label, reads, y, "", 1, tiles, finish);
}

LogicalResult moe::codegen::cpu::emitGate(GateOp op, const Emission &emission) {
  emitLaunches(emission,
               launchLinear(emission, "gate", op.getX(), op.getWeight(),
                            op.getBias(), op.getInit()));
  return success();
}

LogicalResult moe::codegen::cpu::emitProject(ProjectOp op,
                                             const Emission &emission) {
  emitLaunches(emission, launchLinear(emission, "project", op.getX(),
                                      op.getWeight(), {}, op.getInit()));
  return success();
}
