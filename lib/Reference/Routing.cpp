//===- Routing.cpp - Choice and weights of experts ------------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moe-mlir/Reference/Evaluate.h"
#include <algorithm>
#include <cmath>
#include <limits>

using namespace moe;
using namespace moe::reference;

static constexpr double minusInfinity =
    -std::numeric_limits<double>::infinity();

/// What a choice score compares as.
static double comparable(double score) {
  return std::isnan(score) ? minusInfinity : score;
}

/// Larger first, smaller id first among equals. A strict weak order, since
/// comparable scores contain no NaN.
static bool before(double a, int64_t idA, double b, int64_t idB) {
  return a != b ? a > b : idA < idB;
}

std::vector<double> reference::groupScores(const LayerSpec &spec,
                                           const double *choiceScores) {
  const int64_t groupSize = spec.numRouted() / spec.routing.nGroup;
  std::vector<double> scores(spec.routing.nGroup);
  for (int64_t group = 0; group < spec.routing.nGroup; ++group) {
    double first = minusInfinity, second = minusInfinity;
    for (int64_t i = 0; i < groupSize; ++i) {
      double score = comparable(choiceScores[group * groupSize + i]);
      if (score > first) {
        second = first;
        first = score;
      } else if (score > second) {
        second = score;
      }
    }
    scores[group] =
        spec.routing.groupScore == GroupScore::max ? first : first + second;
  }
  return scores;
}

std::vector<char> reference::keptGroups(const LayerSpec &spec,
                                        const double *choiceScores) {
  const RoutingSpec &routing = spec.routing;
  std::vector<char> kept(routing.nGroup, routing.topkGroup == routing.nGroup);
  if (routing.topkGroup == routing.nGroup)
    return kept;
  std::vector<double> scores = groupScores(spec, choiceScores);
  std::vector<int64_t> order(routing.nGroup);
  for (int64_t group = 0; group < routing.nGroup; ++group)
    order[group] = group;
  std::partial_sort(order.begin(), order.begin() + routing.topkGroup,
                    order.end(), [&](int64_t a, int64_t b) {
                      // Two infinities of opposite sign make a NaN sum.
                      return before(comparable(scores[a]), a,
                                    comparable(scores[b]), b);
                    });
  for (int64_t i = 0; i < routing.topkGroup; ++i)
    kept[order[i]] = true;
  return kept;
}

void reference::chooseExperts(const LayerSpec &spec, const double *choiceScores,
                              int32_t *ids) {
  const int64_t numRouted = spec.numRouted();
  const int64_t groupSize = numRouted / spec.routing.nGroup;
  std::vector<char> kept = keptGroups(spec, choiceScores);
  std::vector<int32_t> candidates;
  for (int64_t id = 0; id < numRouted; ++id)
    if (kept[id / groupSize])
      candidates.push_back(static_cast<int32_t>(id));
  std::partial_sort(candidates.begin(), candidates.begin() + spec.topK,
                    candidates.end(), [&](int32_t a, int32_t b) {
                      return before(comparable(choiceScores[a]), a,
                                    comparable(choiceScores[b]), b);
                    });
  std::copy_n(candidates.begin(), spec.topK, ids);
}

static double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

void reference::scoreLogits(const LayerSpec &spec, const double *logits,
                            double *scores) {
  const int64_t count = spec.numRouted();
  switch (spec.routing.score) {
  case ScoreFunction::softmax: {
    double largest = minusInfinity;
    for (int64_t i = 0; i < count; ++i)
      largest = std::max(largest, logits[i]);
    // A NaN among the logits reaches every score through the sum.
    double sum = 0;
    for (int64_t i = 0; i < count; ++i)
      sum += scores[i] = std::exp(logits[i] - largest);
    for (int64_t i = 0; i < count; ++i)
      scores[i] /= sum;
    return;
  }
  case ScoreFunction::sigmoid:
    for (int64_t i = 0; i < count; ++i)
      scores[i] = sigmoid(logits[i]);
    return;
  case ScoreFunction::sqrt_softplus:
    for (int64_t i = 0; i < count; ++i) {
      // log(1 + exp(x)) without overflow.
      double x = logits[i];
      scores[i] = std::sqrt(x > 0 ? x + std::log1p(std::exp(-x))
                                  : std::log1p(std::exp(x)));
    }
    return;
  case ScoreFunction::logits:
    std::copy_n(logits, count, scores);
    return;
  }
}

void reference::weighExperts(const LayerSpec &spec, const double *logits,
                             const double *scores, const int32_t *ids,
                             double *weights) {
  const RoutingSpec &routing = spec.routing;
  double largest = minusInfinity;
  for (int64_t slot = 0; slot < spec.topK; ++slot)
    if (ids[slot] >= 0)
      largest = std::max(largest, logits[ids[slot]]);
  double sum = 0;
  for (int64_t slot = 0; slot < spec.topK; ++slot) {
    weights[slot] = 0;
    if (ids[slot] < 0)
      continue;
    switch (routing.weight) {
    case WeightFunction::score:
      weights[slot] = scores[ids[slot]];
      break;
    case WeightFunction::softmax_of_chosen:
      weights[slot] = std::exp(logits[ids[slot]] - largest);
      break;
    case WeightFunction::sigmoid_of_chosen:
      weights[slot] = sigmoid(logits[ids[slot]]);
      break;
    }
    sum += weights[slot];
  }
  if (routing.weight == WeightFunction::softmax_of_chosen && sum != 0) {
    for (int64_t slot = 0; slot < spec.topK; ++slot)
      weights[slot] /= sum;
    sum = 1;
  }
  if (!routing.renormalize)
    return;
  double divisor =
      std::max(sum + routing.renormalizeEpsilon, routing.renormalizeMinimum);
  for (int64_t slot = 0; slot < spec.topK; ++slot)
    if (ids[slot] >= 0)
      weights[slot] /= divisor;
}
