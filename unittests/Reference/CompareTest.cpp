//===- CompareTest.cpp - Errors and near-ties -----------------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moe-mlir/Reference/Compare.h"
#include <cmath>
#include <gtest/gtest.h>

using namespace moe;
using namespace moe::reference;

static Evaluation outputs(std::vector<double> values, int64_t rows) {
  Evaluation evaluation;
  for (int64_t row = 0; row < rows; ++row)
    evaluation.rows.push_back(row);
  evaluation.output = std::move(values);
  return evaluation;
}

TEST(Compare, RelativeFrobenius) {
  Evaluation reference = outputs({3, 4, 0, 12}, 2);
  float actual[] = {3, 4, 0, 12.5f};
  Result<Comparison> result =
      compare({"output", DType::F32, {2, 2}, actual}, reference);
  ASSERT_TRUE(result) << result.error();
  EXPECT_DOUBLE_EQ(result->relativeError, 0.5 / 13);
  EXPECT_DOUBLE_EQ(result->maxAbsolute, 0.5);
  EXPECT_EQ(result->worstRow, 1);
  EXPECT_DOUBLE_EQ(result->worstRowError, 0.5 / 12);
  EXPECT_EQ(result->rowsCompared, 2);
}

TEST(Compare, SkippedRowsDoNotCount) {
  Evaluation reference = outputs({1, 1, 1, 1}, 2);
  float actual[] = {9, 9, 1, 1};
  Result<Comparison> result =
      compare({"output", DType::F32, {2, 2}, actual}, reference, {0});
  ASSERT_TRUE(result) << result.error();
  EXPECT_EQ(result->relativeError, 0);
  EXPECT_EQ(result->rowsCompared, 1);
}

// NaN for NaN agrees; anything else for NaN is an infinite error.
TEST(Compare, NonFinite) {
  Evaluation reference = outputs({std::nan(""), 1, INFINITY, 1}, 2);
  float same[] = {std::nanf(""), 1, INFINITY, 1};
  Result<Comparison> result =
      compare({"output", DType::F32, {2, 2}, same}, reference);
  ASSERT_TRUE(result);
  EXPECT_EQ(result->relativeError, 0);
  float other[] = {0, 1, -INFINITY, std::nanf("")};
  result = compare({"output", DType::F32, {2, 2}, other}, reference);
  ASSERT_TRUE(result);
  EXPECT_EQ(result->nonFiniteMismatches, 3);
  EXPECT_TRUE(std::isinf(result->relativeError));
}

TEST(Compare, ShapeError) {
  Evaluation reference = outputs({1, 1}, 1);
  float actual[3] = {};
  EXPECT_EQ(compare({"output", DType::F32, {1, 3}, actual}, reference).error(),
            "expected 'output' of shape [T, 2] but got [1, 3]");
  EXPECT_EQ(compare({"output", DType::F32, {0, 2}, actual}, reference).error(),
            "expected 'output' to have row 0 but got shape [0, 2]");
}

/// One row of logits that are scores.
static Evaluation choiceOf(std::vector<double> scores) {
  Evaluation evaluation;
  evaluation.rows = {0};
  evaluation.logitError = {1e-7};
  evaluation.scores = evaluation.choiceScores = std::move(scores);
  return evaluation;
}

static LayerSpec layer(int64_t experts, int64_t topK) {
  LayerSpec spec;
  spec.hiddenSize = spec.intermediateSize = 1;
  spec.numExperts = experts;
  spec.topK = topK;
  spec.routing.score = ScoreFunction::logits;
  return spec;
}

/// 0: as the reference, 1: a near-tie, 2: wrong.
static int judge(const LayerSpec &spec, std::vector<double> scores,
                 std::vector<int32_t> ids, DType resolution = DType::F32) {
  ChoiceReport report =
      compareChoices(spec, choiceOf(std::move(scores)), ids.data(), resolution);
  EXPECT_EQ(report.rowsCompared, 1);
  return report.wrong.size() == 1 ? 2 : report.nearTies.size() == 1 ? 1 : 0;
}

TEST(Choices, SameSetInAnotherOrder) {
  EXPECT_EQ(judge(layer(4, 2), {1, 4, 3, 2}, {2, 1}), 0);
}

TEST(Choices, NearTieAndWrong) {
  EXPECT_EQ(judge(layer(4, 2), {1, 4, 3, 3 - 1e-8}, {1, 3}), 1);
  EXPECT_EQ(judge(layer(4, 2), {1, 4, 3, 3 - 1e-3}, {1, 3}), 2);
  // What bfloat16 does not tell apart, float32 does.
  EXPECT_EQ(judge(layer(4, 2), {1, 4, 3, 3 - 1e-3}, {1, 3}, DType::BF16), 1);
  // An exact tie broken towards the larger id.
  EXPECT_EQ(judge(layer(3, 1), {2, 2, 1}, {1}), 1);
}

// A tie at the border excuses no other mistake.
TEST(Choices, NearTieElsewhereDoesNotExcuse) {
  EXPECT_EQ(judge(layer(4, 2), {1, 4, 3, 3}, {0, 1}), 2);
}

TEST(Choices, InvalidIds) {
  EXPECT_EQ(judge(layer(3, 2), {2, 2, 2}, {1, 1}), 2);
  EXPECT_EQ(judge(layer(3, 2), {2, 2, 2}, {0, 3}), 2);
  EXPECT_EQ(judge(layer(3, 2), {2, 2, 2}, {0, -1}), 2);
}

TEST(Choices, NaNScoresTie) {
  EXPECT_EQ(judge(layer(3, 1), {NAN, NAN, NAN}, {2}), 1);
  EXPECT_EQ(judge(layer(3, 1), {NAN, 1, NAN}, {2}), 2);
}

// Where two groups tie, the experts of either are right, however far apart
// their own scores are.
TEST(Choices, GroupsThatTie) {
  LayerSpec spec = layer(6, 2);
  spec.routing.nGroup = 3;
  spec.routing.topkGroup = 1;
  spec.routing.groupScore = GroupScore::top2_sum;
  std::vector<double> scores = {5, 1, 3, 3, 0, 0};
  EXPECT_EQ(judge(spec, scores, {0, 1}), 0);
  EXPECT_EQ(judge(spec, scores, {2, 3}), 1);
  EXPECT_EQ(judge(spec, scores, {4, 5}), 2);
  EXPECT_EQ(judge(spec, scores, {0, 2}), 2);
}

// The kept group that ties need not contribute an expert.
TEST(Choices, GroupThatTiesAndHoldsNothing) {
  LayerSpec spec = layer(6, 2);
  spec.routing.nGroup = 3;
  spec.routing.topkGroup = 2;
  spec.routing.groupScore = GroupScore::top2_sum;
  // Groups 0 (sum 10) and, tied, 1 (sum 4: 4 and 0) and 2 (2 and 2); keeping 2
  // leaves both experts of group 0.
  std::vector<double> scores = {7, 3, 4, 0, 2, 2};
  EXPECT_EQ(judge(spec, scores, {0, 2}), 0);
  EXPECT_EQ(judge(spec, scores, {0, 1}), 1);
}

TEST(Choices, RowsThatHangOnNearTies) {
  LayerSpec spec = layer(3, 1);
  EXPECT_TRUE(rowsWithNearTies(spec, choiceOf({3, 1, 1}), DType::F32).empty());
  EXPECT_EQ(rowsWithNearTies(spec, choiceOf({3, 1, 3 - 1e-9}), DType::F32),
            std::vector<int64_t>{0});
}
