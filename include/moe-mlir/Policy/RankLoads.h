//===- RankLoads.h - What ranks get of a token ------------------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// What follows from a router for the ranks that own the experts: how many of a
// token's choices a rank gets, and how likely it gets the token at all.
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_POLICY_RANKLOADS_H
#define MOE_MLIR_POLICY_RANKLOADS_H

#include "moe-mlir/Policy/ParallelConfig.h"
#include "moe-mlir/Policy/RouterModel.h"

namespace moe::policy {

/// The physical experts, and who owns them.
struct ExpertSlots {
  /// [P]: the logical expert in each, as in EPLB's maps.
  std::vector<int64_t> physicalToLogical;
  /// [P]: the rank that owns it, among the ranks that share out the experts.
  std::vector<int64_t> owner;
  size_t numRanks = 1;
};

/// The placement before any balancing.
ExpertSlots getInitialSlots(const ParallelProperties &properties,
                            int64_t numLogicalExperts);

/// What the ranks that share out the experts get of one token, on average.
struct RankLoads {
  /// [ranks]: the probability that one of the token's experts is there.
  std::vector<double> rows;
  /// [ranks]: the choices whose expert is there; the sum is topK.
  std::vector<double> choices;
  /// [ranks][experts of the rank]: the probability of each to be chosen.
  std::vector<std::vector<double>> experts;

  size_t getNumRanks() const { return rows.size(); }

  /// Experts of a rank that one of `tokens` tokens chooses.
  double getExpertsHit(size_t rank, double tokens) const;

  /// The mean over the largest number of choices of a rank: 1 is balanced.
  double getBalance() const;
};

/// Replicas of an expert are chosen as moe.route does, by the token's number:
/// the experts of one token choose theirs by the same number.
RankLoads getExpectedLoads(const RouterModel &router, const ExpertSlots &slots);

/// The loads if every rank that owns experts got as much as the others: the
/// bound of what balancing can reach.
RankLoads getEvenLoads(const RankLoads &loads);

} // namespace moe::policy

#endif // MOE_MLIR_POLICY_RANKLOADS_H
