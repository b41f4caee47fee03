//===- ParallelConfigTest.cpp - Flags and what follows --------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moe-mlir/Policy/ParallelConfig.h"
#include "Decide.h"

#include <gtest/gtest.h>
#include <map>

using namespace moe;
using namespace moe::policy;

namespace {
LayerTraits someLayer() {
  LayerTraits layer;
  layer.numExperts = 64;
  layer.intermediateSize = 1408;
  layer.sharedIntermediateSize = 2816;
  layer.hasSharedExperts = true;
  return layer;
}

ParallelConfig sized(int64_t tp, int64_t dp, bool ep, int64_t pcp = 1) {
  ParallelConfig config;
  config.tensorParallelSize = tp;
  config.dataParallelSize = dp;
  config.prefillContextParallelSize = pcp;
  config.enableExpertParallel = ep;
  return config;
}

void expectSizeAndRank(SizeAndRank got, int64_t size, int64_t rank) {
  EXPECT_EQ(got.size, size);
  EXPECT_EQ(got.rank, rank);
}
} // namespace

TEST(ParallelConfig, FlattensWithoutExpertParallelism) {
  for (int64_t rank = 0; rank < 4; ++rank) {
    ParallelConfig config = sized(2, 2, false);
    config.rank = rank;
    ParallelProperties p = derive(config, someLayer()).properties;
    EXPECT_FALSE(p.useEp);
    expectSizeAndRank(p.tp, 4, rank);
    expectSizeAndRank(p.dp, 2, rank / 2);
    expectSizeAndRank(p.ep, 1, 0);
    expectSizeAndRank(p.outerTp, 2, rank % 2);
  }
}

TEST(ParallelConfig, FlattensWithExpertParallelism) {
  for (int64_t rank = 0; rank < 4; ++rank) {
    ParallelConfig config = sized(2, 2, true);
    config.rank = rank;
    ParallelProperties p = derive(config, someLayer()).properties;
    EXPECT_TRUE(p.useEp);
    expectSizeAndRank(p.tp, 1, 0);
    expectSizeAndRank(p.dp, 2, rank / 2);
    expectSizeAndRank(p.ep, 4, rank);
  }
}

// rank = dp_rank * pcp * tp + pcp_rank * tp + tp_rank, for every rank.
TEST(ParallelConfig, RanksAreDpThenPcpThenTp) {
  int64_t rank = 0;
  for (int64_t dpRank = 0; dpRank < 3; ++dpRank)
    for (int64_t pcpRank = 0; pcpRank < 2; ++pcpRank)
      for (int64_t tpRank = 0; tpRank < 4; ++tpRank, ++rank) {
        ParallelConfig config = sized(4, 3, true, 2);
        config.rank = rank;
        ParallelProperties p = derive(config, someLayer()).properties;
        expectSizeAndRank(p.outerTp, 4, tpRank);
        expectSizeAndRank(p.pcp, 2, pcpRank);
        expectSizeAndRank(p.dp, 3, dpRank);
        expectSizeAndRank(p.ep, 24, rank);
      }
}

// A plan says all that follows: the attribute that carries it needs no more.
TEST(ParallelConfig, PropertiesFollowFromThePlan) {
  for (const BackendInfo &info : getBackendTable())
    for (int64_t tp : {1, 2})
      for (int64_t dp : {1, 2})
        for (bool ep : {false, true}) {
          ParallelConfig config = sized(tp, dp, ep, /*pcp=*/2);
          config.all2allBackend = info.backend;
          config.sequenceParallel = SequenceParallel::on;
          config.rank = tp * dp;
          ParallelProperties p = derive(config, someLayer()).properties;
          EXPECT_EQ(listProperties(ParallelProperties(ParallelPlan(p))),
                    listProperties(p));
        }
}

TEST(ParallelConfig, OneRankHasNoExpertParallelism) {
  ParallelProperties p = derive(sized(1, 1, true), someLayer()).properties;
  EXPECT_FALSE(p.useEp);
  expectSizeAndRank(p.ep, 1, 0);
}

// Which property names which backend, and only with dp > 1 and EP.
TEST(ParallelConfig, KernelProperties) {
  const std::map<std::string, std::string> propertyOf = {
      {"allgather_reducescatter", "use_ag_rs_all2all_kernels"},
      {"naive", "use_ag_rs_all2all_kernels"},
      {"pplx", "use_ag_rs_all2all_kernels"},
      {"deepep_high_throughput", "use_deepep_ht_kernels"},
      {"deepep_low_latency", "use_deepep_ll_kernels"},
      {"deepep_v2", "use_deepep_v2_kernels"},
      {"flashinfer_nvlink_two_sided", "use_fi_nvl_two_sided_kernels"},
      {"flashinfer_all2allv", "use_fi_nvl_two_sided_kernels"},
      {"flashinfer_nvlink_one_sided", "use_fi_nvl_one_sided_kernels"},
      {"mori", "use_mori_kernels"},
      {"nixl_ep", "use_nixl_ep_kernels"}};
  for (const auto &[backend, property] : propertyOf)
    for (int64_t dp : {1, 2})
      for (bool ep : {false, true}) {
        ParallelConfig config = sized(2, dp, ep);
        config.all2allBackend = getBackend(backend);
        bool inUse = dp > 1 && ep;
        int64_t numKernels = 0;
        for (const auto &[name, value] :
             listProperties(derive(config, someLayer()).properties)) {
          if (name == "use_all2all_kernels")
            EXPECT_EQ(std::get<bool>(value), inUse);
          else if (name == "use_batched_activation_format")
            EXPECT_EQ(std::get<bool>(value),
                      inUse && (backend == "deepep_low_latency" ||
                                backend == "nixl_ep"));
          else if (name.rfind("use_", 0) == 0 &&
                   name.find("_kernels") != std::string::npos) {
            EXPECT_EQ(std::get<bool>(value), inUse && name == property)
                << backend << " " << name;
            ++numKernels;
          }
        }
        EXPECT_EQ(numKernels, 8);
      }
}

TEST(ParallelConfig, ExchangeInUse) {
  ParallelConfig config = sized(2, 1, true);
  config.all2allBackend = All2AllBackend::deepep_low_latency;
  // dp = 1: tokens are replicated.
  EXPECT_EQ(derive(config, someLayer()).properties.transport, Transport::none);
  // dp > 1 without EP: all-gather and reduce-scatter, whatever the name.
  config = sized(2, 2, false);
  config.all2allBackend = All2AllBackend::deepep_low_latency;
  ParallelProperties p = derive(config, someLayer()).properties;
  EXPECT_EQ(p.transport, Transport::all_gather);
  EXPECT_EQ(p.activationFormat, ActivationFormat::Standard);
  EXPECT_EQ(p.hostCounts, HostCounts::TokensGiven);
  EXPECT_FALSE(p.asyncExchange);
  // dp > 1 with EP: the named backend.
  config.enableExpertParallel = true;
  p = derive(config, someLayer()).properties;
  EXPECT_EQ(p.transport, Transport::batched);
  EXPECT_EQ(p.activationFormat, ActivationFormat::Batched);
  EXPECT_EQ(p.hostCounts, HostCounts::None);
  EXPECT_TRUE(p.asyncExchange);
  EXPECT_TRUE(p.capturable);
  config.all2allBackend = All2AllBackend::mori;
  p = derive(config, someLayer()).properties;
  EXPECT_EQ(p.transport, Transport::send_receive);
  EXPECT_FALSE(p.asyncExchange);
  EXPECT_FALSE(p.capturable);
  EXPECT_FALSE(p.gathersOverPcp);
  config.prefillContextParallelSize = 2;
  EXPECT_TRUE(derive(config, someLayer()).properties.gathersOverPcp);
}

// The table of reductions, row by row.
TEST(ParallelConfig, Reductions) {
  auto complete = Completeness::Complete, partial = Completeness::PartialOverTP;
  struct Row {
    int64_t tp, dp;
    bool ep;
    const char *backend;
    SequenceParallel mode;
    Completeness routed, shared;
    Reduction reduction;
  };
  auto off = SequenceParallel::off, on = SequenceParallel::on;
  const char *agRs = "allgather_reducescatter";
  const Row rows[] = {
      {1, 1, false, agRs, off, complete, complete, Reduction::None},
      {2, 1, false, agRs, off, partial, partial, Reduction::Sum},
      {2, 1, true, agRs, off, partial, partial, Reduction::Sum},
      {2, 1, true, "deepep_low_latency", off, partial, partial, Reduction::Sum},
      {1, 2, false, agRs, off, complete, complete, Reduction::None},
      {1, 2, true, agRs, off, complete, complete, Reduction::None},
      {2, 2, false, agRs, off, partial, partial, Reduction::Sum},
      {2, 2, true, agRs, off, partial, partial, Reduction::Sum},
      {2, 2, false, "mori", off, partial, partial, Reduction::Sum},
      {1, 2, true, "mori", off, complete, complete, Reduction::None},
      {2, 2, true, "mori", off, complete, partial, Reduction::SharedOnly},
      {4, 2, true, "nixl_ep", off, complete, partial, Reduction::SharedOnly},
      {2, 2, true, agRs, on, complete, complete, Reduction::None},
      {2, 2, true, "deepep_high_throughput", on, complete, complete,
       Reduction::None},
  };
  for (const Row &row : rows)
    for (int64_t pcp : {1, 2}) {
      ParallelConfig config = sized(row.tp, row.dp, row.ep, pcp);
      config.all2allBackend = getBackend(row.backend);
      config.sequenceParallel = row.mode;
      ParallelProperties p = derive(config, someLayer()).properties;
      EXPECT_EQ(p.routedOutput, row.routed) << &row - rows;
      EXPECT_EQ(p.sharedOutput, row.shared) << &row - rows;
      EXPECT_EQ(p.reduction, row.reduction) << &row - rows;
      // Without shared experts there is nothing to reduce beside the routed.
      LayerTraits noShared = someLayer();
      noShared.hasSharedExperts = false;
      p = derive(config, noShared).properties;
      EXPECT_EQ(p.sharedOutput, Completeness::Absent);
      EXPECT_EQ(p.reduction, row.reduction == Reduction::SharedOnly
                                 ? Reduction::None
                                 : row.reduction);
    }
}

TEST(ParallelConfig, SequenceParallelism) {
  ParallelConfig config = sized(4, 2, true);
  LayerTraits layer = someLayer();
  EXPECT_EQ(derive(config, layer).properties.spSize, 1);
  layer.optsIntoSequenceParallel = true;
  DerivedParallelism derived = derive(config, layer);
  EXPECT_TRUE(derived.properties.isSequenceParallel);
  EXPECT_EQ(derived.properties.spSize, 4);
  EXPECT_TRUE(derived.warnings.empty());
  // T is the slice, rounded up.
  EXPECT_EQ(getSharedExpertRows(0, derived.properties), 0);
  EXPECT_EQ(getSharedExpertRows(8, derived.properties), 2);
  EXPECT_EQ(getSharedExpertRows(9, derived.properties), 3);
  config.sequenceParallel = SequenceParallel::off;
  EXPECT_EQ(derive(config, layer).properties.spSize, 1);
  EXPECT_TRUE(derive(config, layer).properties.useSequenceParallelMoE);

  // Each condition by itself keeps it off, and `on` says so.
  config.sequenceParallel = SequenceParallel::on;
  EXPECT_EQ(derive(config, someLayer()).properties.spSize, 4);
  for (ParallelConfig bad :
       {sized(1, 2, true), sized(4, 1, true), sized(4, 2, false)}) {
    bad.sequenceParallel = SequenceParallel::on;
    derived = derive(bad, layer);
    EXPECT_EQ(derived.properties.spSize, 1);
    ASSERT_EQ(derived.warnings.size(), 1u);
    EXPECT_NE(derived.warnings[0].find("--sequence-parallel=on has no effect"),
              std::string::npos);
  }
  for (const char *backend :
       {"flashinfer_nvlink_two_sided", "flashinfer_nvlink_one_sided"}) {
    config.all2allBackend = getBackend(backend);
    EXPECT_FALSE(derive(config, layer).properties.useSequenceParallelMoE);
  }
  for (const char *backend : {"allgather_reducescatter", "mori", "nixl_ep",
                              "deepep_high_throughput", "deepep_low_latency"}) {
    config.all2allBackend = getBackend(backend);
    EXPECT_TRUE(derive(config, layer).properties.isSequenceParallel) << backend;
  }
}

TEST(ParallelConfig, ShardedSharedExperts) {
  ParallelConfig config = sized(2, 2, true);
  config.shardSharedExperts = true;
  DerivedParallelism derived = derive(config, someLayer());
  EXPECT_FALSE(derived.properties.sharedExpertsSharded);
  ASSERT_EQ(derived.warnings.size(), 1u);
  EXPECT_EQ(derived.warnings[0], "--shard-shared-experts has no effect: the "
                                 "layer is not sequence-parallel");
  config.sequenceParallel = SequenceParallel::on;
  derived = derive(config, someLayer());
  EXPECT_TRUE(derived.properties.sharedExpertsSharded);
  EXPECT_TRUE(derived.warnings.empty());
  LayerTraits noShared = someLayer();
  noShared.hasSharedExperts = false;
  EXPECT_EQ(derive(config, noShared).warnings,
            std::vector<std::string>{"--shard-shared-experts has no effect: "
                                     "the layer has no shared experts"});
}

TEST(ParallelConfig, RetiredBackendsAndAliases) {
  std::string error;
  for (std::string name : {"naive", "pplx"}) {
    std::optional<ParsedBackend> parsed = parseAll2AllBackend(name, error);
    ASSERT_TRUE(parsed);
    EXPECT_EQ(parsed->backend, All2AllBackend::allgather_reducescatter);
    EXPECT_EQ(parsed->warning, "all2all backend '" + name +
                                   "' is no longer supported, using "
                                   "'allgather_reducescatter'");
  }
  std::optional<ParsedBackend> parsed =
      parseAll2AllBackend("flashinfer_all2allv", error);
  ASSERT_TRUE(parsed);
  EXPECT_EQ(parsed->backend, All2AllBackend::flashinfer_nvlink_two_sided);
  EXPECT_EQ(parsed->warning, "");
  EXPECT_FALSE(parseAll2AllBackend("smoke", error));
  EXPECT_EQ(error,
            "expected --all2all-backend to be one of allgather_reducescatter, "
            "deepep_high_throughput, deepep_low_latency, mori, nixl_ep, "
            "flashinfer_nvlink_two_sided, flashinfer_nvlink_one_sided, "
            "deepep_v2, flashinfer_all2allv, naive, pplx but got 'smoke'");
}

TEST(ParallelConfig, BackendTable) {
  ASSERT_EQ(getBackendTable().size(),
            std::size(LayerEnum<All2AllBackend>::cases));
  for (const BackendInfo &info : getBackendTable()) {
    std::string error;
    auto parsed = parseAll2AllBackend(name(info.backend), error);
    ASSERT_TRUE(parsed.has_value()) << error;
    EXPECT_EQ(parsed->backend, info.backend);
    EXPECT_EQ(&getBackendInfo(info.backend), &info);
    // No counts on the host needs a fixed capacity, hence a batched format.
    bool batched = info.format == ActivationFormat::Batched;
    EXPECT_EQ(batched, info.transport == Transport::batched);
    EXPECT_EQ(batched, info.hostCounts == HostCounts::None);
  }
}

// Each constraint, one at a time, with its message.
TEST(ParallelConfig, Constraints) {
  struct Case {
    void (*edit)(ParallelConfig &, LayerTraits &);
    const char *message;
    bool usable;
  };
  using C = ParallelConfig;
  using L = LayerTraits;
  const Case cases[] = {
      {[](C &c, L &) { c.tensorParallelSize = 0; },
       "expected --tensor-parallel-size within [1, 1048576] but got 0", false},
      {[](C &c, L &) { c.dataParallelSize = -2; },
       "expected --data-parallel-size within [1, 1048576] but got -2", false},
      {[](C &c, L &) { c.prefillContextParallelSize = int64_t(1) << 40; },
       "expected --prefill-context-parallel-size within [1, 1048576] but got "
       "1099511627776",
       false},
      {[](C &c, L &) {
         c.tensorParallelSize = c.dataParallelSize = 2;
         c.rank = 4;
       },
       "expected --rank within [0, 4), as dp 2 x pcp 1 x tp 2 says, but got 4",
       false},
      {[](C &c, L &) { c.rank = -1; },
       "expected --rank within [0, 1), as dp 1 x pcp 1 x tp 1 says, but got -1",
       false},
      {[](C &c, L &) { c.numRedundantExperts = -1; },
       "expected --num-redundant-experts of at least 0 but got -1", false},
      // Without EP the experts are sharded over all six ranks.
      {[](C &c, L &) {
         c.tensorParallelSize = 2;
         c.dataParallelSize = 3;
       },
       "expected the intermediate size to be divisible by the 6 ranks that "
       "every expert is sharded over but got 1408",
       true},
      {[](C &c, L &l) {
         c.tensorParallelSize = 2;
         l.sharedIntermediateSize = 2817;
       },
       "expected the shared experts' intermediate size to be divisible by the "
       "2 ranks that they are sharded over but got 2817",
       true},
      {[](C &c, L &) { c.numRedundantExperts = 2; },
       "expected --enable-eplb with --num-redundant-experts 2 but EPLB is off",
       true},
      {[](C &c, L &) {
         c.enableEplb = true;
         c.tensorParallelSize = 2;
       },
       "expected --enable-expert-parallel with --enable-eplb but expert "
       "parallelism is off",
       true},
      {[](C &c, L &) { c.enableEplb = c.enableExpertParallel = true; },
       "expected more than one rank in tp * dp with --enable-eplb but got tp 1 "
       "and dp 1",
       true},
      {[](C &c, L &) {
         c.enableEplb = c.enableExpertParallel = true;
         c.dataParallelSize = 4;
         c.numRedundantExperts = 2;
       },
       "expected the number of experts with EPLB to be divisible by the 4 "
       "expert-parallel ranks but got 64 experts + 2 redundant",
       true},
  };
  for (const Case &test : cases) {
    ParallelConfig config;
    LayerTraits layer = someLayer();
    EXPECT_TRUE(derive(config, layer).ok());
    test.edit(config, layer);
    DerivedParallelism derived = derive(config, layer);
    EXPECT_EQ(derived.errors, std::vector<std::string>{test.message});
    EXPECT_EQ(derived.usable, test.usable);
  }
}

// With EP experts are whole, so their width need not divide; under sequence
// parallelism the shared experts are whole too, unless sharded.
TEST(ParallelConfig, WidthsThatNeedNotDivide) {
  ParallelConfig config = sized(3, 2, true);
  config.sequenceParallel = SequenceParallel::on;
  LayerTraits layer = someLayer();
  EXPECT_TRUE(derive(config, layer).ok());
  config.shardSharedExperts = true;
  ASSERT_EQ(derive(config, layer).errors.size(), 1u);
}

TEST(ParallelConfig, EplbThatIsAccepted) {
  ParallelConfig config = sized(2, 2, true);
  config.enableEplb = true;
  config.numRedundantExperts = 4;
  DerivedParallelism derived = derive(config, someLayer());
  EXPECT_TRUE(derived.ok());
  EXPECT_EQ(derived.properties.numPhysicalExperts, 68);
  EXPECT_EQ(derived.properties.numLocalExperts, 17);
}

// round_robin is honoured under its conditions, each of which counts.
TEST(ParallelConfig, RoundRobinPlacement) {
  LayerTraits layer = someLayer();
  layer.numExpertGroups = 8;
  ParallelConfig config = sized(2, 1, true);
  config.expertPlacementStrategy = PlacementKind::round_robin;
  auto isHonoured = [](const ParallelConfig &config, const LayerTraits &layer) {
    DerivedParallelism derived = derive(config, layer);
    bool honoured =
        derived.properties.expertPlacement == PlacementKind::round_robin;
    EXPECT_EQ(derived.warnings.empty(), honoured);
    if (!honoured) {
      EXPECT_EQ(derived.warnings.front().find(
                    "round_robin expert placement is not possible, using "
                    "linear: "),
                0u);
    }
    return honoured;
  };
  EXPECT_TRUE(isHonoured(config, layer));
  LayerTraits ungrouped = layer;
  ungrouped.numExpertGroups = 1;
  EXPECT_FALSE(isHonoured(config, ungrouped));
  ParallelConfig eplb = config;
  eplb.enableEplb = true;
  EXPECT_FALSE(isHonoured(eplb, layer));
  eplb.numRedundantExperts = 2;
  EXPECT_FALSE(isHonoured(eplb, layer));
  config.dataParallelSize = 2;
  for (const BackendInfo &info : getBackendTable()) {
    const std::string backend = name(info.backend);
    config.all2allBackend = info.backend;
    EXPECT_EQ(isHonoured(config, layer),
              backend == "deepep_low_latency" || backend == "nixl_ep")
        << backend;
  }
}

TEST(ParallelConfig, FlagValuesRoundTrip) {
  for (auto mode : {SequenceParallel::automatic, SequenceParallel::on,
                    SequenceParallel::off})
    EXPECT_EQ(parseName<SequenceParallel>(name(mode)), mode);
  for (auto strategy : {PlacementKind::linear, PlacementKind::round_robin})
    EXPECT_EQ(parseName<PlacementKind>(name(strategy)), strategy);
  EXPECT_EQ(parseName<SequenceParallel>("yes"), std::nullopt);
  EXPECT_EQ(parseName<PlacementKind>("roundrobin"), std::nullopt);
}
