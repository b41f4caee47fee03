//===- DenseTest.cpp - Tests of the CPU's dense GEMM kernels --------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Program.h"

#include <cmath>
#include <gtest/gtest.h>

using namespace moe::codegen::cpu;
using namespace moe::codegen::cpu::test;

namespace {
struct Case {
  Target target;
  Element element;
  int64_t columns, length;
  bool bias, dynamicColumns;
};
} // namespace

static Program makeGate(const Case &c) {
  int64_t columns = c.dynamicColumns ? -1 : c.columns;
  std::vector<Program::Operand> operands{{c.element, {-1, c.length}},
                                         {c.element, {columns, c.length}},
                                         {Element::F32, {-1, columns}}};
  if (c.bias)
    operands.push_back({Element::F32, {columns}});
  return Program(c.target, operands,
                 [&](const Emission &emission, mlir::ValueRange operands) {
                   GateOperands gate{operands[0], operands[1], {}, operands[2]};
                   if (c.bias)
                     gate.bias = operands[3];
                   return lowerGate(emission, gate);
                 });
}

/// The largest error of y = x * w^T + bias, relative to what rounding allows.
static double gateError(const Tensor &x, const Tensor &w, const Tensor *bias,
                        const Tensor &y) {
  double worst = 0;
  for (int64_t t = 0; t < x.getShape()[0]; ++t)
    for (int64_t n = 0; n < w.getShape()[0]; ++n) {
      double sum = bias ? bias->get(n) : 0, magnitude = std::fabs(sum);
      for (int64_t k = 0; k < x.getShape()[1]; ++k) {
        sum += x.get(t, k) * w.get(n, k);
        magnitude += std::fabs(x.get(t, k) * w.get(n, k));
      }
      double error = std::fabs(y.get(t, n) - sum) / (magnitude + 1e-30);
      // A NaN is the worst error.
      worst = error <= worst ? worst : error;
    }
  return worst;
}

TEST(CPUDense, GateMatchesPlainLoops) {
  std::mt19937 random(1);
  for (const Target &target : runnableTargets())
    for (Element element : {Element::F32, Element::BF16, Element::F16})
      for (const Case &c : {Case{target, element, 64, 96, false, false},
                            Case{target, element, 37, 100, true, false},
                            Case{target, element, 40, 96, true, true},
                            Case{target, element, 5, 7, false, true}}) {
        SCOPED_TRACE(target.cpu + " " + name(element) + " " +
                     std::to_string(c.columns) + "x" +
                     std::to_string(c.length));
        Program program = makeGate(c);
        ASSERT_TRUE(program.valid());
        for (int64_t tokens : {0, 1, 7, 64, 300}) {
          Tensor x(element, {tokens, c.length}),
              w(element, {c.columns, c.length});
          Tensor bias(Element::F32, {c.columns});
          Tensor y(Element::F32, {tokens, c.columns});
          x.fill(random, 1.0);
          w.fill(random, 1.0);
          bias.fill(random, 1.0);
          std::vector<Tensor *> operands{&x, &w, &y};
          if (c.bias)
            operands.push_back(&bias);
          program.run(operands);
          EXPECT_LT(gateError(x, w, c.bias ? &bias : nullptr, y), 1e-6);
          EXPECT_TRUE(y.intact());
        }
      }
}
