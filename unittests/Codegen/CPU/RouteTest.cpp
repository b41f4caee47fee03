//===- RouteTest.cpp - Tests of the CPU's routing kernel ------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Testing/CPU/Program.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include <algorithm>
#include <cmath>
#include <gtest/gtest.h>
#include <limits>

using namespace moe;
using namespace moe::codegen::cpu;
using namespace moe::codegen::cpu::test;

static constexpr double kInfinity = std::numeric_limits<double>::infinity();
/// The choice score of experts outside the chosen groups: even below -infinity
/// in sortedIds().
static const double kExcluded = std::numeric_limits<double>::quiet_NaN();

namespace {
/// What `#moe.routing` says of the kernel.
struct Routing {
  ScoreFunction scores = ScoreFunction::softmax;
  WeightFunction weights = WeightFunction::score;
  int64_t groups = 1;
  int64_t chosenGroups = 1;
  GroupScore groupScore = GroupScore::max;
  bool renormalize = false;
  double epsilon = 0.0;
  double minimumSum = 0.0;
};

struct Case {
  const char *name;
  int64_t experts, chosen;
  bool bias;
  Routing params;
  bool dynamicExperts = false;
};
} // namespace

static RoutingAttr getAttr(mlir::MLIRContext *context, const Case &c) {
  const Routing &params = c.params;
  mlir::Builder b(context);
  return RoutingAttr::get(
      context, c.chosen, params.scores, params.weights, params.groups,
      params.chosenGroups, params.groupScore, params.renormalize,
      b.getF64FloatAttr(params.epsilon), b.getF64FloatAttr(params.minimumSum),
      /*scale=*/b.getF64FloatAttr(1.0), /*weight_on_input=*/false,
      /*zero_experts=*/0);
}

static Program makeRoute(const Target &target, const Case &c) {
  int64_t experts = c.dynamicExperts ? -1 : c.experts;
  return Program(target,
                 {{Element::F32, {-1, experts}},
                  {Element::F32, {experts}},
                  {Element::I32, {-1, c.chosen}},
                  {Element::F32, {-1, c.chosen}}},
                 [&](const Emission &emission, mlir::ValueRange operands) {
                   mlir::Value none;
                   return emit<RouteOp>(emission, operands[0],
                                        c.bias ? operands[1] : none, none, none,
                                        none, operands[2], operands[3],
                                        getAttr(emission.loc.getContext(), c));
                 });
}

//===----------------------------------------------------------------------===//
// Plain evaluation
//===----------------------------------------------------------------------===//

static double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

static std::vector<double> plainScores(const Case &c, const Tensor &logits,
                                       int64_t t) {
  std::vector<double> scores;
  for (int64_t e = 0; e < c.experts; ++e)
    scores.push_back(logits.get(t, e));
  switch (c.params.scores) {
  case ScoreFunction::logits:
    break;
  case ScoreFunction::sigmoid:
    for (double &score : scores)
      score = sigmoid(score);
    break;
  case ScoreFunction::sqrt_softplus:
    for (double &score : scores)
      score = std::sqrt(std::log1p(std::exp(score)));
    break;
  case ScoreFunction::softmax: {
    double max = *std::max_element(scores.begin(), scores.end()), sum = 0;
    for (double &score : scores)
      sum += score = std::exp(score - max);
    for (double &score : scores)
      score /= sum;
    break;
  }
  }
  return scores;
}

/// Ids in falling order of `values`, smaller ids first among equals.
static std::vector<int64_t> sortedIds(const std::vector<double> &values) {
  std::vector<int64_t> ids(values.size());
  for (size_t i = 0; i < ids.size(); ++i)
    ids[i] = i;
  std::stable_sort(ids.begin(), ids.end(), [&](int64_t a, int64_t b) {
    if (std::isnan(values[a]) || std::isnan(values[b]))
      return !std::isnan(values[a]) && std::isnan(values[b]);
    return values[a] > values[b];
  });
  return ids;
}

/// The scores that decide the choice, with bias.
static std::vector<double>
plainChoice(const Case &c, std::vector<double> scores, const Tensor &bias) {
  for (int64_t e = 0; e < c.experts; ++e) {
    scores[e] += c.bias ? bias.get(e) : 0.0;
    if (std::isnan(scores[e]))
      scores[e] = -kInfinity;
  }
  int64_t size = c.experts / c.params.groups;
  std::vector<double> groups;
  for (int64_t g = 0; g < c.params.groups; ++g) {
    std::vector<double> members(scores.begin() + g * size,
                                scores.begin() + (g + 1) * size);
    std::sort(members.rbegin(), members.rend());
    bool two = c.params.groupScore == GroupScore::top2_sum;
    groups.push_back(two ? members[0] + members[1] : members[0]);
  }
  std::vector<int64_t> order = sortedIds(groups);
  for (int64_t place = c.params.chosenGroups; place < c.params.groups; ++place)
    std::fill_n(scores.begin() + order[place] * size, size, kExcluded);
  return scores;
}

static std::vector<double> plainWeights(const Case &c,
                                        std::vector<double> weights) {
  double sum = 0;
  if (c.params.weights == WeightFunction::sigmoid_of_chosen)
    for (double &weight : weights)
      weight = sigmoid(weight);
  if (c.params.weights == WeightFunction::softmax_of_chosen) {
    for (double &weight : weights)
      sum += weight = std::exp(weight);
    for (double &weight : weights)
      weight /= sum;
  }
  sum = c.params.epsilon;
  for (double weight : weights)
    sum += weight;
  for (double &weight : weights)
    weight /= c.params.renormalize ? std::max(sum, c.params.minimumSum) : 1.0;
  return weights;
}

/// Ids and weights of a token are right; ids may differ from the plain ones
/// only where the choice scores differ by less than f32 resolves.
static void expectToken(const Case &c, const Tensor &logits, const Tensor &bias,
                        const Tensor &ids, const Tensor &weights, int64_t t) {
  std::vector<double> scores = plainScores(c, logits, t);
  std::vector<double> choice = plainChoice(c, scores, bias);
  std::vector<int64_t> expected = sortedIds(choice);
  std::vector<double> chosen;
  std::vector<bool> seen(c.experts, false);
  for (int64_t j = 0; j < c.chosen; ++j) {
    int64_t id = ids.get(t, j);
    ASSERT_GE(id, 0);
    ASSERT_LT(id, c.experts);
    EXPECT_FALSE(seen[id]) << "expert " << id << " twice";
    seen[id] = true;
    if (id != expected[j]) {
      EXPECT_NEAR(choice[id], choice[expected[j]], 1e-6);
    }
    bool isScore = c.params.weights == WeightFunction::score;
    chosen.push_back(isScore ? scores[id] : logits.get(t, id));
  }
  std::vector<double> plain = plainWeights(c, chosen);
  for (int64_t j = 0; j < c.chosen; ++j)
    EXPECT_NEAR(weights.get(t, j), plain[j], 2e-6 * (1 + std::fabs(plain[j])));
}

//===----------------------------------------------------------------------===//
// Tests
//===----------------------------------------------------------------------===//

static std::vector<Case> allCases() {
  Routing softmax;
  Routing renormalized = softmax;
  renormalized.renormalize = true;
  Routing maxGroups = softmax;
  maxGroups.groups = 8;
  maxGroups.chosenGroups = 3;
  Routing minimum = renormalized;
  minimum.minimumSum = 0.5;
  Routing deepseekV3;
  deepseekV3.scores = ScoreFunction::sigmoid;
  deepseekV3.groups = 8;
  deepseekV3.chosenGroups = 4;
  deepseekV3.groupScore = GroupScore::top2_sum;
  deepseekV3.renormalize = true;
  deepseekV3.epsilon = 1e-20;
  Routing sigmoidOnly;
  sigmoidOnly.scores = ScoreFunction::sigmoid;
  Routing deepseekV4 = sigmoidOnly;
  deepseekV4.scores = ScoreFunction::sqrt_softplus;
  deepseekV4.renormalize = true;
  Routing gptOss;
  gptOss.scores = ScoreFunction::logits;
  gptOss.weights = WeightFunction::softmax_of_chosen;
  Routing llama4 = gptOss;
  llama4.weights = WeightFunction::sigmoid_of_chosen;
  Routing mixed = deepseekV3;
  mixed.weights = WeightFunction::softmax_of_chosen;
  return {{"qwen2", 60, 4, false, softmax},
          {"mixed", 64, 5, true, mixed},
          {"mixtral", 8, 2, false, renormalized},
          {"deepseek_v2", 160, 6, false, maxGroups},
          {"ernie", 64, 6, true, minimum},
          {"deepseek_v3", 256, 8, true, deepseekV3},
          {"sigmoid", 37, 3, false, sigmoidOnly},
          {"deepseek_v4", 48, 6, true, deepseekV4},
          {"gpt_oss", 32, 4, false, gptOss},
          {"llama4", 16, 1, false, llama4},
          {"dynamic", 29, 5, true, renormalized, true}};
}

TEST(CPURoute, MatchesPlainEvaluation) {
  std::mt19937 random(3);
  for (const Target &target : runnableTargets())
    for (const Case &c : allCases()) {
      SCOPED_TRACE(target.cpu + " " + c.name);
      Program program = makeRoute(target, c);
      ASSERT_TRUE(program.valid());
      for (int64_t tokens : {0, 1, 7, 64, 300}) {
        Tensor logits(Element::F32, {tokens, c.experts});
        Tensor bias(Element::F32, {c.experts});
        Tensor ids(Element::I32, {tokens, c.chosen});
        Tensor weights(Element::F32, {tokens, c.chosen});
        logits.fill(random, 2.0);
        bias.fill(random, 0.1);
        program.run({&logits, &bias, &ids, &weights}, LaunchOrder::Backward);
        for (int64_t t = 0; t < tokens; ++t)
          expectToken(c, logits, bias, ids, weights, t);
        EXPECT_TRUE(ids.intact() && weights.intact());
      }
    }
}

// Equal scores are chosen by their ids, in every lane and across vectors.
TEST(CPURoute, TiesGoToTheSmallerId) {
  for (Case c : allCases()) {
    SCOPED_TRACE(c.name);
    c.bias = false;
    Program program = makeRoute(Target::host(), c);
    ASSERT_TRUE(program.valid());
    Tensor logits(Element::F32, {2, c.experts}), bias(Element::F32, {0});
    Tensor ids(Element::I32, {2, c.chosen}),
        weights(Element::F32, {2, c.chosen});
    // Token 0: all equal. Token 1: two levels, the higher at every third id.
    for (int64_t e = 0; e < c.experts; ++e) {
      logits.set(e, 0.5);
      logits.set(c.experts + e, e % 3 == 1 ? 1.0 : 0.5);
    }
    program.run({&logits, &bias, &ids, &weights});
    for (int64_t t = 0; t < 2; ++t) {
      std::vector<int64_t> expected =
          sortedIds(plainChoice(c, plainScores(c, logits, t), bias));
      for (int64_t j = 0; j < c.chosen; ++j)
        EXPECT_EQ(ids.get(t, j), expected[j]);
    }
  }
}

// NaN compares as -infinity, so ids stay in range and distinct whatever the
// logits are, and scores that are not NaN are chosen first.
TEST(CPURoute, SurvivesNaNsAndInfinities) {
  double special[] = {std::nan(""), kInfinity, -kInfinity, 0.0, 3e38};
  std::mt19937 random(4);
  for (const Case &c : allCases()) {
    SCOPED_TRACE(c.name);
    Program program = makeRoute(Target::host(), c);
    ASSERT_TRUE(program.valid());
    constexpr int64_t kTokens = 50;
    Tensor logits(Element::F32, {kTokens, c.experts});
    Tensor bias(Element::F32, {c.experts});
    bias.fill(random, 0.1);
    for (int64_t i = 0; i < logits.size(); ++i)
      logits.set(i, i < 2 * c.experts ? special[i / c.experts * 2]
                                      : special[random() % 5]);
    Tensor ids(Element::I32, {kTokens, c.chosen});
    Tensor weights(Element::F32, {kTokens, c.chosen});
    program.run({&logits, &bias, &ids, &weights});
    EXPECT_TRUE(ids.intact() && weights.intact());
    for (int64_t t = 0; t < kTokens; ++t) {
      std::vector<bool> seen(c.experts, false);
      for (int64_t j = 0; j < c.chosen; ++j) {
        int64_t id = ids.get(t, j);
        ASSERT_TRUE(id >= 0 && id < c.experts && !seen[id]) << id;
        seen[id] = true;
      }
      // One NaN makes every softmax score NaN, and groups may hide numbers.
      if (c.params.scores == ScoreFunction::softmax || c.params.groups > 1)
        continue;
      auto isNumber = [&](int64_t e) { return !std::isnan(logits.get(t, e)); };
      int64_t numbers = 0, chosenNumbers = 0;
      for (int64_t e = 0; e < c.experts; ++e) {
        numbers += isNumber(e) && logits.get(t, e) != -kInfinity;
        chosenNumbers += seen[e] && isNumber(e);
      }
      EXPECT_GE(chosenNumbers, std::min(numbers, c.chosen));
    }
  }
}

// More slots than experts: the rest is marked as padding.
TEST(CPURoute, AbsentExpertsArePadding) {
  // How many there are is known when it runs.
  Case c{"few", 3, 5, false, {}, true};
  Program program = makeRoute(Target::host(), c);
  ASSERT_TRUE(program.valid());
  Tensor logits(Element::F32, {1, 3}), bias(Element::F32, {0});
  Tensor ids(Element::I32, {1, 5}), weights(Element::F32, {1, 5});
  for (int64_t e = 0; e < 3; ++e)
    logits.set(e, e);
  program.run({&logits, &bias, &ids, &weights});
  const int64_t expected[] = {2, 1, 0, -1, -1};
  for (int64_t j = 0; j < 5; ++j)
    EXPECT_EQ(ids.get(j), expected[j]);
  EXPECT_EQ(weights.get(3), 0.0);
  EXPECT_EQ(weights.get(4), 0.0);
}

/// Routes rows that count from `firstRow`, or with 0 from nothing in
/// particular.
static void checkReplicas(int64_t firstRow) {
  constexpr int64_t kExperts = 8, kChosen = 2, kTokens = 40;
  Program program(
      Target::host(),
      {{Element::F32, {-1, kExperts}},
       {Element::I32, {kExperts, 3}},
       {Element::I32, {kExperts}},
       {Element::I32, {-1, kChosen}},
       {Element::F32, {-1, kChosen}}},
      [&](const Emission &emission, mlir::ValueRange all) {
        mlir::Value first, none;
        if (firstRow > 0)
          first = mlir::arith::ConstantIndexOp::create(emission.builder,
                                                       emission.loc, firstRow);
        return emit<RouteOp>(emission, all[0], none, all[1], all[2], first,
                             all[3], all[4],
                             getAttr(emission.loc.getContext(),
                                     {"", kExperts, kChosen, false, {}}));
      });
  ASSERT_TRUE(program.valid());
  std::mt19937 random(5);
  Tensor logits(Element::F32, {kTokens, kExperts});
  Tensor map(Element::I32, {kExperts, 3}), count(Element::I32, {kExperts});
  Tensor ids(Element::I32, {kTokens, kChosen});
  Tensor weights(Element::F32, {kTokens, kChosen});
  logits.fill(random, 2.0);
  // Expert e has the physical ids 10 e, 10 e + 1, ... of its replicas.
  const int64_t counts[kExperts] = {1, 2, 3, 1, 2, 3, 0, 99};
  const int64_t used[kExperts] = {1, 2, 3, 1, 2, 3, 1, 3};
  for (int64_t e = 0; e < kExperts; ++e) {
    count.set(e, counts[e]);
    for (int64_t r = 0; r < 3; ++r)
      map.set(e * 3 + r, r < used[e] ? 10 * e + r : -1);
  }
  program.run({&logits, &map, &count, &ids, &weights});
  Case c{"", kExperts, kChosen, false, {}};
  for (int64_t t = 0; t < kTokens; ++t) {
    std::vector<int64_t> expected = sortedIds(plainScores(c, logits, t));
    uint32_t hash = static_cast<uint32_t>(firstRow + t) * 2654435769u;
    for (int64_t j = 0; j < kChosen; ++j) {
      int64_t e = expected[j];
      EXPECT_EQ(ids.get(t, j), 10 * e + hash % used[e]);
    }
  }
}

// Ids become those of replicas, spread by the row's hash; counts and maps that
// make no sense do not lead out of the map.
TEST(CPURoute, ReplicasOfExperts) {
  checkReplicas(/*firstRow=*/0);
  checkReplicas(/*firstRow=*/41);
}

// Ids that name no expert are not counted, and without tokens all is zero.
TEST(CPURoute, ExpertLoad) {
  constexpr int64_t kExperts = 5, kChosen = 3;
  Program program(Target::host(),
                  {{Element::I32, {-1, kChosen}}, {Element::I32, {kExperts}}},
                  [](const Emission &emission, mlir::ValueRange all) {
                    return emit<ExpertLoadOp>(emission, all[0], all[1]);
                  });
  ASSERT_TRUE(program.valid());
  for (int64_t tokens : {0, 1, 200}) {
    Tensor ids(Element::I32, {tokens, kChosen}), load(Element::I32, {kExperts});
    std::vector<int64_t> expected(kExperts, 0);
    std::mt19937 random(6);
    for (int64_t i = 0; i < tokens * kChosen; ++i) {
      const int64_t id = int64_t(random() % (kExperts + 3)) - 1;
      ids.set(i, id);
      if (id >= 0 && id < kExperts)
        ++expected[id];
    }
    for (int64_t e = 0; e < kExperts; ++e)
      load.set(e, -7);
    program.run({&ids, &load});
    for (int64_t e = 0; e < kExperts; ++e)
      EXPECT_EQ(load.get(e), expected[e]) << tokens << " tokens, expert " << e;
  }
}
