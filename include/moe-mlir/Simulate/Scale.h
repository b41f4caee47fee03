//===- Scale.h - A layer on many ranks, predicted ---------------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// What `moe-compile --explain --machine` tells: bytes between ranks, time by
// phase, memory, and what schedules and balancing are worth.
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_SIMULATE_SCALE_H
#define MOE_MLIR_SIMULATE_SCALE_H

#include "moe-mlir/Policy/RuleSet.h"
#include "moe-mlir/Simulate/Simulate.h"

namespace moe::simulate {

/// The layer's function, scheduled by a rule set.
struct ScheduledLayer {
  std::string ruleSet;
  Order order = Order::None;
  mlir::FunctionOpInterface function;
};

/// Times in seconds.
struct CollectiveReport {
  std::string label;
  policy::CollectiveKind kind = policy::CollectiveKind::AllToAll;
  policy::Traffic traffic;
  /// From the last arrival to the end; the longest of the groups that meet.
  double seconds = 0;
};

struct PhaseReport {
  std::string label;
  /// What it would take a rank that does nothing else, links aside: the mean
  /// and the largest over the ranks.
  double mean = 0, largest = 0;
  double links = 0;
  /// In the chosen schedule: its part of the chain that bounds the step.
  PathTime onCriticalPath;
};

struct StepReport {
  std::string ruleSet;
  Order order = Order::None;
  double seconds = 0;
  double idleShare = 0;
  /// With the balanced loads.
  double balancedSeconds = 0;
};

/// One distribution of tokens over experts.
struct RoutingReport {
  std::string name;
  /// The mean over the largest number of choices that a rank gets.
  double balance = 1;
  std::vector<CollectiveReport> collectives;
  std::vector<PhaseReport> phases;
  /// In the order of the layers that were given.
  std::vector<StepReport> steps;
  /// Of the chosen schedule.
  Program program;
  Timeline timeline;
};

/// Bytes of one rank.
struct MemoryReport {
  double weights = 0;
  double inputsAndOutput = 0;
};

/// What `call` does, and what it would take with `balanced` loads. `layers` are
/// the schedules to compare, the chosen one last; they are of one layer.
mlir::FailureOr<RoutingReport>
reportRouting(llvm::StringRef name, llvm::ArrayRef<ScheduledLayer> layers,
              const Call &call, const policy::RankLoads &balanced);

/// The function's arguments on a rank with `tokens` rows and `localExperts`
/// experts; what has a row for each token is input or output, the rest are
/// weights.
mlir::FailureOr<MemoryReport> reportMemory(mlir::FunctionOpInterface function,
                                           int64_t tokens,
                                           int64_t localExperts);

} // namespace moe::simulate

#endif // MOE_MLIR_SIMULATE_SCALE_H
