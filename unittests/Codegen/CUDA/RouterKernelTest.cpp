//===- RouterKernelTest.cpp - Which experts the kernels choose ------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The kernels of gate, route and dispatch on an emulated GPU, against plain
// loops in double precision.
//
//===----------------------------------------------------------------------===//

#include "Emulated.h"

#include "gtest/gtest.h"
#include <algorithm>
#include <cmath>
#include <numeric>

using namespace moe::codegen::cuda::test;

static const int64_t kTokens[] = {0, 1, 5, 33};

//===----------------------------------------------------------------------===//
// Gate
//===----------------------------------------------------------------------===//

/// x w^T + bias, of values whose sums are exact: every bit is known.
static void testGate(Element element, int64_t hidden, int64_t experts,
                     bool hasBias) {
  std::mt19937 random(hidden + experts);
  Tensor w = exactTensor(random, element, {experts, hidden});
  Tensor bias = exactTensor(random, Element::F32, {experts});
  Phase::Operands operands{{"x", matrix(hidden, element)},
                           {"w", w.type()},
                           {"bias", bias.type()},
                           {"y", matrix(experts, Element::F32)}};
  Phase gate(operands, std::string("moe.gate ins(%x, %w : !x, !w) ") +
                           (hasBias ? "bias(%bias : !bias) " : "") +
                           "outs(%y : !y)");
  for (int64_t tokens : kTokens) {
    Tensor x = exactTensor(random, element, {tokens, hidden});
    Tensor y(Element::F32, {tokens, experts});
    gate.run({&x, &w, &bias, &y});
    expectValues(y, 0, [&](int64_t token, int64_t expert) {
      double sum = hasBias ? bias.get(expert) : 0;
      for (int64_t i = 0; i < hidden; ++i)
        sum += x.get(token, i) * w.get(expert, i);
      return sum;
    });
  }
}

TEST(GateKernelTest, EveryElementTypeAndOddSizes) {
  testGate(Element::F32, 129, 7, true);
  testGate(Element::BF16, 136, 8, false);
  testGate(Element::F16, 1030, 3, true);
  // Whole steps, and what follows them.
  testGate(Element::BF16, 4096 + 1024 + 8, 2, false);
}

//===----------------------------------------------------------------------===//
// Route
//===----------------------------------------------------------------------===//

namespace {
struct Routing {
  int64_t experts = 8, topK = 2;
  std::string score = "softmax", weight = "score";
  int64_t groups = 1, keptGroups = 1;
  std::string groupScore = "max";
  bool renormalize = false;
  double epsilon = 0, minimum = 0;
  bool hasBias = false;
  int64_t replicas = 0; ///< Columns of EPLB's map.
};
} // namespace

static double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

/// Scores of one token.
static std::vector<double> scoresOf(const Routing &routing,
                                    std::vector<double> x) {
  if (routing.score == "softmax") {
    double largest = *std::max_element(x.begin(), x.end()), sum = 0;
    for (double &value : x)
      sum += value = std::exp(value - largest);
    for (double &value : x)
      value /= sum;
  }
  for (double &value : x)
    if (routing.score == "sigmoid")
      value = sigmoid(value);
    else if (routing.score == "sqrt_softplus")
      value = std::sqrt(std::log1p(std::exp(value)));
  return x;
}

/// The experts of one token, the best first; the smaller id of equals.
static std::vector<int64_t> choose(const Routing &routing,
                                   const std::vector<double> &choice) {
  int64_t size = routing.experts / routing.groups;
  auto best = [](std::vector<double> values, int64_t count) {
    std::vector<int64_t> order(values.size());
    std::iota(order.begin(), order.end(), 0);
    std::sort(order.begin(), order.end(), [&](int64_t a, int64_t b) {
      return values[a] != values[b] ? values[a] > values[b] : a < b;
    });
    order.resize(count);
    return order;
  };
  std::vector<double> groups;
  for (int64_t group = 0; group < routing.groups; ++group) {
    std::vector<double> members(choice.begin() + group * size,
                                choice.begin() + (group + 1) * size);
    std::sort(members.rbegin(), members.rend());
    members.push_back(0);
    groups.push_back(members[0] +
                     (routing.groupScore == "max" ? 0 : members[1]));
  }
  std::vector<double> allowed(choice.size(), -INFINITY);
  for (int64_t group : best(groups, routing.keptGroups))
    for (int64_t i = group * size; i < (group + 1) * size; ++i)
      allowed[i] = choice[i];
  return best(allowed, routing.topK);
}

static std::vector<double> weightsOf(const Routing &routing,
                                     const std::vector<double> &logits,
                                     const std::vector<double> &scores,
                                     const std::vector<int64_t> &ids) {
  std::vector<double> weights;
  double largest = -INFINITY, sum = 0;
  for (int64_t id : ids)
    largest = std::max(largest, logits[id]);
  for (int64_t id : ids) {
    weights.push_back(routing.weight == "score" ? scores[id]
                      : routing.weight == "softmax_of_chosen"
                          ? std::exp(logits[id] - largest)
                          : sigmoid(logits[id]));
    sum += weights.back();
  }
  double divisor = 1;
  if (routing.weight == "softmax_of_chosen")
    divisor = sum;
  if (routing.renormalize) {
    sum /= divisor;
    divisor *= std::max(sum + routing.epsilon, routing.minimum);
  }
  for (double &weight : weights)
    weight /= divisor;
  return weights;
}

static std::string textOf(const Routing &routing) {
  std::string text = "moe.route ins(%logits : !logits) ";
  if (routing.hasBias)
    text += "correction_bias(%bias : !bias) ";
  if (routing.replicas)
    text += "eplb(%map, %count : !map, !count) ";
  text += "outs(%ids, %weights : !ids, !weights) routing(<top_k = " +
          std::to_string(routing.topK) + ", score = " + routing.score +
          ", weight = " + routing.weight +
          ", n_group = " + std::to_string(routing.groups) +
          ", topk_group = " + std::to_string(routing.keptGroups) +
          ", group_score = " + routing.groupScore +
          ", renormalize = " + (routing.renormalize ? "true" : "false") +
          ", renormalize_epsilon = " + std::to_string(routing.epsilon) +
          ", renormalize_minimum = " + std::to_string(routing.minimum) +
          ">)\nmoe.expert_load ins(%ids : !ids) outs(%load : !load)";
  return text;
}

static void testRoute(const Routing &routing) {
  SCOPED_TRACE(textOf(routing) + " of " + std::to_string(routing.experts));
  std::mt19937 random(routing.experts * 31 + routing.topK);
  int64_t columns = std::max<int64_t>(routing.replicas, 1);
  int64_t physical = routing.replicas ? routing.experts * 2 : routing.experts;
  Tensor bias = normalTensor(random, Element::F32, {routing.experts}, 0.3);
  // Expert e has 1 to R replicas, whose ids lie anywhere.
  Tensor map(Element::I32, {routing.experts, columns},
             [&](int64_t) { return static_cast<double>(random() % physical); });
  Tensor count(Element::I32, {routing.experts}, [&](int64_t) {
    return 1 + static_cast<double>(random() % columns);
  });
  Tensor load(Element::I32, {physical});
  Phase route({{"logits", matrix(routing.experts, Element::F32)},
               {"bias", bias.type()},
               {"map", map.type()},
               {"count", count.type()},
               {"ids", matrix(routing.topK, Element::I32)},
               {"weights", matrix(routing.topK, Element::F32)},
               {"load", load.type()}},
              textOf(routing));
  for (int64_t tokens : kTokens) {
    Tensor logits =
        normalTensor(random, Element::F32, {tokens, routing.experts}, 1.5);
    Tensor ids(Element::I32, {tokens, routing.topK});
    Tensor weights(Element::F32, {tokens, routing.topK});
    Tensor counted(Element::I32, {physical});
    route.run({&logits, &bias, &map, &count, &ids, &weights, &counted});
    std::vector<std::vector<int64_t>> chosen;
    std::vector<std::vector<double>> expected;
    std::vector<int64_t> loads(physical);
    for (int64_t token = 0; token < tokens; ++token) {
      std::vector<double> x;
      for (int64_t e = 0; e < routing.experts; ++e)
        x.push_back(logits.get(token, e));
      std::vector<double> scores = scoresOf(routing, x), choice = scores;
      for (int64_t e = 0; routing.hasBias && e < routing.experts; ++e)
        choice[e] += bias.get(e);
      chosen.push_back(choose(routing, choice));
      expected.push_back(weightsOf(routing, x, scores, chosen.back()));
      for (int64_t &id : chosen.back()) {
        if (routing.replicas) {
          uint32_t hash = static_cast<uint32_t>(token) * 2654435769u;
          id = map.get(id, hash % static_cast<uint32_t>(count.get(id)));
        }
        ++loads[id];
      }
    }
    expectValues(ids, 0, [&](int64_t token, int64_t slot) {
      return static_cast<double>(chosen[token][slot]);
    });
    expectValues(weights, 3e-6, [&](int64_t token, int64_t slot) {
      return expected[token][slot];
    });
    expectValues(counted, 0, [&](int64_t, int64_t expert) {
      return static_cast<double>(loads[expert]);
    });
  }
}

TEST(RouteKernelTest, ScoresAndWeights) {
  for (const char *score : {"softmax", "sigmoid", "sqrt_softplus", "logits"})
    for (const char *weight :
         {"score", "softmax_of_chosen", "sigmoid_of_chosen"}) {
      Routing routing;
      routing.experts = 13;
      routing.topK = 3;
      routing.score = score;
      routing.weight = weight;
      routing.renormalize = routing.weight == "score";
      routing.epsilon = 0.25;
      routing.minimum = 0.5;
      testRoute(routing);
    }
}

// One warp's share of the experts, more than one per lane, and a last share
// that is not full; all experts chosen.
TEST(RouteKernelTest, NumbersOfExperts) {
  for (auto [experts, topK] : std::vector<std::pair<int64_t, int64_t>>{
           {1, 1}, {5, 5}, {32, 32}, {64, 6}, {160, 8}, {500, 10}}) {
    Routing routing;
    routing.experts = experts;
    routing.topK = topK;
    testRoute(routing);
  }
}

TEST(RouteKernelTest, GroupsWithBias) {
  for (const char *groupScore : {"max", "top2_sum"})
    for (auto [experts, groups] :
         std::vector<std::pair<int64_t, int64_t>>{{256, 8}, {40, 5}, {8, 4}}) {
      Routing routing;
      routing.experts = experts;
      routing.topK = 4;
      routing.score = "sigmoid";
      routing.groups = groups;
      routing.keptGroups = groups / 2;
      routing.groupScore = groupScore;
      routing.renormalize = true;
      routing.hasBias = true;
      testRoute(routing);
    }
}

TEST(RouteKernelTest, ReplicasOfEPLB) {
  Routing routing;
  routing.experts = 24;
  routing.topK = 4;
  routing.replicas = 3;
  routing.hasBias = true;
  testRoute(routing);
}

//===----------------------------------------------------------------------===//
// Dispatch
//===----------------------------------------------------------------------===//

/// The plan: pairs by expert, and in it by token and slot. Ids that are of no
/// expert have no row.
static void expectPlan(const Tensor &ids, int64_t experts,
                       const Tensor &offsets, const Tensor &source,
                       const Tensor &pairs) {
  std::vector<int64_t> rows;
  std::vector<int64_t> begins{0};
  std::vector<int64_t> places(ids.size(), -1);
  for (int64_t expert = 0; expert < experts; ++expert) {
    for (int64_t pair = 0; pair < ids.size(); ++pair)
      if (ids.get(pair) == expert) {
        places[pair] = rows.size();
        rows.push_back(pair / ids.columns());
      }
    begins.push_back(rows.size());
  }
  expectValues(offsets, 0, [&](int64_t, int64_t i) {
    return static_cast<double>(begins[i]);
  });
  expectValues(pairs, 0, [&](int64_t token, int64_t slot) {
    return static_cast<double>(places[token * ids.columns() + slot]);
  });
  for (size_t i = 0; i < rows.size(); ++i)
    ASSERT_EQ(source.get(i), rows[i]) << "row " << i;
}

static void testDispatch(int64_t experts, int64_t slots, bool hasHoles,
                         const std::vector<int64_t> &numsOfTokens) {
  SCOPED_TRACE(std::to_string(experts) + " experts, " + std::to_string(slots) +
               " slots");
  std::mt19937 random(experts + slots);
  Tensor offsets(Element::I32, {experts + 1});
  Phase dispatch({{"ids", matrix(slots, Element::I32)},
                  {"offsets", offsets.type()},
                  {"source", "memref<?xi32>"},
                  {"pairs", matrix(slots, Element::I32)}},
                 "moe.dispatch ins(%ids : !ids) outs(%offsets, %source, "
                 "%pairs : !offsets, !source, !pairs) num_experts(" +
                     std::to_string(experts) + ")");
  for (int64_t tokens : numsOfTokens) {
    // Some experts get nothing; some ids are of none.
    Tensor ids(Element::I32, {tokens, slots}, [&](int64_t) {
      int64_t id = random() % (experts + 1);
      return static_cast<double>(hasHoles ? id - 1 : std::max(id - 1, id / 2));
    });
    Tensor begins(Element::I32, {experts + 1});
    Tensor source(Element::I32, {tokens * slots});
    Tensor pairs(Element::I32, {tokens, slots});
    dispatch.run({&ids, &begins, &source, &pairs});
    expectPlan(ids, experts, begins, source, pairs);
  }
}

TEST(DispatchKernelTest, OneBlockSortsFewPairs) {
  testDispatch(9, 2, true, {0, 1, 5, 33});
  testDispatch(64, 6, false, {0, 1, 33, 170});
  testDispatch(300, 8, true, {1, 100});
  testDispatch(1, 1, true, {1, 77});
}

// More pairs than one block sorts are counted before.
TEST(DispatchKernelTest, ManyPairsAreCountedFirst) {
  testDispatch(40, 8, true, {700, 1300});
}
