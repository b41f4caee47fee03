//===- Dense.cpp - Gate and projections -----------------------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Gemm.h"

using namespace mlir;
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

/// x [T, K], weight [N, K], y [T, N], with N dynamic if `dynamicColumns`.
static LogicalResult checkLinear(const Emission &emission, Value x,
                                 Value weight, Value bias, Value y,
                                 StringRef yName, bool dynamicColumns) {
  SmallVector<int64_t> rows{0}, none, columns{0, 1};
  if (!dynamicColumns)
    columns = rows;
  if (failed(checkOperand(emission, x, "x", 2, Elements::Model, rows)) ||
      failed(checkOperand(emission, weight, "weight", 2, Elements::Model,
                          dynamicColumns ? rows : none)) ||
      failed(checkOperand(emission, y, yName, 2, Elements::Model, columns)))
    return failure();
  if (bias && failed(checkOperand(emission, bias, "bias", 1, Elements::Model,
                                  dynamicColumns ? rows : none)))
    return failure();
  return checkProduct(emission, x, weight, "weight");
}

Launches moe::codegen::cpu::lowerGate(const Emission &emission,
                                      const GateOperands &operands) {
  if (failed(checkLinear(emission, operands.x, operands.weight, operands.bias,
                         operands.logits, "logits", /*dynamicColumns=*/true)))
    return failure();
  return SmallVector<Launch>{launchLinear(emission, "gate", operands.x,
                                          operands.weight, operands.bias,
                                          operands.logits)};
}

Launches moe::codegen::cpu::lowerProject(const Emission &emission,
                                         const ProjectOperands &operands) {
  if (failed(checkLinear(emission, operands.x, operands.weight, {}, operands.y,
                         "y", /*dynamicColumns=*/false)))
    return failure();
  return SmallVector<Launch>{launchLinear(emission, "project", operands.x,
                                          operands.weight, {}, operands.y)};
}
