//===- PlainMLP.cpp - An expert in double precision -----------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "PlainMLP.h"

#include <algorithm>
#include <cmath>

using namespace moe;
using namespace moe::codegen::cpu;
using namespace moe::codegen::cpu::test;

static double plainActivation(ActivationKind activation, double g, double u) {
  constexpr double limit = 7.0, alpha = 1.702;
  switch (activation) {
  case ActivationKind::swiglu:
    return g / (1 + std::exp(-g)) * u;
  case ActivationKind::geglu:
    return g / 2 * (1 + std::erf(g / std::sqrt(2.0))) * u;
  case ActivationKind::geglu_tanh:
    return g / 2 *
           (1 + std::tanh(std::sqrt(2 / M_PI) * (g + 0.044715 * g * g * g))) *
           u;
  case ActivationKind::swigluoai:
    g = std::min(g, limit);
    u = std::clamp(u, -limit, limit);
    return (u + 1) * g / (1 + std::exp(-alpha * g));
  case ActivationKind::relu2:
    return std::max(g, 0.0) * std::max(g, 0.0) * u;
  }
  return 0;
}

std::vector<double>
moe::codegen::cpu::test::plainMLP(const std::vector<double> &row,
                                  const Tensor &w13, const Tensor &w2,
                                  const Tensor *b13, const Tensor *b2,
                                  int64_t expert, ActivationKind activation) {
  int64_t hidden = row.size(), width = w2.getShape().back();
  auto linear = [&](int64_t n) {
    double sum = b13 ? b13->get(expert, n) : 0.0;
    for (int64_t i = 0; i < hidden; ++i)
      sum += row[i] * w13.get(expert, n, i);
    return sum;
  };
  std::vector<double> inner, out;
  for (int64_t n = 0; n < width; ++n) {
    bool isGated = activation != ActivationKind::relu2;
    double up = isGated ? linear(width + n) : 1.0;
    inner.push_back(plainActivation(activation, linear(n), up));
  }
  for (int64_t i = 0; i < hidden; ++i) {
    out.push_back(b2 ? b2->get(expert, i) : 0.0);
    for (int64_t n = 0; n < width; ++n)
      out.back() += inner[n] * w2.get(expert, i, n);
  }
  return out;
}

double moe::codegen::cpu::test::tolerance(Element element) {
  return element == Element::F32    ? 1e-5
         : element == Element::BF16 ? 1e-2
                                    : 2e-3;
}
