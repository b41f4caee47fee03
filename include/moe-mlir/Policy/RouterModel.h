//===- RouterModel.h - How tokens choose experts, on paper ------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A model of a router: how likely each expert, and each set of experts, gets a
// token. Equal input gives equal numbers on every machine.
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_POLICY_ROUTERMODEL_H
#define MOE_MLIR_POLICY_ROUTERMODEL_H

#include "moe-mlir/Layer/Enums.h"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace moe::policy {

/// Tokens choose independently of each other. Each draws `topK` experts one
/// after the other, without replacement, in proportion to their weights; what
/// follows is computed, not sampled.
///
/// With groups, runs of consecutive experts of which a token's choices come
/// from `topKGroups`, an expert's score is w / (w + x), x exponential with mean
/// 1: in the order of scores, experts are drawn as above. Groups and then
/// experts are chosen by it as moe.route does. This is sampled, with
/// `numSampledTokens` tokens that are always the same; where all weights are
/// equal, bins that are alike get their mean.
struct RouterModel {
  /// [E], not negative, not all zero; only their ratios matter.
  std::vector<double> weights;
  int64_t topK = 1;
  int64_t numGroups = 1;
  int64_t topKGroups = 1;
  GroupScore groupScore = GroupScore::max;

  bool hasGroups() const { return numGroups > 1 && topKGroups < numGroups; }
};

constexpr int64_t numSampledTokens = 32768;

std::vector<double> getUniformWeights(int64_t numExperts);

/// The r-th most popular expert has weight r^-exponent. Which one that is was
/// drawn once and for all: ids say nothing about popularity.
std::vector<double> getZipfWeights(int64_t numExperts, double exponent);

/// Weights with which the experts are chosen in proportion to `loads` (tokens
/// per expert, as measured). Nothing, and `error`, if there are no such: an
/// expert gets each token once at most, so none may have more than 1 / topK of
/// all.
std::optional<std::vector<double>> fitWeights(const std::vector<double> &loads,
                                              const RouterModel &router,
                                              std::string &error);

/// Weights as a command line names them: "uniform", "zipf:S" with an exponent
/// S, or a file with a JSON array of the tokens that each expert got. `router`
/// says how many experts there are. Nothing, and `error`, if they cannot be.
std::optional<std::vector<double>> parseWeights(const std::string &text,
                                                const RouterModel &router,
                                                std::string &error);

/// For each of `numBins` bins, the probability that a token chooses an expert
/// of it. `bins` [E] says in which bin an expert is; -1: in none.
std::vector<double> getHitProbabilities(const RouterModel &router,
                                        const std::vector<int64_t> &bins,
                                        size_t numBins);

/// [E]: the probability that a token chooses the expert. They sum up to topK.
std::vector<double> getChoiceProbabilities(const RouterModel &router);

/// The same for a router with groups, by its sampled tokens: `binOf` says in
/// which bin an expert is for a token, by its number.
std::vector<double>
sampleHits(const RouterModel &router, size_t numBins,
           const std::function<int64_t(size_t, uint64_t)> &binOf);

} // namespace moe::policy

#endif // MOE_MLIR_POLICY_ROUTERMODEL_H
