//===- ParallelConfig.h - Flags and what follows from them ------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A parallel configuration as the flags give it, and the properties that
// follow from it: flattened sizes and ranks, the exchange in use, and which
// rank holds which part of a sum.
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_POLICY_PARALLELCONFIG_H
#define MOE_MLIR_POLICY_PARALLELCONFIG_H

#include "moe-mlir/Policy/All2All.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace moe::policy {

enum class ExpertPlacementStrategy { Linear, RoundRobin };
enum class SequenceParallelMode { Auto, On, Off };

std::string_view stringify(ExpertPlacementStrategy strategy);
std::string_view stringify(SequenceParallelMode mode);
std::optional<ExpertPlacementStrategy>
parseExpertPlacementStrategy(std::string_view name);
std::optional<SequenceParallelMode>
parseSequenceParallelMode(std::string_view name);

/// The largest size of one parallel dimension that is accepted.
constexpr int64_t maxParallelSize = int64_t(1) << 20;

/// The configuration as given: nothing here is flattened, renamed or checked.
struct ParallelConfig {
  int64_t tensorParallelSize = 1;
  int64_t dataParallelSize = 1;
  int64_t prefillContextParallelSize = 1;
  /// Over all ranks: dp_rank * pcp * tp + pcp_rank * tp + tp_rank.
  int64_t rank = 0;
  bool enableExpertParallel = false;
  /// As written, aliases and retired names included.
  std::string all2allBackend = "allgather_reducescatter";
  bool enableEplb = false;
  int64_t numRedundantExperts = 0;
  ExpertPlacementStrategy expertPlacementStrategy =
      ExpertPlacementStrategy::Linear;
  SequenceParallelMode sequenceParallel = SequenceParallelMode::Auto;
  bool shardSharedExperts = false;
  /// Two-batch overlap, and the least tokens of the rank with most that are
  /// split: of calls with decodes alone, and of other ones.
  bool enableDbo = false;
  int64_t dboDecodeTokenThreshold = 32;
  int64_t dboPrefillTokenThreshold = 512;
};

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

/// What follows from a configuration.
struct ParallelProperties {
  /// The tensor-parallel group as the flags give it: shared experts are sharded
  /// over it, and the final all-reduce runs over it.
  SizeAndRank outerTp;
  /// Flattened, as the routed experts see them: without expert parallelism tp
  /// is all ranks and ep one; with it ep is all ranks and tp one.
  SizeAndRank tp, pcp, dp, ep;
  bool useEp = false;
  /// Ranks over which a sequence-parallel layer's tokens are sliced.
  int64_t spSize = 1;

  All2AllBackend backend = All2AllBackend::AllGatherReduceScatter;
  /// The backend's name as rules read it (see ParsedBackend::name).
  std::string all2allBackend = "allgather_reducescatter";
  bool enableEplb = false;
  int64_t numRedundantExperts = 0;
  bool enableDbo = false;
  int64_t dboDecodeTokenThreshold = 32;
  int64_t dboPrefillTokenThreshold = 512;

  bool isSequenceParallel = false;
  bool useAll2AllKernels = false;
  bool useDeepEPHTKernels = false;
  bool useDeepEPLLKernels = false;
  bool useDeepEPV2Kernels = false;
  bool useFINVLTwoSidedKernels = false;
  bool useFINVLOneSidedKernels = false;
  bool useAgRsAll2AllKernels = false;
  bool useMoriKernels = false;
  bool useNixlEPKernels = false;
  bool useBatchedActivationFormat = false;
  /// The configuration allows sequence-parallel MoE; `isSequenceParallel` says
  /// whether it is on.
  bool useSequenceParallelMoE = false;
  /// The shared experts' weights are sharded over the sequence-parallel ranks
  /// rather than replicated.
  bool sharedExpertsSharded = false;

  /// The exchange over dp that is in use, which need not be the named backend.
  Transport transport = Transport::None;
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
  ExpertPlacementStrategy expertPlacement = ExpertPlacementStrategy::Linear;
};

struct DerivedParallelism {
  ParallelProperties properties;
  std::vector<std::string> warnings;
  /// One message for each constraint that does not hold. The properties are
  /// meaningful all the same unless `usable` is false.
  std::vector<std::string> errors;
  /// False where sizes, rank or backend are such that nothing follows.
  bool usable = true;

  bool ok() const { return errors.empty(); }
};

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
