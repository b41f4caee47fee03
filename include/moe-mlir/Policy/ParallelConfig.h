//===- ParallelConfig.h - Flags and what follows from them ------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// From a parallel configuration as the flags give it to the plan of a layer,
// and the properties that follow from a plan: flattened sizes and ranks, the
// exchange in use, and which rank holds which part of a sum.
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_POLICY_PARALLELCONFIG_H
#define MOE_MLIR_POLICY_PARALLELCONFIG_H

#include "moe-mlir/Layer/Parallel.h"
#include "moe-mlir/Policy/All2All.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace moe::policy {

/// The largest size of one parallel dimension that is accepted.
constexpr int64_t maxParallelSize = int64_t(1) << 20;

/// What the parallel configuration needs to know of a layer. A size of zero
/// means that it is not known, and constraints on it are not checked.
struct LayerTraits {
  /// Routed (logical) experts.
  int64_t numExperts = 0;
  /// Width of one routed expert.
  int64_t intermediateSize = 0;
  /// Total width of the shared experts.
  int64_t sharedIntermediateSize = 0;
  /// Groups of the grouped top-k; 1 where the router has none.
  int64_t numExpertGroups = 1;
  bool hasSharedExperts = false;
  /// The model's family opts into sequence-parallel MoE under
  /// `--sequence-parallel=auto`.
  bool optsIntoSequenceParallel = false;
};

/// What one rank's output holds before any all-reduce.
enum class Completeness {
  /// The whole value of this rank's tokens.
  Complete,
  /// A summand: the value is the sum over the tensor-parallel ranks.
  PartialOverTP,
  /// There is no such output.
  Absent,
};

/// The all-reduce over the tensor-parallel ranks that completes the layer.
enum class Reduction {
  None,
  /// The combine has completed the routed output; the shared output alone is
  /// reduced, before the two are added.
  SharedOnly,
  /// Routed and shared outputs are added, and the sum is reduced once.
  Sum,
};

std::string_view stringify(Completeness completeness);
std::string_view stringify(Reduction reduction);

struct SizeAndRank {
  int64_t size = 1;
  int64_t rank = 0;
};

/// What follows from a plan, by arithmetic and the table of backends.
struct ParallelProperties : ParallelPlan {
  ParallelProperties() : ParallelProperties(ParallelPlan()) {}
  explicit ParallelProperties(const ParallelPlan &plan);

  /// The tensor-parallel group as the flags give it: shared experts are sharded
  /// over it, and the final all-reduce runs over it.
  SizeAndRank outerTp;
  /// Flattened, as the routed experts see them: without expert parallelism tp
  /// is all ranks and ep one; with it ep is all ranks and tp one.
  SizeAndRank tp, pcp, dp, ep;
  /// Ranks over which a sequence-parallel layer's tokens are sliced.
  int64_t spSize = 1;

  /// The named backend's kernels exchange tokens.
  bool useAll2AllKernels = false;
  bool useBatchedActivationFormat = false;
  /// The configuration allows sequence-parallel MoE; `isSequenceParallel` says
  /// whether it is on.
  bool useSequenceParallelMoE = false;

  ActivationFormat activationFormat = ActivationFormat::Standard;
  HostCounts hostCounts = HostCounts::None;
  bool asyncExchange = false;
  /// Hidden states and logits are all-gathered over pcp before the dispatch,
  /// and results reduce-scattered over pcp after the combine.
  bool gathersOverPcp = false;
  /// No exchange makes the host wait.
  bool capturable = true;

  /// After combine, and after the reduce-scatter over pcp where there is one.
  Completeness routedOutput = Completeness::Complete;
  Completeness sharedOutput = Completeness::Absent;
  Reduction reduction = Reduction::None;

  /// Physical experts of all ranks: logical plus redundant.
  int64_t numPhysicalExperts = 0;
  int64_t numLocalExperts = 0;

  /// The kernels of `which` exchange tokens.
  bool uses(All2AllBackend which) const {
    return useAll2AllKernels && backend == which;
  }
  int64_t numRanks() const { return dp.size * pcp.size * outerTp.size; }
};

struct DerivedParallelism {
  ParallelProperties properties;
  std::vector<std::string> warnings;
  /// One message for each constraint that does not hold. The properties are
  /// meaningful all the same unless `usable` is false.
  std::vector<std::string> errors;
  /// False where sizes or rank are such that nothing follows.
  bool usable = true;

  bool ok() const { return errors.empty(); }
};

/// Plans a layer. Every other user of a plan reads what this one has made.
DerivedParallelism derive(const ParallelConfig &config,
                          const LayerTraits &layer);

/// Rows of the shared experts' input on a rank whose model holds `tokens`: all
/// of them, or the rank's slice under sequence parallelism (the largest slice,
/// where they differ).
int64_t getSharedExpertRows(int64_t tokens,
                            const ParallelProperties &properties);

using PropertyValue = std::variant<bool, int64_t, std::string>;

/// Every property with the name that explanations show, in a stated order.
std::vector<std::pair<std::string, PropertyValue>>
listProperties(const ParallelProperties &properties);

} // namespace moe::policy

#endif // MOE_MLIR_POLICY_PARALLELCONFIG_H
