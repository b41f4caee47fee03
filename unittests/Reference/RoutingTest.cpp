//===- RoutingTest.cpp - Corner cases of choosing and weighing ------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moe-mlir/Reference/Evaluate.h"
#include <cmath>
#include <gtest/gtest.h>
#include <limits>

using namespace moe;
using namespace moe::reference;

static const double NaN = std::numeric_limits<double>::quiet_NaN();
static const double inf = std::numeric_limits<double>::infinity();

static LayerSpec layer(int64_t experts, int64_t topK) {
  LayerSpec spec;
  spec.hiddenSize = spec.intermediateSize = 1;
  spec.numExperts = experts;
  spec.topK = topK;
  return spec;
}

static std::vector<int32_t> choose(const LayerSpec &spec,
                                   std::vector<double> scores) {
  std::vector<int32_t> ids(spec.topK);
  chooseExperts(spec, scores.data(), ids.data());
  return ids;
}

static std::vector<double> weigh(const LayerSpec &spec,
                                 std::vector<double> logits,
                                 std::vector<int32_t> ids) {
  std::vector<double> scores(logits.size()), weights(spec.topK);
  scoreLogits(spec, logits.data(), scores.data());
  weighExperts(spec, logits.data(), scores.data(), ids.data(), weights.data());
  return weights;
}

using Ids = std::vector<int32_t>;

TEST(Routing, BestFirst) {
  EXPECT_EQ(choose(layer(5, 3), {1, 5, 3, 4, 2}), (Ids{1, 3, 2}));
}

TEST(Routing, TiesGoToTheSmallerId) {
  EXPECT_EQ(choose(layer(5, 3), {1, 2, 2, 2, 2}), (Ids{1, 2, 3}));
  EXPECT_EQ(choose(layer(4, 2), {7, 7, 7, 7}), (Ids{0, 1}));
}

TEST(Routing, NaNComparesAsMinusInfinity) {
  EXPECT_EQ(choose(layer(4, 2), {NaN, 1, NaN, -5}), (Ids{1, 3}));
  // With too few numbers the NaNs are taken by id, and equal -infinity.
  EXPECT_EQ(choose(layer(4, 3), {-inf, NaN, 2, NaN}), (Ids{2, 0, 1}));
  EXPECT_EQ(choose(layer(3, 3), {NaN, NaN, NaN}), (Ids{0, 1, 2}));
}

TEST(Routing, GroupsByLargest) {
  LayerSpec spec = layer(6, 2);
  spec.routing.nGroup = 3;
  spec.routing.topkGroup = 1;
  // The group of the largest score wins, though another has two good ones.
  EXPECT_EQ(choose(spec, {5, 0, 4, 4, 1, 1}), (Ids{0, 1}));
  spec.routing.topkGroup = 2;
  EXPECT_EQ(choose(spec, {5, 0, 4, 4, 3, 3}), (Ids{0, 2}));
}

TEST(Routing, GroupsBySumOfTwo) {
  LayerSpec spec = layer(6, 2);
  spec.routing.nGroup = 3;
  spec.routing.topkGroup = 1;
  spec.routing.groupScore = GroupScore::top2_sum;
  EXPECT_EQ(choose(spec, {5, 0, 4, 4, 1, 1}), (Ids{2, 3}));
}

TEST(Routing, GroupTiesGoToTheSmallerGroup) {
  LayerSpec spec = layer(6, 2);
  spec.routing.nGroup = 3;
  spec.routing.topkGroup = 1;
  EXPECT_EQ(choose(spec, {1, 3, 4, 0, 0, 4}), (Ids{2, 3}));
}

// Experts of dropped groups are never chosen, not even over NaNs; a NaN counts
// as -infinity in its group's score.
TEST(Routing, GroupsWithNaN) {
  LayerSpec spec = layer(4, 2);
  spec.routing.nGroup = 2;
  spec.routing.topkGroup = 1;
  EXPECT_EQ(choose(spec, {3, 3, 4, NaN}), (Ids{2, 3}));
  spec.routing.groupScore = GroupScore::top2_sum;
  EXPECT_EQ(choose(spec, {3, 3, 40, NaN}), (Ids{0, 1}));
  EXPECT_EQ(choose(spec, {NaN, NaN, NaN, NaN}), (Ids{0, 1}));
}

TEST(Routing, NegativeScoresStayBehindInKeptGroups) {
  LayerSpec spec = layer(4, 2);
  spec.routing.nGroup = 2;
  spec.routing.topkGroup = 1;
  // Masking with 0 instead of -infinity would choose 2 here.
  EXPECT_EQ(choose(spec, {-1, -3, -2, -2}), (Ids{0, 1}));
}

TEST(Routing, Scores) {
  LayerSpec spec = layer(2, 1);
  double logits[] = {0, std::log(3.0)}, scores[2];
  scoreLogits(spec, logits, scores);
  EXPECT_DOUBLE_EQ(scores[0], 0.25);
  EXPECT_DOUBLE_EQ(scores[1], 0.75);
  spec.routing.score = ScoreFunction::sigmoid;
  scoreLogits(spec, logits, scores);
  EXPECT_DOUBLE_EQ(scores[0], 0.5);
  EXPECT_DOUBLE_EQ(scores[1], 0.75);
  spec.routing.score = ScoreFunction::sqrt_softplus;
  scoreLogits(spec, logits, scores);
  EXPECT_DOUBLE_EQ(scores[0], std::sqrt(std::log(2.0)));
  EXPECT_DOUBLE_EQ(scores[1], std::sqrt(std::log(4.0)));
  spec.routing.score = ScoreFunction::logits;
  scoreLogits(spec, logits, scores);
  EXPECT_EQ(scores[1], logits[1]);
}

TEST(Routing, ScoresOfHugeLogitsDoNotOverflow) {
  LayerSpec spec = layer(2, 1);
  double logits[] = {5000, -5000}, scores[2];
  scoreLogits(spec, logits, scores);
  EXPECT_EQ(scores[0], 1);
  EXPECT_EQ(scores[1], 0);
  spec.routing.score = ScoreFunction::sqrt_softplus;
  scoreLogits(spec, logits, scores);
  EXPECT_DOUBLE_EQ(scores[0], std::sqrt(5000.0));
  EXPECT_EQ(scores[1], 0);
  spec.routing.score = ScoreFunction::sigmoid;
  scoreLogits(spec, logits, scores);
  EXPECT_EQ(scores[0], 1);
  EXPECT_EQ(scores[1], 0);
}

TEST(Routing, WeightsAreScoresUnlessRenormalized) {
  LayerSpec spec = layer(3, 2);
  std::vector<double> logits = {0, std::log(2.0), 0}; // scores 1/4, 1/2, 1/4
  std::vector<double> weights = weigh(spec, logits, {1, 0});
  EXPECT_DOUBLE_EQ(weights[0], 0.5);
  EXPECT_DOUBLE_EQ(weights[1], 0.25);
  spec.routing.renormalize = true;
  weights = weigh(spec, logits, {1, 0});
  EXPECT_DOUBLE_EQ(weights[0], 2.0 / 3);
  EXPECT_DOUBLE_EQ(weights[1], 1.0 / 3);
}

// Scores that are all zero give 0 and not NaN where there is an epsilon or a
// minimum.
TEST(Routing, RenormalizationOfNothing) {
  LayerSpec spec = layer(2, 2);
  spec.routing.score = ScoreFunction::sigmoid;
  spec.routing.renormalize = true;
  std::vector<double> logits = {-1e4, -1e4};
  EXPECT_TRUE(std::isnan(weigh(spec, logits, {0, 1})[0]));
  spec.routing.renormalizeEpsilon = 1e-20;
  EXPECT_EQ(weigh(spec, logits, {0, 1})[0], 0);
  spec.routing.renormalizeEpsilon = 0;
  spec.routing.renormalizeMinimum = 1e-12;
  EXPECT_EQ(weigh(spec, logits, {0, 1})[0], 0);
}

// The epsilon is added to the sum, the minimum bounds it.
TEST(Routing, EpsilonAndMinimum) {
  LayerSpec spec = layer(2, 2);
  spec.routing.score = ScoreFunction::logits;
  spec.routing.renormalize = true;
  spec.routing.renormalizeEpsilon = 0.5;
  EXPECT_DOUBLE_EQ(weigh(spec, {0.25, 0.25}, {0, 1})[0], 0.25);
  spec.routing.renormalizeEpsilon = 0;
  spec.routing.renormalizeMinimum = 2;
  EXPECT_DOUBLE_EQ(weigh(spec, {0.25, 0.25}, {0, 1})[0], 0.125);
  EXPECT_DOUBLE_EQ(weigh(spec, {4, 4}, {0, 1})[0], 0.5);
}

TEST(Routing, WeightsOfTheChosenLogits) {
  LayerSpec spec = layer(3, 2);
  spec.routing.score = ScoreFunction::logits;
  spec.routing.weight = WeightFunction::softmax_of_chosen;
  std::vector<double> weights = weigh(spec, {0, std::log(3.0), 100}, {1, 0});
  EXPECT_DOUBLE_EQ(weights[0], 0.75);
  EXPECT_DOUBLE_EQ(weights[1], 0.25);
  spec.routing.weight = WeightFunction::sigmoid_of_chosen;
  weights = weigh(spec, {0, std::log(3.0), 100}, {1, 0});
  EXPECT_DOUBLE_EQ(weights[0], 0.75);
  EXPECT_DOUBLE_EQ(weights[1], 0.5);
}

// An empty slot weighs nothing and takes no part in sums.
TEST(Routing, EmptySlots) {
  LayerSpec spec = layer(3, 3);
  spec.routing.renormalize = true;
  std::vector<double> weights = weigh(spec, {0, 0, 0}, {2, -1, 0});
  EXPECT_DOUBLE_EQ(weights[0], 0.5);
  EXPECT_EQ(weights[1], 0);
  EXPECT_DOUBLE_EQ(weights[2], 0.5);
  EXPECT_EQ(weigh(spec, {0, 0, 0}, {-1, -1, -1})[0], 0);
}

// One NaN logit makes every softmax score NaN, but one sigmoid score only.
TEST(Routing, NaNLogits) {
  LayerSpec spec = layer(3, 1);
  double logits[] = {0, NaN, 1}, scores[3];
  scoreLogits(spec, logits, scores);
  for (double score : scores)
    EXPECT_TRUE(std::isnan(score));
  spec.routing.score = ScoreFunction::sigmoid;
  scoreLogits(spec, logits, scores);
  EXPECT_EQ(scores[0], 0.5);
  EXPECT_TRUE(std::isnan(scores[1]));
}
