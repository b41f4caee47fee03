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
static Expr emitSwiGLUOAI(const ActivationParams &params, Expr gate, Expr up) {
  Expr g = min(gate, params.limit);
  Expr u = max(min(up, params.limit), -params.limit);
  return (u + 1.0) * (g * sigmoid(g * params.alpha));
}

Expr emitActivation(const ActivationParams &params, Expr gate, Expr up) {
  Expr result;
  switch (params.activation) {
  case Activation::SiLU:
    result = gate * sigmoid(gate);
    break;
  case Activation::GELU:
    result = gate * normalCDF(gate);
    break;
  case Activation::GELUTanh:
    result = emitGeluTanh(gate);
    break;
  case Activation::SwiGLUOAI:
    return emitSwiGLUOAI(params, gate, up);
  case Activation::ReLU2: {
    Expr positive = max(gate, 0.0);
    result = positive * positive;
    break;
  }
  }
  return params.gated ? result * up : result;
}

std::string describe(const ActivationParams &params) {
  return describeParameters(static_cast<int>(params.activation), params.gated,
                            params.interleaved, params.alpha, params.limit);
}

Expr gateRow(const ActivationParams &params, Expr column) {
  return params.interleaved ? column * 2 : column;
}

Expr upRow(const ActivationParams &params, Expr column, int64_t width) {
  return params.interleaved ? column * 2 + 1 : column + width;
}

} // namespace moe::codegen::cuda
