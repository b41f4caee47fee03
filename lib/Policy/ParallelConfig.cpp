//===- ParallelConfig.cpp - Flags and what follows from them --------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moe-mlir/Policy/ParallelConfig.h"
#include "moe-mlir/Policy/ExpertPlacement.h"

using namespace moe::policy;

std::string_view moe::policy::stringify(ExpertPlacementStrategy strategy) {
  return strategy == ExpertPlacementStrategy::Linear ? "linear" : "round_robin";
}

std::string_view moe::policy::stringify(SequenceParallelMode mode) {
  switch (mode) {
  case SequenceParallelMode::Auto:
    return "auto";
  case SequenceParallelMode::On:
    return "on";
  case SequenceParallelMode::Off:
    return "off";
  }
  return "";
}

std::optional<ExpertPlacementStrategy>
moe::policy::parseExpertPlacementStrategy(std::string_view name) {
  for (auto strategy :
       {ExpertPlacementStrategy::Linear, ExpertPlacementStrategy::RoundRobin})
    if (stringify(strategy) == name)
      return strategy;
  return std::nullopt;
}

std::optional<SequenceParallelMode>
moe::policy::parseSequenceParallelMode(std::string_view name) {
  for (auto mode : {SequenceParallelMode::Auto, SequenceParallelMode::On,
                    SequenceParallelMode::Off})
    if (stringify(mode) == name)
      return mode;
  return std::nullopt;
}

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

/// Sizes, rank and backend: where one of them is impossible nothing follows.
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

static void flatten(const ParallelConfig &config, ParallelProperties &p) {
  int64_t tp = config.tensorParallelSize;
  int64_t pcp = config.prefillContextParallelSize;
  int64_t dp = config.dataParallelSize;
  SizeAndRank all{dp * pcp * tp, config.rank};
  p.outerTp = {tp, config.rank % tp};
  p.pcp = {pcp, config.rank / tp % pcp};
  p.dp = {dp, config.rank / (tp * pcp)};
  p.useEp = all.size > 1 && config.enableExpertParallel;
  p.tp = p.useEp ? SizeAndRank{} : all;
  p.ep = p.useEp ? all : SizeAndRank{};
}

static void deriveExchange(const ParallelConfig &config,
                           const LayerTraits &layer, DerivedParallelism &out) {
  ParallelProperties &p = out.properties;
  const BackendInfo &named = getBackendInfo(p.backend);
  bool a = p.useAll2AllKernels = p.dp.size > 1 && p.useEp;
  auto inUse = [&](All2AllBackend backend) {
    return a && p.backend == backend;
  };
  p.useAgRsAll2AllKernels = inUse(All2AllBackend::AllGatherReduceScatter);
  p.useDeepEPHTKernels = inUse(All2AllBackend::DeepEPHighThroughput);
  p.useDeepEPLLKernels = inUse(All2AllBackend::DeepEPLowLatency);
  p.useDeepEPV2Kernels = inUse(All2AllBackend::DeepEPV2);
  p.useMoriKernels = inUse(All2AllBackend::Mori);
  p.useNixlEPKernels = inUse(All2AllBackend::NixlEP);
  p.useFINVLTwoSidedKernels = inUse(All2AllBackend::FlashInferNVLinkTwoSided);
  p.useFINVLOneSidedKernels = inUse(All2AllBackend::FlashInferNVLinkOneSided);
  p.useBatchedActivationFormat = a && named.format == ActivationFormat::Batched;

  // Without expert parallelism the experts are sharded over all ranks, and
  // tokens move by all-gather and reduce-scatter whatever backend is named.
  if (p.dp.size > 1) {
    const BackendInfo &used =
        a ? named : getBackendInfo(All2AllBackend::AllGatherReduceScatter);
    p.transport = used.transport;
    p.activationFormat = used.format;
    p.hostCounts = used.hostCounts;
    p.asyncExchange = used.async;
    p.capturable = used.capturable();
  }
  p.gathersOverPcp = p.pcp.size > 1;

  p.useSequenceParallelMoE = named.sequenceParallel &&
                             config.enableExpertParallel &&
                             p.outerTp.size > 1 && p.dp.size > 1;
  bool wanted = config.sequenceParallel == SequenceParallelMode::On ||
                (config.sequenceParallel == SequenceParallelMode::Auto &&
                 layer.optsIntoSequenceParallel);
  if (wanted && p.useSequenceParallelMoE)
    p.spSize = p.outerTp.size;
  else if (config.sequenceParallel == SequenceParallelMode::On)
    out.warnings.push_back(
        "--sequence-parallel=on has no effect: it needs expert parallelism, tp "
        "> 1, dp > 1 and a backend that supports it, but tp is " +
        std::to_string(p.outerTp.size) + ", dp is " +
        std::to_string(p.dp.size) + ", expert parallelism is " +
        (config.enableExpertParallel ? "on" : "off") + " and the backend is '" +
        p.all2allBackend + "'");
  p.isSequenceParallel = p.spSize > 1;

  p.sharedExpertsSharded = config.shardSharedExperts && p.isSequenceParallel &&
                           layer.hasSharedExperts;
  if (config.shardSharedExperts && !p.sharedExpertsSharded)
    out.warnings.push_back(
        layer.hasSharedExperts
            ? "--shard-shared-experts has no effect: the layer is not "
              "sequence-parallel"
            : "--shard-shared-experts has no effect: the layer has no shared "
              "experts");
}

/// Who sums what. Under sequence parallelism every rank ends with its complete
/// slice, and the model gathers the slices.
static void deriveReductions(const LayerTraits &layer, ParallelProperties &p) {
  bool sharded = p.outerTp.size > 1 && !p.isSequenceParallel;
  bool combineReduces = p.transport != Transport::None &&
                        p.transport != Transport::AllGatherReduceScatter;
  p.routedOutput = sharded && !combineReduces ? Completeness::PartialOverTP
                                              : Completeness::Complete;
  if (layer.hasSharedExperts)
    p.sharedOutput =
        sharded ? Completeness::PartialOverTP : Completeness::Complete;
  if (p.routedOutput == Completeness::PartialOverTP)
    p.reduction = Reduction::Sum;
  else if (p.sharedOutput == Completeness::PartialOverTP)
    p.reduction = Reduction::SharedOnly;
}

static void derivePlacement(const ParallelConfig &config,
                            const LayerTraits &layer, DerivedParallelism &out) {
  ParallelProperties &p = out.properties;
  if (config.expertPlacementStrategy == ExpertPlacementStrategy::RoundRobin) {
    std::string why;
    if (layer.numExpertGroups <= 1)
      why = "the router has no expert groups";
    else if (config.numRedundantExperts > 0)
      why = "there are redundant experts";
    else if (config.enableEplb)
      why = "EPLB is on";
    else if (p.useAll2AllKernels && !p.useDeepEPLLKernels &&
             !p.useNixlEPKernels)
      why = "all2all backend '" + p.all2allBackend +
            "' is in use, and only deepep_low_latency and nixl_ep support it";
    if (why.empty())
      p.expertPlacement = ExpertPlacementStrategy::RoundRobin;
    else
      out.warnings.push_back("round_robin expert placement is not possible, "
                             "using linear: " +
                             why);
  }
  p.numRedundantExperts = config.numRedundantExperts;
  p.numPhysicalExperts = layer.numExperts + config.numRedundantExperts;
  p.numLocalExperts =
      getNumLocalExperts(p.numPhysicalExperts, p.ep.size, p.ep.rank);
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
  ParallelProperties &p = out.properties;
  checkUsable(config, out);
  std::string error;
  if (auto parsed = parseAll2AllBackend(config.all2allBackend, error)) {
    p.backend = parsed->backend;
    p.all2allBackend = parsed->name;
    if (!parsed->warning.empty())
      out.warnings.push_back(parsed->warning);
  } else {
    out.errors.push_back(error);
    out.usable = false;
  }
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

  p.enableEplb = config.enableEplb;
  p.enableDbo = config.enableDbo;
  p.dboDecodeTokenThreshold = config.dboDecodeTokenThreshold;
  p.dboPrefillTokenThreshold = config.dboPrefillTokenThreshold;
  flatten(config, p);
  deriveExchange(config, layer, out);
  deriveReductions(layer, p);
  derivePlacement(config, layer, out);
  checkConstraints(config, layer, out);
  return out;
}

int64_t moe::policy::getSharedExpertRows(int64_t tokens,
                                         const ParallelProperties &properties) {
  return tokens / properties.spSize + (tokens % properties.spSize != 0);
}

std::vector<std::pair<std::string, PropertyValue>>
moe::policy::listProperties(const ParallelProperties &p) {
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
      {"all2all_backend", p.all2allBackend},
      {"enable_eplb", p.enableEplb},
      {"num_redundant_experts", p.numRedundantExperts},
      {"enable_dbo", p.enableDbo},
      {"dbo_decode_token_threshold", p.dboDecodeTokenThreshold},
      {"dbo_prefill_token_threshold", p.dboPrefillTokenThreshold},
      {"num_physical_experts", p.numPhysicalExperts},
      {"num_local_experts", p.numLocalExperts},
      {"expert_placement_strategy", text(p.expertPlacement)},
      {"use_all2all_kernels", p.useAll2AllKernels},
      {"use_ag_rs_all2all_kernels", p.useAgRsAll2AllKernels},
      {"use_deepep_ht_kernels", p.useDeepEPHTKernels},
      {"use_deepep_ll_kernels", p.useDeepEPLLKernels},
      {"use_deepep_v2_kernels", p.useDeepEPV2Kernels},
      {"use_fi_nvl_two_sided_kernels", p.useFINVLTwoSidedKernels},
      {"use_fi_nvl_one_sided_kernels", p.useFINVLOneSidedKernels},
      {"use_mori_kernels", p.useMoriKernels},
      {"use_nixl_ep_kernels", p.useNixlEPKernels},
      {"use_batched_activation_format", p.useBatchedActivationFormat},
      {"transport", text(p.transport)},
      {"activation_format", text(p.activationFormat)},
      {"async_exchange", p.asyncExchange},
      {"host_counts", text(p.hostCounts)},
      {"gathers_over_pcp", p.gathersOverPcp},
      {"routed_output", text(p.routedOutput)},
      {"shared_output", text(p.sharedOutput)},
      {"reduction", text(p.reduction)},
  };
}
