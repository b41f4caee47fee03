//===- LoadBalance.h - Which rank holds which replica, by load --*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Expert parallel load balancing (EPLB): a new placement from the loads that
// were counted under the current one, the transfers of weights between the two,
// and what is left of a placement when ranks are lost.
//
// A placement is `physicalToLogical` [P]: the expert in each slot, where rank r
// of n has the slots from r * P / n to (r + 1) * P / n. Every function gives
// equal results for equal arguments, so that ranks may each call it for
// themselves. The method is that of DeepSeek's EPLB, with swaps after its
// packing.
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_POLICY_LOADBALANCE_H
#define MOE_MLIR_POLICY_LOADBALANCE_H

#include "moe-mlir/Policy/ExpertPlacement.h"

#include <optional>
#include <string>

namespace moe::policy {

using Placement = std::vector<int64_t>;

//===----------------------------------------------------------------------===//
// Loads
//===----------------------------------------------------------------------===//

/// [numExperts]: the sums of `physicalLoads` [P] over the replicas of each
/// expert.
std::vector<double> getLogicalLoads(const Placement &placement,
                                    const std::vector<int64_t> &physicalLoads,
                                    int64_t numExperts);

/// [numRanks]: what ranks have to do if replicas of an expert share its load
/// `loads` [E] evenly.
std::vector<double> getRankLoads(const Placement &placement,
                                 const std::vector<double> &loads,
                                 int64_t numRanks);

/// Mean over maximum of the ranks' loads: 1 is perfect, and what ranks without
/// any load have; 1 / ranks is the worst.
double getBalancedness(const std::vector<double> &rankLoads);

//===----------------------------------------------------------------------===//
// Placement
//===----------------------------------------------------------------------===//

struct BalanceInput {
  /// [E], not negative: how often each expert was chosen, or anything in
  /// proportion to it.
  std::vector<double> loads;
  /// [P], P at least E.
  Placement current;
  /// Divides P.
  int64_t numRanks = 1;
  /// Of ranks that lie close to each other; divides the ranks.
  int64_t numNodes = 1;
  /// Of experts that are chosen together, n_group of the router; divides E.
  int64_t numGroups = 1;
};

/// Where the groups divide by the nodes: groups are packed to nodes by load,
/// replicas of a node's experts given one by one to the expert with the largest
/// load per replica, and packed to the node's ranks by load. Else the same for
/// all experts and ranks at once. A rank whose new experts are in part its
/// current ones keeps these in their slots, and the current placement stays if
/// its most loaded rank has no more to do than that of the new one. Nothing,
/// with `error`, where `input` is not as described.
std::optional<Placement> balanceExperts(const BalanceInput &input,
                                        std::string &error);

//===----------------------------------------------------------------------===//
// Between placements
//===----------------------------------------------------------------------===//

/// Slot `to` takes the weights of slot `from`; -1 where no slot had them.
struct SlotTransfer {
  int64_t from;
  int64_t to;
};

/// What turns one placement into the other, in the order of `to`. All sources
/// are slots of `before`, so a slot may be source and target: whoever moves
/// weights keeps what arrives apart until all is sent. Sources are on the same
/// rank where possible, else on the rank that has sent least so far.
std::vector<SlotTransfer> planTransfers(const Placement &before,
                                        const Placement &after,
                                        int64_t numRanks);

struct SurvivorMaps {
  /// Slots keep their numbers; `logicalToPhysical` names none of a lost rank,
  /// and an expert without replica has the count 0.
  EplbMaps maps;
  /// The experts that have no replica any more, in ascending order.
  std::vector<int64_t> lostExperts;
};

/// What `survivors` of `numRanks` ranks, in any order, can still serve.
SurvivorMaps getSurvivorMaps(const Placement &placement, int64_t numExperts,
                             int64_t numRanks,
                             const std::vector<int64_t> &survivors);

} // namespace moe::policy

#endif // MOE_MLIR_POLICY_LOADBALANCE_H
