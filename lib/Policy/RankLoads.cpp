//===- RankLoads.cpp - What ranks get of a token --------------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moe-mlir/Policy/RankLoads.h"

#include "moe-mlir/Policy/ExpertPlacement.h"

#include <algorithm>
#include <cmath>
#include <numeric>

using namespace moe::policy;

ExpertSlots moe::policy::getInitialSlots(const ParallelProperties &properties,
                                         int64_t numLogicalExperts) {
  ExpertSlots slots;
  slots.numRanks = size_t(properties.ep.size);
  slots.physicalToLogical =
      getInitialEplbMaps(numLogicalExperts, properties.numRedundantExperts)
          .physicalToLogical;
  int64_t numPhysical = int64_t(slots.physicalToLogical.size());
  for (int64_t physical = 0; physical < numPhysical; ++physical)
    slots.owner.push_back(getExpertOwner(properties.expertPlacement,
                                         numPhysical, properties.ep.size,
                                         physical)
                              .rank);
  return slots;
}

double RankLoads::getExpertsHit(size_t rank, double tokens) const {
  double hit = 0;
  for (double probability : experts[rank])
    hit += -std::expm1(tokens * std::log1p(-std::min(probability, 1.0)));
  return tokens > 0 ? hit : 0;
}

double RankLoads::getBalance() const {
  double largest = *std::max_element(choices.begin(), choices.end());
  double sum = std::accumulate(choices.begin(), choices.end(), 0.0);
  return largest > 0 ? sum / double(choices.size()) / largest : 1;
}

/// The rows of getExpectedLoads with replicas and groups: token by token.
static std::vector<double>
sampleRows(const RouterModel &router,
           const std::vector<std::vector<int64_t>> &owners, size_t numRanks) {
  return sampleHits(router, numRanks, [&](size_t e, uint64_t token) -> int64_t {
    // The constant of moe.route.
    uint64_t h = (token * 2654435769u) & 0xffffffffu;
    return owners[e].empty() ? -1 : owners[e][h % owners[e].size()];
  });
}

RankLoads moe::policy::getExpectedLoads(const RouterModel &router,
                                        const ExpertSlots &slots) {
  const size_t numExperts = router.weights.size();
  std::vector<std::vector<int64_t>> owners(numExperts);
  for (size_t p = 0; p < slots.owner.size(); ++p)
    owners[slots.physicalToLogical[p]].push_back(slots.owner[p]);

  RankLoads loads;
  loads.rows.assign(slots.numRanks, 0.0);
  loads.choices.assign(slots.numRanks, 0.0);
  loads.experts.resize(slots.numRanks);
  std::vector<double> chosen = getChoiceProbabilities(router);
  for (size_t p = 0; p < slots.owner.size(); ++p) {
    int64_t logical = slots.physicalToLogical[p];
    double share = chosen[logical] / double(owners[logical].size());
    loads.choices[slots.owner[p]] += share;
    loads.experts[slots.owner[p]].push_back(share);
  }

  // Replica number h mod count, with h the same for all experts of a token: the
  // residues of h repeat after the least common multiple of the counts. Past
  // `maxClasses`, which most counts divide, these stand for all.
  constexpr uint64_t maxClasses = 60;
  uint64_t numClasses = 1;
  for (const std::vector<int64_t> &replicas : owners)
    if (!replicas.empty() && numClasses < maxClasses)
      numClasses = std::lcm(numClasses, uint64_t(replicas.size()));
  numClasses = std::min(numClasses, maxClasses);
  if (router.hasGroups() && numClasses > 1) {
    loads.rows = sampleRows(router, owners, slots.numRanks);
    return loads;
  }
  for (uint64_t h = 0; h < numClasses; ++h) {
    std::vector<int64_t> bins(numExperts, -1);
    for (size_t e = 0; e < numExperts; ++e)
      if (!owners[e].empty())
        bins[e] = owners[e][h % owners[e].size()];
    std::vector<double> hit = getHitProbabilities(router, bins, slots.numRanks);
    for (size_t r = 0; r < hit.size(); ++r)
      loads.rows[r] += hit[r] / double(numClasses);
  }
  return loads;
}

RankLoads moe::policy::getEvenLoads(const RankLoads &loads) {
  double rows = 0, choices = 0, owners = 0;
  for (size_t r = 0; r < loads.getNumRanks(); ++r) {
    rows += loads.rows[r];
    choices += loads.choices[r];
    owners += !loads.experts[r].empty();
  }
  RankLoads even = loads;
  for (size_t r = 0; r < loads.getNumRanks(); ++r) {
    std::vector<double> &experts = even.experts[r];
    if (experts.empty())
      continue;
    even.rows[r] = rows / owners;
    even.choices[r] = choices / owners;
    std::fill(experts.begin(), experts.end(),
              std::min(1.0, even.choices[r] / double(experts.size())));
  }
  return even;
}
