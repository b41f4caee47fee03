//===- RouterModelTest.cpp - Routers on paper -----------------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moe-mlir/Policy/RankLoads.h"

#include <cmath>
#include <cstdio>
#include <fstream>
#include <functional>
#include <gtest/gtest.h>
#include <numeric>

using namespace moe::policy;

namespace {
/// Calls `visit` with every sequence of experts that a token can draw and its
/// probability: the model by its definition.
void forEachChoice(
    const RouterModel &router,
    const std::function<void(const std::vector<size_t> &, double)> &visit) {
  std::vector<size_t> drawn, chosen;
  const size_t numExperts = router.weights.size();
  const size_t perGroup = numExperts / router.numGroups;
  // With groups, all experts are put in order; the groups whose first comes
  // first are chosen (`max`), and then the first experts of these.
  const size_t numDrawn = router.hasGroups() ? numExperts : router.topK;
  auto choose = [&] {
    chosen.clear();
    std::vector<size_t> groups;
    for (size_t e : drawn)
      if (groups.size() < size_t(router.topKGroups) &&
          std::count(groups.begin(), groups.end(), e / perGroup) == 0)
        groups.push_back(e / perGroup);
    for (size_t e : drawn)
      if (chosen.size() < size_t(router.topK) &&
          (!router.hasGroups() ||
           std::count(groups.begin(), groups.end(), e / perGroup)))
        chosen.push_back(e);
  };
  std::function<void(const std::vector<double> &, double)> draw =
      [&](const std::vector<double> &weights, double probability) {
        double total = std::accumulate(weights.begin(), weights.end(), 0.0);
        if (drawn.size() == numDrawn || total == 0) {
          choose();
          return visit(chosen, probability);
        }
        for (size_t e = 0; e < numExperts; ++e) {
          if (weights[e] == 0)
            continue;
          std::vector<double> rest = weights;
          rest[e] = 0;
          drawn.push_back(e);
          draw(rest, probability * weights[e] / total);
          drawn.pop_back();
        }
      };
  draw(router.weights, 1);
}

double choose(double n, double k) {
  double result = 1;
  for (double i = 0; i < k; ++i)
    result *= (n - i) / (k - i);
  return result;
}

RouterModel makeRouter(std::vector<double> weights, int64_t topK) {
  RouterModel router;
  router.weights = std::move(weights);
  router.topK = topK;
  return router;
}

void expectHits(const RouterModel &router, const std::vector<int64_t> &bins,
                size_t numBins, double tolerance = 1e-7) {
  std::vector<double> expected(numBins, 0.0);
  forEachChoice(router, [&](const std::vector<size_t> &chosen, double p) {
    std::vector<bool> hit(numBins);
    for (size_t e : chosen)
      if (bins[e] >= 0)
        hit[bins[e]] = true;
    for (size_t bin = 0; bin < numBins; ++bin)
      expected[bin] += hit[bin] ? p : 0;
  });
  std::vector<double> found = getHitProbabilities(router, bins, numBins);
  for (size_t bin = 0; bin < numBins; ++bin)
    EXPECT_NEAR(found[bin], expected[bin], tolerance) << "bin " << bin;
}
} // namespace

// Equal weights are drawing from an urn: all choices miss m of E experts in
// C(E - m, k) of C(E, k) cases.
TEST(RouterModel, UniformIsHypergeometric) {
  for (int64_t topK : {1, 2, 8})
    for (int64_t owned : {1, 32, 100}) {
      RouterModel router = makeRouter(getUniformWeights(256), topK);
      std::vector<int64_t> bins(256, -1);
      std::fill(bins.begin(), bins.begin() + owned, 0);
      EXPECT_NEAR(getHitProbabilities(router, bins, 1)[0],
                  1 - choose(256 - owned, topK) / choose(256, topK), 1e-7)
          << topK << " of 256, owned " << owned;
    }
}

TEST(RouterModel, SkewedIsAsEnumerated) {
  std::vector<double> weights = {5, 1, 0.25, 2, 0, 0.01};
  for (int64_t topK : {1, 2, 3, 5}) {
    RouterModel router = makeRouter(weights, topK);
    expectHits(router, {0, 0, 1, 1, 2, 2}, 3);
    expectHits(router, {0, 1, 2, 3, 4, 5}, 6);
    expectHits(router, {1, -1, 0, -1, -1, 1}, 3); // Bin 2 is empty.
  }
}

// Four times the standard deviation of the sample.
TEST(RouterModel, GroupsAreAsEnumerated) {
  constexpr double tolerance = 0.011;
  RouterModel router = makeRouter({3, 1, 1, 1, 0.5, 2, 4}, 3);
  router.weights.push_back(0.1);
  router.numGroups = 4;
  for (int64_t groups : {2, 3}) {
    router.topKGroups = groups;
    expectHits(router, {0, 0, 0, 1, 1, 1, 2, 2}, 3, tolerance);
    expectHits(router, {0, 1, 2, 3, 4, 5, 6, 7}, 8, tolerance);
  }
  // Where all are alike, no bin is luckier than another.
  router.weights = getUniformWeights(8);
  expectHits(router, {0, 0, 1, 1, 2, 2, 3, 3}, 4, tolerance);
  std::vector<double> hit =
      getHitProbabilities(router, {0, 0, 1, 1, 2, 2, 3, 3}, 4);
  EXPECT_EQ(hit, std::vector<double>(4, hit[0]));
}

// By the sum of two, a group with two good experts beats one with a better one.
TEST(RouterModel, GroupScores) {
  RouterModel router = makeRouter({1e6, 1e-6, 1e3, 1e3, 1e-9, 1e-9}, 2);
  router.numGroups = 3;
  std::vector<int64_t> bins = {0, 0, 1, 1, 2, 2};
  EXPECT_GT(getHitProbabilities(router, bins, 3)[0], 0.9);
  router.groupScore = moe::GroupScore::top2_sum;
  EXPECT_GT(getHitProbabilities(router, bins, 3)[1], 0.9);
}

// Who has all experts gets every token, however they are chosen.
TEST(RouterModel, AllExpertsOfOneRank) {
  for (double exponent : {0.0, 1.0, 3.0}) {
    RouterModel router = makeRouter(getZipfWeights(64, exponent), 6);
    EXPECT_NEAR(getHitProbabilities(router, std::vector<int64_t>(64, 0), 1)[0],
                1, 1e-7);
  }
}

TEST(RouterModel, ChoicesSumUpToTopK) {
  for (double exponent : {0.0, 0.5, 1.0, 2.0}) {
    RouterModel router = makeRouter(getZipfWeights(256, exponent), 8);
    for (int64_t groups : {1, 8}) {
      router.numGroups = groups;
      router.topKGroups = (groups + 1) / 2;
      std::vector<double> chosen = getChoiceProbabilities(router);
      EXPECT_NEAR(std::accumulate(chosen.begin(), chosen.end(), 0.0), 8, 1e-5);
      for (double probability : chosen)
        EXPECT_LE(probability, 1 + 1e-7);
    }
  }
}

TEST(RouterModel, ZipfWeights) {
  std::vector<double> weights = getZipfWeights(100, 1.5), sorted = weights;
  std::sort(sorted.rbegin(), sorted.rend());
  for (size_t i = 0; i < sorted.size(); ++i)
    EXPECT_DOUBLE_EQ(sorted[i], std::pow(double(i + 1), -1.5));
  EXPECT_NE(sorted, weights);
  EXPECT_EQ(weights, getZipfWeights(100, 1.5));
}

TEST(RouterModel, WeightsOfMeasuredLoads) {
  RouterModel router = makeRouter(getUniformWeights(8), 2);
  std::vector<double> loads = {100, 50, 20, 5, 5, 0, 70, 30};
  std::string error;
  auto weights = fitWeights(loads, router, error);
  ASSERT_TRUE(weights) << error;
  router.weights = *weights;
  std::vector<double> chosen = getChoiceProbabilities(router);
  for (size_t e = 0; e < loads.size(); ++e)
    EXPECT_NEAR(chosen[e], 2 * loads[e] / 280, 1e-5);

  EXPECT_FALSE(fitWeights({200, 10, 10, 0, 0, 0, 0, 0}, router, error));
  EXPECT_EQ(error, "expected loads of at most 1 / 2 of their sum, as a token "
                   "chooses 2 different experts, but that of expert 0 is "
                   "200.000000 of 220.000000");
  EXPECT_FALSE(fitWeights({0, 0, 0, 0, 0, 0, 0, 0}, router, error));
  EXPECT_FALSE(fitWeights({1, -1, 2, 2, 2, 2, 2, 2}, router, error));
}

TEST(RouterModel, WeightsByName) {
  RouterModel router = makeRouter(getUniformWeights(4), 1);
  std::string error;
  EXPECT_EQ(parseWeights("uniform", router, error), getUniformWeights(4));
  EXPECT_EQ(parseWeights("zipf:0.5", router, error), getZipfWeights(4, 0.5));
  for (const char *text : {"zipf:", "zipf:-1", "zipf:2x", "zipf:11"})
    EXPECT_FALSE(parseWeights(text, router, error)) << text;
  EXPECT_FALSE(parseWeights("gauss", router, error));
  EXPECT_EQ(error, "expected 'uniform', 'zipf:S' or a file with a JSON array "
                   "of loads but got 'gauss', which cannot be read");
  std::string path = testing::TempDir() + "/loads.json";
  auto parse = [&](const char *text) {
    std::ofstream(path) << text;
    return parseWeights(path, router, error);
  };
  auto weights = parse("[4, 3, 2, 1]");
  ASSERT_TRUE(weights) << error;
  // With one choice, weights are loads.
  EXPECT_NEAR((*weights)[0] / (*weights)[3], 4, 1e-3);
  EXPECT_FALSE(parse("[4, 3, 2]"));
  EXPECT_EQ(error, path + ": expected a JSON array of 4 loads, one for each "
                          "expert, but got 3");
  EXPECT_FALSE(parse("[4, 3, 2, \"x\"]"));
  EXPECT_EQ(error, path + ": expected loads that are numbers but got \"x\"");
  EXPECT_FALSE(parse("{"));
  std::remove(path.c_str());
}

// The replica of every choice is the one of moe.route's formula: counted for
// many tokens, each with all that it may draw.
TEST(RouterModel, ReplicasAreChosenByTheTokensNumber) {
  RouterModel router = makeRouter({4, 2, 1, 1}, 2);
  ExpertSlots slots;
  // Counts 3, 2, 1 and 1, on four ranks.
  slots.physicalToLogical = {0, 1, 2, 3, 0, 0, 1, 1};
  slots.physicalToLogical.pop_back();
  slots.owner = {0, 0, 1, 1, 2, 3, 3};
  slots.numRanks = 4;
  constexpr int64_t numTokens = 6000;
  std::vector<double> rows(4, 0.0), choices(4, 0.0);
  std::vector<std::vector<int64_t>> replicas(4);
  for (size_t p = 0; p < slots.owner.size(); ++p)
    replicas[slots.physicalToLogical[p]].push_back(slots.owner[p]);
  for (int64_t token = 0; token < numTokens; ++token)
    forEachChoice(router, [&](const std::vector<size_t> &chosen, double p) {
      std::vector<bool> hit(4);
      for (size_t e : chosen) {
        uint64_t h = (uint64_t(token) * 2654435769u) & 0xffffffffu;
        int64_t owner = replicas[e][h % replicas[e].size()];
        choices[owner] += p / numTokens;
        hit[owner] = true;
      }
      for (size_t r = 0; r < 4; ++r)
        rows[r] += hit[r] ? p / numTokens : 0;
    });
  RankLoads loads = getExpectedLoads(router, slots);
  for (size_t r = 0; r < 4; ++r) {
    EXPECT_NEAR(loads.rows[r], rows[r], 2e-3) << "rank " << r;
    EXPECT_NEAR(loads.choices[r], choices[r], 2e-3) << "rank " << r;
  }
  EXPECT_EQ(loads.experts[3].size(), 2u);

  // Groups of one expert each, of which as many are chosen as experts are,
  // change nothing, but that it is sampled.
  router.numGroups = 4;
  router.topKGroups = 2;
  RankLoads sampled = getExpectedLoads(router, slots);
  for (size_t r = 0; r < 4; ++r)
    EXPECT_NEAR(sampled.rows[r], rows[r], 0.011) << "rank " << r;
}

TEST(RouterModel, LoadsOfRanks) {
  ParallelProperties properties;
  properties.ep.size = 8;
  RouterModel router = makeRouter(getZipfWeights(64, 1), 6);
  RankLoads loads = getExpectedLoads(router, getInitialSlots(properties, 64));
  ASSERT_EQ(loads.getNumRanks(), 8u);
  double sum = 0;
  for (size_t r = 0; r < 8; ++r) {
    EXPECT_LE(loads.rows[r], loads.choices[r] + 1e-7);
    EXPECT_LE(loads.rows[r], 1 + 1e-7);
    EXPECT_EQ(loads.experts[r].size(), 8u);
    sum += loads.choices[r];
    // One token hits as many experts as it chooses; many hit all.
    EXPECT_NEAR(loads.getExpertsHit(r, 1), loads.choices[r], 1e-6);
    EXPECT_NEAR(loads.getExpertsHit(r, 1e6), 8, 1e-6);
    EXPECT_EQ(loads.getExpertsHit(r, 0), 0);
  }
  EXPECT_NEAR(sum, 6, 1e-5);
  EXPECT_LT(loads.getBalance(), 1);

  RankLoads even = getEvenLoads(loads);
  EXPECT_NEAR(even.getBalance(), 1, 1e-9);
  EXPECT_NEAR(even.choices[3], 6.0 / 8, 1e-6);
  EXPECT_NEAR(std::accumulate(even.rows.begin(), even.rows.end(), 0.0),
              std::accumulate(loads.rows.begin(), loads.rows.end(), 0.0), 1e-9);

  // The more skewed, the less balanced.
  double last = 1 + 1e-6;
  for (double exponent : {0.0, 0.5, 1.0, 2.0}) {
    router.weights = getZipfWeights(64, exponent);
    double balance =
        getExpectedLoads(router, getInitialSlots(properties, 64)).getBalance();
    EXPECT_LE(balance, last);
    last = balance;
  }
}

// With more ranks than experts some own none, and get nothing.
TEST(RouterModel, RanksWithoutExperts) {
  ParallelProperties properties;
  properties.ep.size = 6;
  RouterModel router = makeRouter(getUniformWeights(4), 2);
  RankLoads loads = getExpectedLoads(router, getInitialSlots(properties, 4));
  EXPECT_NEAR(loads.rows[0], 0.5, 1e-7);
  EXPECT_EQ(loads.rows[5], 0);
  EXPECT_EQ(loads.choices[5], 0);
  EXPECT_EQ(loads.getExpertsHit(5, 10), 0);
  EXPECT_EQ(getEvenLoads(loads).rows[5], 0);
  EXPECT_NEAR(getEvenLoads(loads).rows[0], 0.5, 1e-7);
}
