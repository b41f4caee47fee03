//===- ExpertsTest.cpp - Tests of the CPU's kernels for routed experts ----===//
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
  Element element;
  int64_t experts, chosen, hidden, width;
  ActivationKind activation = ActivationKind::swiglu;
  bool biases = false;
  bool inputWeight = false;
  double scale = 1.0;

  /// Rows of the first weight.
  int64_t rows() const {
    return activation == ActivationKind::relu2 ? width : 2 * width;
  }
};

/// Operands and results of dispatch, experts and combine.
struct Layer {
  Layer(const Case &c, int64_t tokens)
      : x(c.element, {tokens, c.hidden}), ids(Element::I32, {tokens, c.chosen}),
        weights(Element::F32, {tokens, c.chosen}),
        w13(c.element, {c.experts, c.rows(), c.hidden}),
        w2(c.element, {c.experts, c.hidden, c.width}),
        b13(Element::F32, {c.experts, w13.getShape()[1]}),
        b2(c.element, {c.experts, c.hidden}),
        offsets(Element::I32, {c.experts + 1}),
        sources(Element::I32, {tokens * c.chosen}),
        pairRows(Element::I32, {tokens, c.chosen}),
        out(c.element, {tokens * c.chosen, c.hidden}),
        routed(Element::F32, {tokens, c.hidden}) {}

  void fill(std::mt19937 &random) {
    x.fill(random, 1.0);
    weights.fill(random, 1.0);
    double deviation = 1.0 / std::sqrt(x.getShape()[1]);
    w13.fill(random, 2 * deviation);
    w2.fill(random, deviation);
    b13.fill(random, 1.0);
    b2.fill(random, 1.0);
  }
  std::vector<Tensor *> operands() {
    return {&x,  &ids,     &weights, &w13,      &w2,  &b13,
            &b2, &offsets, &sources, &pairRows, &out, &routed};
  }

  Tensor x, ids, weights, w13, w2, b13, b2;
  Tensor offsets, sources, pairRows, out, routed;
};
} // namespace

/// A combine on one rank.
static llvm::LogicalResult emitCombine(const Emission &emission,
                                       mlir::Value expertOut,
                                       mlir::Value pairRows,
                                       mlir::Value weights, mlir::Value routed,
                                       double scale) {
  mlir::Value none;
  return emit<CombineOp>(emission, expertOut, pairRows, weights, none, none,
                         none, routed, emission.builder.getF64FloatAttr(scale),
                         ExchangeAttr(), mlir::IntegerAttr());
}

/// Experts are dynamic, as in compiled layers.
static Program makeExperts(const Target &target, const Case &c) {
  int64_t rows = c.rows();
  return Program(target,
                 {{c.element, {-1, c.hidden}},
                  {Element::I32, {-1, c.chosen}},
                  {Element::F32, {-1, c.chosen}},
                  {c.element, {-1, rows, c.hidden}},
                  {c.element, {-1, c.hidden, c.width}},
                  {Element::F32, {-1, rows}},
                  {c.element, {-1, c.hidden}},
                  {Element::I32, {-1}},
                  {Element::I32, {-1}},
                  {Element::I32, {-1, c.chosen}},
                  {c.element, {-1, c.hidden}},
                  {Element::F32, {-1, c.hidden}}},
                 [&](const Emission &emission, mlir::ValueRange all) {
                   mlir::Value none;
                   auto activation = ActivationAttr::get(
                       emission.loc.getContext(), c.activation);
                   return mlir::failure(
                       failed(emit<DispatchPlanOp>(emission, all[1], none,
                                                   all[7], all[8], all[9])) ||
                       failed(emit<ExpertsOp>(
                           emission, all[0], all[7], all[8], all[3], all[4],
                           c.biases ? all[5] : none, c.biases ? all[6] : none,
                           none, none, c.inputWeight ? all[2] : none, all[10],
                           activation, QuantAttr())) ||
                       failed(emitCombine(emission, all[10], all[9], all[2],
                                          all[11], c.scale)));
                 });
}

//===----------------------------------------------------------------------===//
// Plain evaluation
//===----------------------------------------------------------------------===//

static void expectPlan(const Layer &layer, int64_t experts) {
  int64_t tokens = layer.ids.getShape()[0], chosen = layer.ids.getShape()[1];
  int64_t next = 0;
  for (int64_t e = 0; e < experts; ++e) {
    ASSERT_EQ(layer.offsets.get(e), next);
    for (int64_t t = 0; t < tokens; ++t)
      for (int64_t j = 0; j < chosen; ++j)
        if (layer.ids.get(t, j) == e) {
          ASSERT_EQ(layer.sources.get(next), t);
          ASSERT_EQ(layer.pairRows.get(t, j), next);
          ++next;
        }
  }
  ASSERT_EQ(layer.offsets.get(experts), next);
  for (int64_t row = next; row < layer.sources.size(); ++row)
    ASSERT_EQ(layer.sources.get(row), -1);
  for (int64_t i = 0; i < layer.ids.size(); ++i) {
    if (layer.ids.get(i) < 0 || layer.ids.get(i) >= experts) {
      ASSERT_EQ(layer.pairRows.get(i), -1);
    }
  }
}

/// The relative Frobenius error of the routed output.
static double routedError(const Case &c, const Layer &layer) {
  double error = 0, norm = 0;
  for (int64_t t = 0; t < layer.x.getShape()[0]; ++t) {
    std::vector<double> expected(c.hidden, 0.0);
    for (int64_t j = 0; j < c.chosen; ++j) {
      int64_t e = layer.ids.get(t, j);
      if (e < 0 || e >= c.experts)
        continue;
      std::vector<double> row;
      for (int64_t i = 0; i < c.hidden; ++i)
        row.push_back(layer.x.get(t, i) *
                      (c.inputWeight ? layer.weights.get(t, 0) : 1.0));
      std::vector<double> out =
          plainMLP(row, layer.w13, layer.w2, c.biases ? &layer.b13 : nullptr,
                   c.biases ? &layer.b2 : nullptr, e, c.activation);
      for (int64_t i = 0; i < c.hidden; ++i)
        expected[i] += c.scale * layer.weights.get(t, j) * out[i];
    }
    for (int64_t i = 0; i < c.hidden; ++i) {
      double difference = layer.routed.get(t, i) - expected[i];
      error += difference * difference;
      norm += expected[i] * expected[i];
    }
  }
  return std::sqrt(error / (norm + 1e-30));
}

//===----------------------------------------------------------------------===//
// Tests
//===----------------------------------------------------------------------===//

/// Ids with repetition over tokens, some -1 and some out of range.
static void fillIds(Tensor &ids, int64_t experts, std::mt19937 &random) {
  for (int64_t i = 0; i < ids.size(); ++i) {
    int64_t choice = random() % 20;
    // Expert 1 stays empty; no other does for long.
    int64_t id = random() % experts;
    ids.set(i, choice == 0 ? -1 : choice == 1 ? experts : id == 1 ? 0 : id);
  }
}

static void expectMatch(const Target &target, const Case &c,
                        std::vector<int64_t> batches = {0, 1, 7, 64, 300}) {
  SCOPED_TRACE(target.cpu + " " + name(c.element) + " H=" +
               std::to_string(c.hidden) + " I=" + std::to_string(c.width));
  Program program = makeExperts(target, c);
  ASSERT_TRUE(program.valid());
  std::mt19937 random(5);
  for (int64_t tokens : batches) {
    Layer layer(c, tokens);
    layer.fill(random);
    fillIds(layer.ids, c.experts, random);
    program.run(layer.operands());
    expectPlan(layer, c.experts);
    EXPECT_LT(routedError(c, layer), tolerance(c.element)) << tokens;
    EXPECT_TRUE(layer.out.intact() && layer.routed.intact() &&
                layer.offsets.intact() && layer.sources.intact() &&
                layer.pairRows.intact());
  }
}

TEST(CPUExperts, MatchPlainLoops) {
  for (const Target &target : runnableTargets())
    for (Element element : {Element::F32, Element::BF16, Element::F16})
      for (auto [hidden, width] :
           {std::pair<int64_t, int64_t>{96, 40}, {100, 37}, {64, 64}})
        expectMatch(target, {element, 5, 3, hidden, width});
}

TEST(CPUExperts, EveryActivation) {
  for (const Target &target : runnableTargets())
    for (ActivationKind activation :
         {ActivationKind::swiglu, ActivationKind::geglu,
          ActivationKind::geglu_tanh, ActivationKind::swigluoai,
          ActivationKind::relu2}) {
      SCOPED_TRACE(moe::name(activation));
      expectMatch(target, {Element::F32, 4, 2, 48, 37, activation, true},
                  {1, 64});
    }
}

TEST(CPUExperts, BiasesInputWeightAndScale) {
  for (Element element : {Element::F32, Element::BF16}) {
    expectMatch(Target::host(), {element, 6, 1, 96, 40, ActivationKind::swiglu,
                                 true, true, 2.5});
  }
}

// K is split into blocks where rows are longer than a block.
TEST(CPUExperts, LongRows) {
  for (Element element : {Element::F32, Element::F16})
    expectMatch(Target::host(), {element, 3, 2, 2500, 64}, {1, 7});
}

// Rows of tokens are bitwise the same whether they come alone, among others, in
// whichever order blocks run, on threads or not.
TEST(CPUExperts, RowsDoNotDependOnTheBatch) {
  constexpr int64_t kTokens = 65;
  for (const Target &target : runnableTargets())
    for (Element element : {Element::F32, Element::BF16, Element::F16}) {
      SCOPED_TRACE(target.cpu + " " + name(element));
      Case c{element, 4, 2, 100, 37};
      Program program = makeExperts(target, c);
      ASSERT_TRUE(program.valid());
      std::mt19937 random(6);
      Layer all(c, kTokens);
      all.fill(random);
      fillIds(all.ids, c.experts, random);
      program.run(all.operands());
      for (LaunchOrder order : {LaunchOrder::Backward, LaunchOrder::Threads}) {
        Layer again(all);
        program.run(again.operands(), order);
        for (int64_t t = 0; t < kTokens; ++t)
          EXPECT_TRUE(all.routed.equalRows(t, again.routed, t));
      }
      for (int64_t tokens = 1; tokens < 8; ++tokens) {
        // The last tokens, alone.
        Layer part(c, tokens);
        std::swap(part.w13, all.w13);
        std::swap(part.w2, all.w2);
        int64_t first = kTokens - tokens;
        for (int64_t i = 0; i < part.x.size(); ++i)
          part.x.set(i, all.x.get(first * c.hidden + i));
        for (int64_t i = 0; i < part.ids.size(); ++i) {
          part.ids.set(i, all.ids.get(first * c.chosen + i));
          part.weights.set(i, all.weights.get(first * c.chosen + i));
        }
        program.run(part.operands());
        for (int64_t t = 0; t < tokens; ++t)
          EXPECT_TRUE(part.routed.equalRows(t, all.routed, first + t));
        std::swap(part.w13, all.w13);
        std::swap(part.w2, all.w2);
      }
    }
}

// Experts that are elsewhere are left out; the map may send ids anywhere.
TEST(CPUDispatchPlan, ExpertMap) {
  constexpr int64_t kChosen = 4, kTokens = 50;
  Program program(Target::host(),
                  {{Element::I32, {-1, kChosen}},
                   {Element::I32, {8}},
                   {Element::I32, {4}},
                   {Element::I32, {-1}},
                   {Element::I32, {-1, kChosen}}},
                  [](const Emission &emission, mlir::ValueRange all) {
                    return emit<DispatchPlanOp>(emission, all[0], all[1],
                                                all[2], all[3], all[4]);
                  });
  ASSERT_TRUE(program.valid());
  Case c{Element::F32, 3, kChosen, 16, 16};
  Layer layer(c, kTokens);
  std::mt19937 random(10);
  Tensor map(Element::I32, {8});
  const int64_t places[8] = {-1, 2, -1, 0, 1, 3, -7, -1};
  for (int64_t i = 0; i < 8; ++i)
    map.set(i, places[i]);
  for (int64_t i = 0; i < layer.ids.size(); ++i)
    layer.ids.set(i, static_cast<int64_t>(random() % 12) - 2);
  program.run(
      {&layer.ids, &map, &layer.offsets, &layer.sources, &layer.pairRows});
  // The plan is the one of the mapped ids.
  for (int64_t i = 0; i < layer.ids.size(); ++i) {
    int64_t id = layer.ids.get(i);
    layer.ids.set(i, id >= 0 && id < 8 ? places[id] : -1);
  }
  expectPlan(layer, c.experts);
}

// Without weights all are 1; the sums of narrow results are rounded once.
TEST(CPUCombine, NarrowResultWithoutWeights) {
  constexpr int64_t kPairs = 12, kHidden = 45;
  Program program(Target::host(),
                  {{Element::BF16, {-1, kHidden}},
                   {Element::I32, {-1, 3}},
                   {Element::BF16, {-1, kHidden}}},
                  [](const Emission &emission, mlir::ValueRange all) {
                    return emitCombine(emission, all[0], all[1],
                                       /*weights=*/{}, all[2], 0.5);
                  });
  ASSERT_TRUE(program.valid());
  Tensor out(Element::BF16, {kPairs, kHidden}), rows(Element::I32, {4, 3});
  Tensor routed(Element::BF16, {4, kHidden}), expected(routed);
  for (int64_t i = 0; i < out.size(); ++i)
    out.set(i, (i * 7 % 101 - 50) / 8.0);
  for (int64_t i = 0; i < rows.size(); ++i)
    rows.set(i, i % 5 == 0 ? -1 : kPairs - 1 - i);
  program.run({&out, &rows, &routed});
  for (int64_t t = 0; t < 4; ++t)
    for (int64_t i = 0; i < kHidden; ++i) {
      double sum = 0;
      for (int64_t j = 0; j < 3; ++j)
        if (rows.get(t, j) >= 0)
          sum += 0.5 * out.get(rows.get(t, j), i);
      // Exact in f32 and in double.
      expected.set(t * kHidden + i, sum);
      EXPECT_EQ(routed.get(t, i), expected.get(t, i));
    }
  EXPECT_TRUE(routed.intact());
}

// One expert gets every pair, then none does.
TEST(CPUExperts, ExtremesOfBalance) {
  Case c{Element::F32, 5, 2, 96, 40};
  Program program = makeExperts(Target::host(), c);
  ASSERT_TRUE(program.valid());
  std::mt19937 random(7);
  for (int64_t id : {3, -1}) {
    Layer layer(c, 64);
    layer.fill(random);
    for (int64_t i = 0; i < layer.ids.size(); ++i)
      layer.ids.set(i, id);
    program.run(layer.operands());
    expectPlan(layer, c.experts);
    EXPECT_LT(routedError(c, layer), tolerance(c.element));
    if (id < 0) {
      for (int64_t i = 0; i < layer.routed.size(); ++i)
        EXPECT_EQ(layer.routed.get(i), 0.0);
    }
  }
}

// Experts without rows may lie anywhere: here their weights are not mapped to
// numbers at all, and nothing of them reaches the output.
TEST(CPUExperts, ExpertsWithoutRowsAreNotUsed) {
  Case c{Element::BF16, 4, 2, 64, 64};
  Program program = makeExperts(Target::host(), c);
  ASSERT_TRUE(program.valid());
  std::mt19937 random(8);
  Layer layer(c, 16);
  layer.fill(random);
  int64_t size = layer.w13.size() / c.experts;
  for (int64_t i = 0; i < size; ++i)
    layer.w13.set(2 * size + i, std::nan(""));
  for (int64_t i = 0; i < layer.ids.size(); ++i)
    layer.ids.set(i, i % 2 ? 3 : 1);
  program.run(layer.operands());
  EXPECT_LT(routedError(c, layer), tolerance(c.element));
}

TEST(CPUDispatchPlan, ManyTokens) {
  Case c{Element::F32, 256, 8, 16, 16};
  Program program(Target::host(),
                  {{Element::I32, {-1, 8}},
                   {Element::I32, {257}},
                   {Element::I32, {-1}},
                   {Element::I32, {-1, 8}}},
                  [&](const Emission &emission, mlir::ValueRange all) {
                    return emit<DispatchPlanOp>(emission, all[0], mlir::Value(),
                                                all[1], all[2], all[3]);
                  });
  ASSERT_TRUE(program.valid());
  std::mt19937 random(9);
  Layer layer(c, 1000);
  for (int64_t i = 0; i < layer.ids.size(); ++i)
    layer.ids.set(i, static_cast<int64_t>(random() % 260) - 2);
  program.run({&layer.ids, &layer.offsets, &layer.sources, &layer.pairRows});
  expectPlan(layer, c.experts);
}
