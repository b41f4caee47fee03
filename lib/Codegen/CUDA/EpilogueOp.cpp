//===- EpilogueOp.cpp - What becomes of an element's sums -----------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "EpilogueOp.h"
#include "Activation.h"
#include "Math.h"

using namespace mlir;

namespace moe::codegen::cuda {

EpilogueOp::EpilogueOp(Launch &launch, const GemmOperands &operands,
                       const Buffer &sourceRows)
    : bias(launch.read(operands.bias)), activation(operands.activation) {
  Buffer factors = launch.read(operands.scale);
  if (!factors)
    return;
  scale = [factors, sourceRows,
           isSigmoid = operands.sigmoidOfScale](KernelBuilder &k, Expr row) {
    Expr source = sourceRows ? k.load(sourceRows, row) : row;
    Expr factor = k.load(factors, {source, k.i32(0)});
    return isSigmoid ? sigmoid(factor) : factor;
  };
}

SmallVector<Expr, 2> EpilogueOp::loadBias(KernelBuilder &k, Expr expert,
                                          Expr column, int64_t columns) const {
  if (!bias)
    return {};
  column = min(column, columns - 1);
  SmallVector<Expr, 2> places{column};
  if (isGated())
    places = {column, column + columns};
  SmallVector<Expr, 2> values;
  for (Expr place : places)
    values.push_back(bias.type.getRank() == 1 ? k.load(bias, place)
                                              : k.load(bias, {expert, place}));
  return values;
}

Expr EpilogueOp::apply(SmallVector<Expr, 2> sums, Expr scale,
                       ArrayRef<Expr> bias) const {
  for (auto [index, sum] : llvm::enumerate(sums)) {
    if (scale)
      sum = sum * scale;
    if (!bias.empty())
      sum = sum + bias[index];
  }
  if (!activation)
    return sums[0];
  return emitActivation(activation, sums[0], isGated() ? sums[1] : Expr());
}

} // namespace moe::codegen::cuda
