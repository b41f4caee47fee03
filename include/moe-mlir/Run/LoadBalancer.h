//===- LoadBalancer.h - Experts move to where loads want them ---*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_RUN_LOADBALANCER_H
#define MOE_MLIR_RUN_LOADBALANCER_H

#include "moe-mlir/Run/RankSet.h"

namespace moe::run {

/// The balance of experts, as all ranks see it alike.
struct BalanceReport {
  /// Mean over maximum of the ranks' loads: counted since the placement was
  /// made, and expected of the new one.
  double measured = 1, expected = 1;
  /// Steps since the placement was made.
  int64_t numSteps = 0;
  int64_t movedSlots = 0, movedBetweenRanks = 0, movedBytes = 0;
  double nanoseconds = 0;
};

class RankBalancer;

/// Moves experts between ranks to where the loads of recent steps want them:
/// ranks exchange their loads, find the new placement, move the weights and
/// swap the maps. A step is a run; between two steps nothing else may run.
class LoadBalancer {
public:
  /// Of the loads of the last `windowSize` steps. The set is kept by reference
  /// and has its inputs.
  LoadBalancer(RankSet &set, int64_t windowSize);
  ~LoadBalancer();

  /// Allocates what is exchanged, before anything else is done.
  Status prepare();
  /// Notes the loads of a step that has run.
  void record(const RankRun &run);
  /// The balance since the placement was made. All processes call it together.
  Status measure(BalanceReport &report);
  /// Makes a new placement. All processes call it together.
  Status rebalance(BalanceReport &report);

private:
  Status onAll(Status (RankBalancer::*function)(BalanceReport &),
               BalanceReport &report);

  RankSet &set;
  std::vector<std::unique_ptr<RankBalancer>> balancers;
};

/// Whether the artefact's experts can be moved, and their loads are known.
Status checkBalanceable(const Descriptor &descriptor, const RankLayout &layout);

} // namespace moe::run

#endif // MOE_MLIR_RUN_LOADBALANCER_H
