//===- GemmKernelTest.cpp - Products of matrices in the kernels -----------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The kernels of project, experts and shared experts on an emulated GPU: by
// threads, by mma.sync for few rows and by wgmma with every kind of tile,
// against plain loops in double precision.
//
//===----------------------------------------------------------------------===//

#include "Emulated.h"

#include "gtest/gtest.h"
#include <cmath>

using namespace moe::codegen::cuda::test;

/// What rounding to the element type may change, relative to the value.
static double precision(Element element) {
  return element == Element::F32   ? 2e-6
         : element == Element::F16 ? 1.1e-3
                                   : 8.5e-3;
}

//===----------------------------------------------------------------------===//
// Project: one product
//===----------------------------------------------------------------------===//

static void testProject(Element element, int64_t depth, int64_t columns,
                        const std::vector<int64_t> &numsOfTokens) {
  SCOPED_TRACE(std::string(nameOf(element)) + ", " + std::to_string(depth) +
               " to " + std::to_string(columns));
  std::mt19937 random(depth);
  Tensor w = exactTensor(random, element, {columns, depth});
  Phase project({{"x", matrix(depth, element)},
                 {"w", w.type()},
                 {"y", matrix(columns, element)}},
                "moe.project ins(%x, %w : !x, !w) outs(%y : !y)");
  for (int64_t tokens : numsOfTokens) {
    Tensor x = exactTensor(random, element, {tokens, depth});
    Tensor y(element, {tokens, columns});
    project.run({&x, &w, &y});
    // The sums are exact, so that only their rounding is left.
    expectValues(y, 0, [&](int64_t token, int64_t column) {
      double sum = 0;
      for (int64_t i = 0; i < depth; ++i)
        sum += x.get(token, i) * w.get(column, i);
      return sum;
    });
  }
}

TEST(ProjectKernelTest, ByThreads) {
  testProject(Element::F32, 67, 35, {0, 1, 5, 33, 130});
  testProject(Element::F32, 64, 128, {70});
  testProject(Element::BF16, 20, 12, {0, 1, 33});
}

TEST(ProjectKernelTest, OnTensorCores) {
  testProject(Element::BF16, 72, 136, {0, 1, 5, 33, 200});
  testProject(Element::F16, 128, 64, {1, 17, 300});
}

//===----------------------------------------------------------------------===//
// Experts: two products, with an activation between
//===----------------------------------------------------------------------===//

static double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

static double activate(const std::string &kind, double gate, double up) {
  if (kind == "swiglu")
    return gate * sigmoid(gate) * up;
  if (kind == "geglu")
    return gate * 0.5 * std::erfc(-gate / std::sqrt(2.0)) * up;
  if (kind == "geglu_tanh")
    return gate * 0.5 *
           (1 + std::tanh(std::sqrt(2 / M_PI) *
                          (gate + 0.044715 * gate * gate * gate))) *
           up;
  if (kind == "swigluoai") {
    double g = std::min(gate, 7.0), u = std::min(std::max(up, -7.0), 7.0);
    return (u + 1) * g * sigmoid(1.702 * g);
  }
  return std::max(gate, 0.0) * std::max(gate, 0.0); // relu2
}

namespace {
struct ExpertsCase {
  Element element = Element::BF16;
  int64_t experts = 3, hidden = 64, inter = 64;
  std::string activation = "swiglu";
  bool hasBias = false, hasInputWeights = false;
  std::string tiles; ///< `moe.gemm_tiles` of the function.

  bool isGated() const { return activation != "relu2"; }
  /// Rows of w13 of an output of the first product: gate, and up.
  std::pair<int64_t, int64_t> rowsOf(int64_t i) const {
    return {i, isGated() ? i + inter : i};
  }
};
} // namespace

static std::string textOf(const ExpertsCase &test) {
  return std::string("moe.experts ins(%x, %offsets, %source, %w13, %w2 : !x, "
                     "!offsets, !source, !w13, !w2) ") +
         (test.hasBias ? "biases(%b13, %b2 : !b13, !b2) " : "") +
         (test.hasInputWeights ? "input_weights(%weights : !weights) " : "") +
         "outs(%y : !y) activation(<" + test.activation + ">)";
}

/// `counts` are the rows of each expert; `tokens` is what they come from.
static void testExperts(const ExpertsCase &test,
                        const std::vector<std::vector<int64_t>> &plans,
                        int64_t tokens = 9) {
  SCOPED_TRACE(textOf(test) + test.tiles);
  std::mt19937 random(test.hidden + test.inter);
  int64_t L = test.experts, H = test.hidden, I = test.inter;
  int64_t rows13 = test.isGated() ? 2 * I : I;
  Tensor w13 = exactTensor(random, test.element, {L, rows13, H});
  Tensor w2 = exactTensor(random, test.element, {L, H, I});
  for (int64_t i = 0; i < w13.size(); ++i)
    w13.set(i, w13.get(i) / 4);
  Tensor b13 = exactTensor(random, test.element, {L, rows13});
  Tensor b2 = exactTensor(random, test.element, {L, H});
  Tensor offsets(Element::I32, {L + 1});
  Phase phase({{"x", matrix(H, test.element)},
               {"offsets", offsets.type()},
               {"source", "memref<?xi32>"},
               {"w13", w13.type()},
               {"w2", w2.type()},
               {"b13", b13.type()},
               {"b2", b2.type()},
               {"weights", matrix(1, Element::F32)},
               {"y", matrix(H, test.element)}},
              textOf(test),
              test.tiles.empty() ? ""
                                 : "{moe.gemm_tiles = " + test.tiles + "}");
  for (const std::vector<int64_t> &counts : plans) {
    int64_t count = 0;
    for (int64_t expert = 0; expert < L; ++expert) {
      offsets.set(expert, count);
      count += counts[expert];
    }
    offsets.set(L, count);
    // One row more than there are pairs: rows behind the last are nobody's.
    Tensor x = exactTensor(random, test.element, {tokens, H});
    Tensor source(Element::I32, {count + 1}, [&](int64_t i) {
      return static_cast<double>((i * 5 + 3) % tokens);
    });
    Tensor weights = exactTensor(random, Element::F32, {tokens, 1});
    Tensor y(test.element, {count + 1, H});
    phase.run({&x, &offsets, &source, &w13, &w2, &b13, &b2, &weights, &y});
    if (::testing::Test::HasFatalFailure() || ::testing::Test::HasFailure())
      return;
    for (int64_t column = 0; column < H; ++column)
      EXPECT_FALSE(y.isSet(count * H + column)) << "behind the last row";
    for (int64_t expert = 0; expert < L; ++expert)
      for (int64_t row = offsets.get(expert); row < offsets.get(expert + 1);
           ++row) {
        int64_t token = source.get(row);
        double factor = test.hasInputWeights ? weights.get(token) : 1;
        auto product = [&](int64_t place) {
          double sum = 0;
          for (int64_t i = 0; i < H; ++i)
            sum += x.get(token, i) * w13.get((expert * rows13 + place) * H + i);
          return factor * sum +
                 (test.hasBias ? b13.get(expert * rows13 + place) : 0);
        };
        std::vector<double> inner;
        for (int64_t i = 0; i < I; ++i) {
          auto [gate, up] = test.rowsOf(i);
          inner.push_back(
              rounded(activate(test.activation, product(gate), product(up)),
                      test.element));
        }
        for (int64_t column = 0; column < H; ++column) {
          double sum = test.hasBias ? b2.get(expert * H + column) : 0;
          double size = 1;
          for (int64_t i = 0; i < I; ++i) {
            double part = inner[i] * w2.get((expert * H + column) * I + i);
            sum += part;
            size += std::abs(part);
          }
          double got = y.get(row, column);
          ASSERT_TRUE(y.isSet(row * H + column)) << row << ", " << column;
          ASSERT_TRUE(std::abs(got - sum) <= precision(test.element) * size)
              << "expert " << expert << ", row " << row << ", column " << column
              << ": expected " << sum << " but got " << got;
        }
      }
  }
}

// No rows at all, an expert without any, one row, and more than a tile.
static const std::vector<std::vector<int64_t>> kPlans{
    {0, 0, 0}, {1, 0, 0}, {0, 5, 2}, {3, 0, 40}};

TEST(ExpertsKernelTest, ByThreads) {
  ExpertsCase test;
  test.element = Element::F32;
  test.hidden = 20;
  test.inter = 12;
  for (const char *activation :
       {"swiglu", "geglu", "geglu_tanh", "swigluoai", "relu2"}) {
    test.activation = activation;
    testExperts(test, kPlans);
    test.hasBias = !test.hasBias;
    test.hasInputWeights = !test.hasInputWeights;
  }
}

TEST(ExpertsKernelTest, FewRows) {
  ExpertsCase test;
  test.experts = 4;
  for (Element element : {Element::BF16, Element::F16}) {
    test.element = element;
    testExperts(test, {{0, 1, 0, 2}, {4, 0, 3, 9}});
    test.hidden = 72;
    test.inter = 40;
    test.hasBias = true;
    test.hasInputWeights = true;
  }
}

TEST(ExpertsKernelTest, OnTensorCores) {
  ExpertsCase test;
  test.hasBias = true;
  for (const char *activation : {"swiglu", "swigluoai", "relu2"}) {
    test.activation = activation;
    testExperts(test, {{3, 0, 40}, {70, 1, 130}});
    test.hidden = 136;
    test.inter = 72;
    test.element = Element::F16;
  }
}

//===----------------------------------------------------------------------===//
// Shared experts
//===----------------------------------------------------------------------===//

static void testShared(Element element, int64_t hidden, int64_t inter,
                       const std::string &activation, bool hasGate,
                       const std::vector<int64_t> &numsOfTokens) {
  std::mt19937 random(hidden);
  ExpertsCase shape;
  shape.activation = activation;
  shape.inter = inter;
  int64_t rows13 = shape.isGated() ? 2 * inter : inter;
  Tensor w13 = exactTensor(random, element, {rows13, hidden});
  for (int64_t i = 0; i < w13.size(); ++i)
    w13.set(i, w13.get(i) / 4);
  Tensor w2 = exactTensor(random, element, {hidden, inter});
  Tensor gate = exactTensor(random, element, {1, hidden});
  Phase phase({{"x", matrix(hidden, element)},
               {"w13", w13.type()},
               {"w2", w2.type()},
               {"gate", gate.type()},
               {"y", matrix(hidden, Element::F32)}},
              std::string("moe.shared_experts ins(%x, %w13, %w2 : !x, !w13, "
                          "!w2) ") +
                  (hasGate ? "gate(%gate : !gate) " : "") +
                  "outs(%y : !y) activation(<" + activation + ">)");
  for (int64_t tokens : numsOfTokens) {
    Tensor x = exactTensor(random, element, {tokens, hidden});
    Tensor y(Element::F32, {tokens, hidden});
    phase.run({&x, &w13, &w2, &gate, &y});
    auto product = [&](const Tensor &w, int64_t row, int64_t token) {
      double sum = 0;
      for (int64_t i = 0; i < hidden; ++i)
        sum += x.get(token, i) * w.get(row, i);
      return sum;
    };
    Tensor inner(element, {tokens, inter}, [&](int64_t i) {
      int64_t token = i / inter;
      auto [gateRow, upRow] = shape.rowsOf(i % inter);
      return activate(activation, product(w13, gateRow, token),
                      product(w13, upRow, token));
    });
    expectValues(y, 4 * precision(element), [&](int64_t token, int64_t column) {
      double sum = 0;
      for (int64_t i = 0; i < inter; ++i)
        sum += inner.get(token, i) * w2.get(column, i);
      return hasGate ? sum * sigmoid(product(gate, 0, token)) : sum;
    });
  }
}

TEST(SharedExpertsKernelTest, WithAndWithoutGate) {
  testShared(Element::F32, 20, 12, "swiglu", true, {0, 1, 5, 33});
  testShared(Element::BF16, 64, 40, "geglu", true, {0, 1, 5, 33});
  testShared(Element::F16, 72, 64, "relu2", false, {1, 130});
}
