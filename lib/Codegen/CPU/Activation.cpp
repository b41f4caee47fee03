//===- Activation.cpp - The nonlinearity between an MLP's GEMMs -----------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Activation.h"

#include "mlir/Dialect/Math/IR/Math.h"

using namespace mlir;
using namespace moe;
using namespace moe::codegen::cpu;

/// x / 2 * (1 + erf(x / sqrt(2))).
static Value emitGelu(KernelBuilder &k, Value x) {
  Value scaled = k.mulf(x, k.constantLike(0.70710678118654752440, x));
  Value erf = math::ErfOp::create(k, scaled);
  Value half = k.mulf(x, k.constantLike(0.5, x));
  return k.mulf(half, k.addf(k.constantLike(1.0, x), erf));
}

/// x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 x^3))).
static Value emitGeluTanh(KernelBuilder &k, Value x) {
  Value cubic = k.mulf(k.mulf(x, x), x);
  Value inner = k.fma(k.constantLike(0.044715, x), cubic, x);
  Value tanh = math::TanhOp::create(
      k, k.mulf(k.constantLike(0.79788456080286535588, x), inner));
  Value half = k.mulf(x, k.constantLike(0.5, x));
  return k.mulf(half, k.addf(k.constantLike(1.0, x), tanh));
}

/// (min(u, limit) clamped from below + 1) * g * sigmoid(alpha * g).
static Value emitSwiGLUOAI(KernelBuilder &k, ActivationAttr activation,
                           Value gate, Value up) {
  double most = activation.getLimit().getValueAsDouble();
  double alpha = activation.getAlpha().getValueAsDouble();
  Value limit = k.constantLike(most, gate);
  Value floor = k.constantLike(-most, gate);
  Value g = arith::MinimumFOp::create(k, gate, limit);
  Value u = arith::MaximumFOp::create(
      k, arith::MinimumFOp::create(k, up, limit), floor);
  Value sigmoid = k.sigmoid(k.mulf(k.constantLike(alpha, gate), g));
  return k.mulf(k.addf(u, k.constantLike(1.0, up)), k.mulf(g, sigmoid));
}

Value moe::codegen::cpu::emitActivation(KernelBuilder &k,
                                        ActivationAttr activation, Value gate,
                                        Value up) {
  Value result;
  switch (activation.getKind()) {
  case ActivationKind::swiglu:
    result = k.mulf(gate, k.sigmoid(gate));
    break;
  case ActivationKind::geglu:
    result = emitGelu(k, gate);
    break;
  case ActivationKind::geglu_tanh:
    result = emitGeluTanh(k, gate);
    break;
  case ActivationKind::swigluoai:
    return emitSwiGLUOAI(k, activation, gate, up);
  case ActivationKind::relu2: {
    Value positive =
        arith::MaximumFOp::create(k, gate, k.constantLike(0.0, gate));
    result = k.mulf(positive, positive);
    break;
  }
  }
  return up ? k.mulf(result, up) : result;
}

SmallVector<Value>
moe::codegen::cpu::activationTiles(KernelBuilder &k, ActivationAttr activation,
                                   Value w13, Value expert,
                                   const ColumnTile &columns) {
  auto tile = [&](Value first) {
    return weightTile(k, w13, expert, first, columns.count);
  };
  if (!activation.isGated())
    return {tile(columns.first)};
  MemRefType type = getMemRefType(w13);
  Value width = k.index(type.getDimSize(type.getRank() - 2) / 2);
  return {tile(columns.first), tile(k.add(columns.first, width))};
}
