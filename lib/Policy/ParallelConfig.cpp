//===- ParallelConfig.cpp - Flags and what follows from them --------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moe-mlir/Policy/ParallelConfig.h"
#include "moe-mlir/Policy/ExpertPlacement.h"

using namespace moe;
using namespace moe::policy;

std::string_view moe::policy::stringify(Completeness completeness) {
  switch (completeness) {
  case Completeness::Complete:
    return "complete";
  case Completeness::PartialOverTP:
    return "partial_over_tp";
  case Completeness::Absent:
    return "absent";
  }
  return "";
}

std::string_view moe::policy::stringify(Reduction reduction) {
  switch (reduction) {
  case Reduction::None:
    return "none";
  case Reduction::SharedOnly:
    return "shared_only";
  case Reduction::Sum:
    return "sum";
  }
  return "";
}

/// Sizes and rank: where one of them is impossible nothing follows.
static void checkUsable(const ParallelConfig &config, DerivedParallelism &out) {
  const std::pair<const char *, int64_t> sizes[] = {
      {"--tensor-parallel-size", config.tensorParallelSize},
      {"--data-parallel-size", config.dataParallelSize},
      {"--prefill-context-parallel-size", config.prefillContextParallelSize}};
  for (auto [flag, size] : sizes)
    if (size < 1 || size > maxParallelSize)
      out.errors.push_back("expected " + std::string(flag) + " within [1, " +
                           std::to_string(maxParallelSize) + "] but got " +
                           std::to_string(size));
  if (!out.errors.empty()) {
    out.usable = false;
    return;
  }
  // Three factors of at most 2^20 each stay below 2^63.
  int64_t numRanks = config.dataParallelSize *
                     config.prefillContextParallelSize *
                     config.tensorParallelSize;
  if (config.rank < 0 || config.rank >= numRanks) {
    out.errors.push_back("expected --rank within [0, " +
                         std::to_string(numRanks) + "), as dp " +
                         std::to_string(config.dataParallelSize) + " x pcp " +
                         std::to_string(config.prefillContextParallelSize) +
                         " x tp " + std::to_string(config.tensorParallelSize) +
                         " says, but got " + std::to_string(config.rank));
    out.usable = false;
  }
}

//===----------------------------------------------------------------------===//
// What follows from a plan
//===----------------------------------------------------------------------===//

/// The backend whose table says how a plan exchanges: without expert
/// parallelism the experts are sharded over all ranks, and tokens move by
/// all-gather and reduce-scatter whatever backend is named.
static const BackendInfo &getUsedBackend(const ParallelPlan &plan) {
  return getBackendInfo(plan.useEp ? plan.backend
                                   : All2AllBackend::allgather_reducescatter);
}

static void setExchange(ParallelProperties &p) {
  const BackendInfo &named = getBackendInfo(p.backend);
  p.useAll2AllKernels = p.dp.size > 1 && p.useEp;
  p.useBatchedActivationFormat =
      p.useAll2AllKernels && named.format == ActivationFormat::Batched;
  p.useSequenceParallelMoE =
      named.sequenceParallel && p.useEp && p.outerTp.size > 1 && p.dp.size > 1;
  p.gathersOverPcp = p.pcp.size > 1;
  if (p.dp.size == 1)
    return;
  const BackendInfo &used = getUsedBackend(p);
  p.activationFormat = used.format;
  p.hostCounts = used.hostCounts;
  p.asyncExchange = used.async;
  p.capturable = used.capturable();
}

/// Who sums what. Under sequence parallelism every rank ends with its complete
/// slice, and the model gathers the slices.
static void setReductions(ParallelProperties &p) {
  bool sharded = p.outerTp.size > 1 && !p.isSequenceParallel;
  bool combineReduces =
      p.transport != Transport::none && p.transport != Transport::all_gather;
  p.routedOutput = sharded && !combineReduces ? Completeness::PartialOverTP
                                              : Completeness::Complete;
  if (p.hasSharedExperts)
    p.sharedOutput =
        sharded ? Completeness::PartialOverTP : Completeness::Complete;
  if (p.routedOutput == Completeness::PartialOverTP)
    p.reduction = Reduction::Sum;
  else if (p.sharedOutput == Completeness::PartialOverTP)
    p.reduction = Reduction::SharedOnly;
}

ParallelProperties::ParallelProperties(const ParallelPlan &plan)
    : ParallelPlan(plan) {
  SizeAndRank all{data * prefillContext * tensor, rank};
  outerTp = {tensor, rank % tensor};
  pcp = {prefillContext, rank / tensor % prefillContext};
  dp = {data, rank / (tensor * prefillContext)};
  tp = useEp ? SizeAndRank{} : all;
  ep = useEp ? all : SizeAndRank{};
  spSize = isSequenceParallel ? outerTp.size : 1;
  setExchange(*this);
  setReductions(*this);
  numPhysicalExperts = numExperts + numRedundantExperts;
  numLocalExperts = getNumLocalExperts(numPhysicalExperts, ep.size, ep.rank);
}

//===----------------------------------------------------------------------===//
// From a configuration to a plan
//===----------------------------------------------------------------------===//

static void planSequenceParallelism(const ParallelConfig &config,
                                    const LayerTraits &layer,
                                    ParallelPlan &plan,
                                    std::vector<std::string> &warnings) {
  bool possible = getBackendInfo(plan.backend).sequenceParallel && plan.useEp &&
                  plan.tensor > 1 && plan.data > 1;
  bool wanted = config.sequenceParallel == SequenceParallel::on ||
                (config.sequenceParallel == SequenceParallel::automatic &&
                 layer.optsIntoSequenceParallel);
  plan.isSequenceParallel = wanted && possible;
  if (config.sequenceParallel == SequenceParallel::on && !possible)
    warnings.push_back(
        "--sequence-parallel=on has no effect: it needs expert parallelism, tp "
        "> 1, dp > 1 and a backend that supports it, but tp is " +
        std::to_string(plan.tensor) + ", dp is " + std::to_string(plan.data) +
        ", expert parallelism is " +
        (config.enableExpertParallel ? "on" : "off") + " and the backend is '" +
        name(plan.backend) + "'");

  plan.sharedExpertsSharded = config.shardSharedExperts &&
                              plan.isSequenceParallel && layer.hasSharedExperts;
  if (config.shardSharedExperts && !plan.sharedExpertsSharded)
    warnings.push_back(
        layer.hasSharedExperts
            ? "--shard-shared-experts has no effect: the layer is not "
              "sequence-parallel"
            : "--shard-shared-experts has no effect: the layer has no shared "
              "experts");
}

static void planPlacement(const ParallelConfig &config,
                          const LayerTraits &layer, ParallelPlan &plan,
                          std::vector<std::string> &warnings) {
  if (config.expertPlacementStrategy != PlacementKind::round_robin)
    return;
  bool isBackendInUse = plan.useEp && plan.data > 1;
  bool supportsIt = plan.backend == All2AllBackend::deepep_low_latency ||
                    plan.backend == All2AllBackend::nixl_ep;
  std::string why;
  if (layer.numExpertGroups <= 1)
    why = "the router has no expert groups";
  else if (config.numRedundantExperts > 0)
    why = "there are redundant experts";
  else if (config.enableEplb)
    why = "EPLB is on";
  else if (isBackendInUse && !supportsIt)
    why = std::string("all2all backend '") + name(plan.backend) +
          "' is in use, and only deepep_low_latency and nixl_ep support it";
  if (why.empty())
    plan.expertPlacement = PlacementKind::round_robin;
  else
    warnings.push_back("round_robin expert placement is not possible, using "
                       "linear: " +
                       why);
}

static ParallelPlan makePlan(const ParallelConfig &config,
                             const LayerTraits &layer,
                             std::vector<std::string> &warnings) {
  ParallelPlan plan;
  plan.tensor = config.tensorParallelSize;
  plan.data = config.dataParallelSize;
  plan.prefillContext = config.prefillContextParallelSize;
  plan.rank = config.rank;
  plan.useEp = config.enableExpertParallel &&
               plan.tensor * plan.data * plan.prefillContext > 1;
  plan.backend = config.all2allBackend;
  if (plan.data > 1)
    plan.transport = getUsedBackend(plan).transport;
  plan.hasSharedExperts = layer.hasSharedExperts;
  plan.numExperts = layer.numExperts;
  plan.numRedundantExperts = config.numRedundantExperts;
  plan.enableEplb = config.enableEplb;
  plan.enableDbo = config.enableDbo;
  plan.dboDecodeTokenThreshold = config.dboDecodeTokenThreshold;
  plan.dboPrefillTokenThreshold = config.dboPrefillTokenThreshold;
  planSequenceParallelism(config, layer, plan, warnings);
  planPlacement(config, layer, plan, warnings);
  return plan;
}

/// Constraints under which the properties stay meaningful.
static void checkConstraints(const ParallelConfig &config,
                             const LayerTraits &layer,
                             DerivedParallelism &out) {
  const ParallelProperties &p = out.properties;
  auto expect = [&](bool holds, std::string message) {
    if (!holds)
      out.errors.push_back(std::move(message));
  };
  expect(layer.intermediateSize % p.tp.size == 0,
         "expected the intermediate size to be divisible by the " +
             std::to_string(p.tp.size) +
             " ranks that every expert is sharded over but got " +
             std::to_string(layer.intermediateSize));
  // Sequence parallelism replicates the shared experts unless told to shard.
  int64_t sharedShards =
      !p.isSequenceParallel || p.sharedExpertsSharded ? p.outerTp.size : 1;
  expect(layer.sharedIntermediateSize % sharedShards == 0,
         "expected the shared experts' intermediate size to be divisible by "
         "the " +
             std::to_string(sharedShards) +
             " ranks that they are sharded over but got " +
             std::to_string(layer.sharedIntermediateSize));
  expect(config.numRedundantExperts == 0 || config.enableEplb,
         "expected --enable-eplb with --num-redundant-experts " +
             std::to_string(config.numRedundantExperts) + " but EPLB is off");
  if (!config.enableEplb)
    return;
  expect(config.enableExpertParallel,
         "expected --enable-expert-parallel with --enable-eplb but expert "
         "parallelism is off");
  expect(p.outerTp.size * p.dp.size > 1,
         "expected more than one rank in tp * dp with --enable-eplb but got "
         "tp " +
             std::to_string(p.outerTp.size) + " and dp " +
             std::to_string(p.dp.size));
  expect(layer.numExperts == 0 || p.numPhysicalExperts % p.ep.size == 0,
         "expected the number of experts with EPLB to be divisible by the " +
             std::to_string(p.ep.size) + " expert-parallel ranks but got " +
             std::to_string(layer.numExperts) + " experts + " +
             std::to_string(config.numRedundantExperts) + " redundant");
}

DerivedParallelism moe::policy::derive(const ParallelConfig &config,
                                       const LayerTraits &layer) {
  DerivedParallelism out;
  checkUsable(config, out);
  const std::pair<const char *, int64_t> thresholds[] = {
      {"--dbo-decode-token-threshold", config.dboDecodeTokenThreshold},
      {"--dbo-prefill-token-threshold", config.dboPrefillTokenThreshold}};
  for (auto [flag, threshold] : thresholds)
    if (threshold < 0)
      out.errors.push_back("expected " + std::string(flag) +
                           " of at least 0 but got " +
                           std::to_string(threshold));
  if (config.numRedundantExperts < 0) {
    out.errors.push_back(
        "expected --num-redundant-experts of at least 0 but got " +
        std::to_string(config.numRedundantExperts));
    out.usable = false;
  }
  if (!out.usable)
    return out;

  out.properties = ParallelProperties(makePlan(config, layer, out.warnings));
  checkConstraints(config, layer, out);
  return out;
}

int64_t moe::policy::getSharedExpertRows(int64_t tokens,
                                         const ParallelProperties &properties) {
  return tokens / properties.spSize + (tokens % properties.spSize != 0);
}

std::vector<std::pair<std::string, PropertyValue>>
moe::policy::listProperties(const ParallelProperties &p) {
  using B = All2AllBackend;
  auto text = [](auto value) { return std::string(stringify(value)); };
  return {
      {"tensor_parallel_size", p.outerTp.size},
      {"tensor_parallel_rank", p.outerTp.rank},
      {"tp_size", p.tp.size},
      {"tp_rank", p.tp.rank},
      {"pcp_size", p.pcp.size},
      {"pcp_rank", p.pcp.rank},
      {"dp_size", p.dp.size},
      {"dp_rank", p.dp.rank},
      {"ep_size", p.ep.size},
      {"ep_rank", p.ep.rank},
      {"use_ep", p.useEp},
      {"sp_size", p.spSize},
      {"is_sequence_parallel", p.isSequenceParallel},
      {"use_sequence_parallel_moe", p.useSequenceParallelMoE},
      {"shared_experts_sharded", p.sharedExpertsSharded},
      {"all2all_backend", name(p.backend)},
      {"enable_eplb", p.enableEplb},
      {"num_redundant_experts", p.numRedundantExperts},
      {"enable_dbo", p.enableDbo},
      {"dbo_decode_token_threshold", p.dboDecodeTokenThreshold},
      {"dbo_prefill_token_threshold", p.dboPrefillTokenThreshold},
      {"num_physical_experts", p.numPhysicalExperts},
      {"num_local_experts", p.numLocalExperts},
      {"expert_placement_strategy", name(p.expertPlacement)},
      {"use_all2all_kernels", p.useAll2AllKernels},
      {"use_ag_rs_all2all_kernels", p.uses(B::allgather_reducescatter)},
      {"use_deepep_ht_kernels", p.uses(B::deepep_high_throughput)},
      {"use_deepep_ll_kernels", p.uses(B::deepep_low_latency)},
      {"use_deepep_v2_kernels", p.uses(B::deepep_v2)},
      {"use_fi_nvl_two_sided_kernels", p.uses(B::flashinfer_nvlink_two_sided)},
      {"use_fi_nvl_one_sided_kernels", p.uses(B::flashinfer_nvlink_one_sided)},
      {"use_mori_kernels", p.uses(B::mori)},
      {"use_nixl_ep_kernels", p.uses(B::nixl_ep)},
      {"use_batched_activation_format", p.useBatchedActivationFormat},
      {"transport", name(p.transport)},
      {"activation_format", text(p.activationFormat)},
      {"async_exchange", p.asyncExchange},
      {"host_counts", text(p.hostCounts)},
      {"gathers_over_pcp", p.gathersOverPcp},
      {"routed_output", text(p.routedOutput)},
      {"shared_output", text(p.sharedOutput)},
      {"reduction", text(p.reduction)},
  };
}
