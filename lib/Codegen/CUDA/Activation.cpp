//===- Activation.cpp - The nonlinearity between an MLP's GEMMs -----------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Activation.h"
#include "Math.h"

using namespace mlir;

namespace moe::codegen::cuda {

/// x / 2 * (1 + tanh(z)) = x * sigmoid(2 z), z = sqrt(2 / pi) (x + 0.044715
/// x^3). The right side keeps its precision where the left cancels.
static Expr emitGeluTanh(Expr x) {
  ExprBuilder &b = x.getBuilder();
  Expr inner = b.fma(x * x * x, b.f32(0.044715), x);
  return x * sigmoid(inner * (2 * 0.79788456080286535588));
}

/// (u' + 1) * g' * sigmoid(alpha * g').
static Expr emitSwiGLUOAI(ActivationAttr activation, Expr gate, Expr up) {
  double limit = activation.getLimit().getValueAsDouble();
  double alpha = activation.getAlpha().getValueAsDouble();
  Expr g = min(gate, limit);
  Expr u = max(min(up, limit), -limit);
  return (u + 1.0) * (g * sigmoid(g * alpha));
}

Expr emitActivation(ActivationAttr activation, Expr gate, Expr up) {
  Expr result;
  switch (activation.getKind()) {
  case ActivationKind::swiglu:
    result = gate * sigmoid(gate);
    break;
  case ActivationKind::geglu:
    result = gate * normalCDF(gate);
    break;
  case ActivationKind::geglu_tanh:
    result = emitGeluTanh(gate);
    break;
  case ActivationKind::swigluoai:
    return emitSwiGLUOAI(activation, gate, up);
  case ActivationKind::relu2: {
    Expr positive = max(gate, 0.0);
    result = positive * positive;
    break;
  }
  }
  return activation.isGated() ? result * up : result;
}

} // namespace moe::codegen::cuda
