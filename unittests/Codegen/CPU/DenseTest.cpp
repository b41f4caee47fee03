//===- DenseTest.cpp - Tests of the CPU's dense GEMM kernels --------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "PlainMLP.h"

#include <cmath>
#include <gtest/gtest.h>

using namespace moe;
using namespace moe::codegen::cpu;
using namespace moe::codegen::cpu::test;

namespace {
struct Case {
  Target target;
  Element element;
  int64_t columns, length;
  bool bias, dynamicColumns;
  bool wideWeights = false; ///< f32, whatever x is.

  Element weights() const { return wideWeights ? Element::F32 : element; }
};
} // namespace

static Program makeGate(const Case &c) {
  int64_t columns = c.dynamicColumns ? -1 : c.columns;
  std::vector<Program::Operand> operands{{c.element, {-1, c.length}},
                                         {c.weights(), {columns, c.length}},
                                         {Element::F32, {-1, columns}}};
  if (c.bias)
    operands.push_back({Element::F32, {columns}});
  return Program(c.target, operands,
                 [&](const Emission &emission, mlir::ValueRange operands) {
                   return emit<GateOp>(emission, operands[0], operands[1],
                                       c.bias ? operands[3] : mlir::Value(),
                                       operands[2]);
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
                            Case{target, element, 5, 7, false, true},
                            Case{target, element, 24, 75, false, true, true}}) {
        SCOPED_TRACE(target.cpu + " " + name(element) + " " +
                     std::to_string(c.columns) + "x" +
                     std::to_string(c.length));
        Program program = makeGate(c);
        ASSERT_TRUE(program.valid());
        for (int64_t tokens : {0, 1, 7, 64, 300}) {
          Tensor x(element, {tokens, c.length}),
              w(c.weights(), {c.columns, c.length});
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

// E.g. the rows of a panel's last group, which are fewer, and of other panels.
TEST(CPUDense, RowsDoNotDependOnTheBatch) {
  constexpr int64_t kTokens = 131;
  for (const Target &target : runnableTargets())
    for (Element element : {Element::F32, Element::BF16, Element::F16}) {
      SCOPED_TRACE(target.cpu + " " + name(element));
      Case c{target, element, 37, 100, false, false};
      Program program = makeGate(c);
      ASSERT_TRUE(program.valid());
      std::mt19937 random(2);
      Tensor x(element, {kTokens, c.length}), w(element, {c.columns, c.length});
      Tensor y(Element::F32, {kTokens, c.columns});
      // Every row is the same, so every result must be.
      x.fill(random, 1.0);
      w.fill(random, 1.0);
      for (int64_t i = c.length; i < x.size(); ++i)
        x.set(i, x.get(i - c.length));
      for (LaunchOrder order : {LaunchOrder::Forward, LaunchOrder::Backward,
                                LaunchOrder::Threads}) {
        program.run({&x, &w, &y}, order);
        for (int64_t t = 1; t < kTokens; ++t)
          EXPECT_TRUE(y.equalRows(t, y, 0)) << t;
      }
    }
}

TEST(CPUDense, ProjectRoundsToTheModelType) {
  for (Element element : {Element::F32, Element::BF16, Element::F16}) {
    SCOPED_TRACE(name(element));
    Program program(
        Target::host(),
        {{element, {-1, 80}}, {element, {50, 80}}, {element, {-1, 50}}},
        [](const Emission &emission, mlir::ValueRange all) {
          return emit<ProjectOp>(emission, all[0], all[1], all[2]);
        });
    ASSERT_TRUE(program.valid());
    std::mt19937 random(3);
    Tensor x(element, {9, 80}), w(element, {50, 80}), y(element, {9, 50});
    x.fill(random, 1.0);
    w.fill(random, 1.0);
    program.run({&x, &w, &y});
    EXPECT_LT(gateError(x, w, nullptr, y), tolerance(element));
    EXPECT_TRUE(y.intact());
  }
}

TEST(CPUDense, SharedExpertsMatchPlainLoops) {
  constexpr int64_t kHidden = 100, kWidth = 37;
  for (Element element : {Element::F32, Element::BF16, Element::F16})
    for (bool gate : {false, true}) {
      SCOPED_TRACE(name(element));
      Program program(Target::host(),
                      {{element, {-1, kHidden}},
                       {element, {2 * kWidth, kHidden}},
                       {element, {kHidden, kWidth}},
                       {element, {1, kHidden}},
                       {Element::F32, {-1, kHidden}}},
                      [&](const Emission &emission, mlir::ValueRange all) {
                        return emit<SharedExpertsOp>(
                            emission, all[0], all[1], all[2],
                            gate ? all[3] : mlir::Value(), all[4],
                            ActivationAttr::get(emission.loc.getContext(),
                                                ActivationKind::swiglu));
                      });
      ASSERT_TRUE(program.valid());
      std::mt19937 random(4);
      for (int64_t tokens : {0, 1, 7, 64}) {
        Tensor x(element, {tokens, kHidden}), g(element, {1, kHidden});
        Tensor w13(element, {1, 2 * kWidth, kHidden});
        Tensor w2(element, {1, kHidden, kWidth});
        Tensor shared(Element::F32, {tokens, kHidden});
        x.fill(random, 1.0);
        g.fill(random, 0.1);
        w13.fill(random, 0.2);
        w2.fill(random, 0.1);
        program.run({&x, &w13, &w2, &g, &shared}, LaunchOrder::Threads);
        double error = 0, norm = 0;
        for (int64_t t = 0; t < tokens; ++t) {
          std::vector<double> row;
          double dot = 0;
          for (int64_t i = 0; i < kHidden; ++i) {
            row.push_back(x.get(t, i));
            dot += row.back() * g.get(i);
          }
          double scale = gate ? 1 / (1 + std::exp(-dot)) : 1.0;
          std::vector<double> out = plainMLP(row, w13, w2, nullptr, nullptr, 0);
          for (int64_t i = 0; i < kHidden; ++i) {
            error += std::pow(shared.get(t, i) - scale * out[i], 2);
            norm += std::pow(scale * out[i], 2);
          }
        }
        EXPECT_LE(std::sqrt(error), tolerance(element) * std::sqrt(norm));
        EXPECT_TRUE(shared.intact());
      }
    }
}

// The sum is exact in f32 here, so y is its rounding to nearest even.
TEST(CPUDense, MergeRoundsToNearestEven) {
  for (Element element : {Element::F32, Element::BF16, Element::F16})
    for (bool hasShared : {false, true})
      for (const Target &target : runnableTargets()) {
        SCOPED_TRACE(target.cpu + " " + name(element));
        Program program(target,
                        {{Element::F32, {-1, 45}},
                         {Element::F32, {-1, 45}},
                         {element, {-1, 45}}},
                        [&](const Emission &emission, mlir::ValueRange all) {
                          mlir::Value none;
                          return emit<MergeOp>(
                              emission, all[0], hasShared ? all[1] : none, none,
                              none, none, all[2], mlir::IntegerAttr(),
                              mlir::FloatAttr(),
                              moe::schedule::CommunicatorAttr());
                        });
        ASSERT_TRUE(program.valid());
        std::mt19937 random(5);
        Tensor routed(Element::F32, {3, 45}), shared(Element::F32, {3, 45});
        Tensor y(element, {3, 45}), expected(element, {3, 45});
        for (int64_t i = 0; i < routed.size(); ++i) {
          // Multiples of 2^-6 up to 2^9: many are halfway between two values.
          routed.set(i, static_cast<int>(random() % 65536 - 32768) / 64.0);
          shared.set(i, static_cast<int>(random() % 65536 - 32768) / 64.0);
          expected.set(i, routed.get(i) + (hasShared ? shared.get(i) : 0.0));
        }
        routed.set(0, std::nan(""));
        program.run({&routed, &shared, &y});
        EXPECT_TRUE(std::isnan(y.get(0)));
        for (int64_t i = 1; i < y.size(); ++i)
          EXPECT_EQ(y.get(i), expected.get(i));
        EXPECT_TRUE(y.intact());
      }
}

// y[t] += scale * x[t] * the weights of the token's zero experts.
TEST(CPUDense, MergeAddsZeroExperts) {
  constexpr int64_t kExperts = 6, kChosen = 3, kHidden = 45, kTokens = 20;
  Program program(Target::host(),
                  {{Element::F32, {-1, kHidden}},
                   {Element::BF16, {-1, kHidden}},
                   {Element::I32, {-1, kChosen}},
                   {Element::F32, {-1, kChosen}},
                   {Element::F32, {-1, kHidden}}},
                  [](const Emission &emission, mlir::ValueRange all) {
                    mlir::Builder &b = emission.builder;
                    return emit<MergeOp>(emission, all[0], mlir::Value(),
                                         all[1], all[2], all[3], all[4],
                                         b.getI64IntegerAttr(kExperts),
                                         b.getF64FloatAttr(6.0),
                                         moe::schedule::CommunicatorAttr());
                  });
  ASSERT_TRUE(program.valid());
  std::mt19937 random(6);
  Tensor routed(Element::F32, {kTokens, kHidden});
  Tensor x(Element::BF16, {kTokens, kHidden});
  Tensor ids(Element::I32, {kTokens, kChosen});
  Tensor weights(Element::F32, {kTokens, kChosen});
  Tensor y(Element::F32, {kTokens, kHidden});
  routed.fill(random, 1.0);
  x.fill(random, 1.0);
  weights.fill(random, 1.0);
  for (int64_t i = 0; i < ids.size(); ++i)
    ids.set(i, static_cast<int64_t>(random() % 10) - 1);
  program.run({&routed, &x, &ids, &weights, &y});
  for (int64_t t = 0; t < kTokens; ++t) {
    double weight = 0;
    for (int64_t j = 0; j < kChosen; ++j)
      weight += ids.get(t, j) >= kExperts ? weights.get(t, j) : 0.0;
    for (int64_t i = 0; i < kHidden; ++i)
      EXPECT_NEAR(y.get(t, i), routed.get(t, i) + 6.0 * weight * x.get(t, i),
                  1e-4);
  }
  EXPECT_TRUE(y.intact());
}
