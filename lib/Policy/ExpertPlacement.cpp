//===- ExpertPlacement.cpp - Which rank owns which expert -----------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moe-mlir/Policy/ExpertPlacement.h"

#include <algorithm>

using namespace moe;
using namespace moe::policy;

int64_t moe::policy::getNumLocalExperts(int64_t numExperts, int64_t epSize,
                                        int64_t epRank) {
  return numExperts / epSize + (epRank < numExperts % epSize);
}

std::vector<int64_t> moe::policy::getLocalExperts(PlacementKind strategy,
                                                  int64_t numExperts,
                                                  int64_t epSize,
                                                  int64_t epRank) {
  int64_t first = epRank, stride = epSize;
  if (strategy == PlacementKind::linear) {
    first =
        epRank * (numExperts / epSize) + std::min(epRank, numExperts % epSize);
    stride = 1;
  }
  std::vector<int64_t> experts(getNumLocalExperts(numExperts, epSize, epRank));
  for (int64_t i = 0, e = experts.size(); i < e; ++i)
    experts[i] = first + i * stride;
  return experts;
}

ExpertOwner moe::policy::getExpertOwner(PlacementKind strategy,
                                        int64_t numExperts, int64_t epSize,
                                        int64_t expert) {
  if (strategy == PlacementKind::round_robin)
    return {expert % epSize, expert / epSize};
  int64_t base = numExperts / epSize, remainder = numExperts % epSize;
  // The first `remainder` ranks own base + 1 experts each.
  int64_t inLargeRanks = remainder * (base + 1);
  if (expert < inLargeRanks)
    return {expert / (base + 1), expert % (base + 1)};
  int64_t rest = expert - inLargeRanks;
  return {remainder + rest / base, rest % base};
}

EplbMaps moe::policy::makeEplbMaps(std::vector<int64_t> physicalToLogical,
                                   int64_t numExperts,
                                   const std::function<bool(int64_t)> &isUsed) {
  EplbMaps maps;
  maps.physicalToLogical = std::move(physicalToLogical);
  maps.maxReplicas = int64_t(maps.physicalToLogical.size()) - numExperts + 1;
  maps.logicalToPhysical.assign(numExperts * maps.maxReplicas, -1);
  maps.logicalReplicaCount.assign(numExperts, 0);
  for (int64_t i = 0, e = maps.physicalToLogical.size(); i < e; ++i) {
    if (!isUsed(i))
      continue;
    int64_t logical = maps.physicalToLogical[i];
    int64_t replica = maps.logicalReplicaCount[logical]++;
    maps.logicalToPhysical[logical * maps.maxReplicas + replica] = i;
  }
  return maps;
}

EplbMaps moe::policy::getInitialEplbMaps(int64_t numExperts,
                                         int64_t numRedundantExperts) {
  std::vector<int64_t> physicalToLogical(numExperts + numRedundantExperts);
  for (int64_t i = 0, e = physicalToLogical.size(); i < e; ++i)
    physicalToLogical[i] = i % numExperts;
  return makeEplbMaps(std::move(physicalToLogical), numExperts);
}
