//===- ExpertPlacement.h - Which rank owns which expert ---------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Placement of experts on ranks, and the maps with which expert parallel load
// balancing (EPLB) starts. Expert ids of a placement are physical ids; without
// redundant experts these are the logical ones.
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_POLICY_EXPERTPLACEMENT_H
#define MOE_MLIR_POLICY_EXPERTPLACEMENT_H

#include "moe-mlir/Policy/ParallelConfig.h"

#include <cstdint>
#include <functional>
#include <vector>

namespace moe::policy {

/// Ranks below `numExperts % epSize` own one expert more than the others.
int64_t getNumLocalExperts(int64_t numExperts, int64_t epSize, int64_t epRank);

/// The experts that `epRank` owns, in the order of its local ids. Linear:
/// consecutive ids. Round robin: epRank, epRank + epSize, ...
std::vector<int64_t> getLocalExperts(PlacementKind strategy, int64_t numExperts,
                                     int64_t epSize, int64_t epRank);

struct ExpertOwner {
  int64_t rank;
  /// The expert's id among those of its rank.
  int64_t localId;
};

/// The owner of `expert`, 0 <= expert < numExperts.
ExpertOwner getExpertOwner(PlacementKind strategy, int64_t numExperts,
                           int64_t epSize, int64_t expert);

struct EplbMaps {
  /// [P], P = logical + redundant experts.
  std::vector<int64_t> physicalToLogical;
  /// [E, maxReplicas], row-major, padded with -1.
  std::vector<int64_t> logicalToPhysical;
  /// [E]
  std::vector<int64_t> logicalReplicaCount;
  /// Redundant experts plus one: one logical expert may take all of them.
  int64_t maxReplicas;
};

/// The maps of slots with these experts, ids from 0 to `numExperts` - 1, each
/// of which has a slot. Slots for which `isUsed` is false are nobody's replica.
EplbMaps makeEplbMaps(
    std::vector<int64_t> physicalToLogical, int64_t numExperts,
    const std::function<bool(int64_t)> &isUsed = [](int64_t) { return true; });

/// The maps before any rebalancing: physical expert i is logical expert i, and
/// redundant slots repeat i mod E. Needs numExperts > 0.
EplbMaps getInitialEplbMaps(int64_t numExperts, int64_t numRedundantExperts);

} // namespace moe::policy

#endif // MOE_MLIR_POLICY_EXPERTPLACEMENT_H
