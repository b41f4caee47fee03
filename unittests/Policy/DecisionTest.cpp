//===- DecisionTest.cpp - The decision against its table ------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The whole cross product of configurations against a table that is written
// out here, row by row, and shares nothing with the rules under test.
//
//===----------------------------------------------------------------------===//

#include "moe-mlir/Policy/Decision.h"
#include "Decide.h"

#include <algorithm>
#include <gtest/gtest.h>

using namespace moe;
using namespace moe::policy;

namespace {
enum Column { NO, MK, MULTI };

/// One row of the decision table, for a modular kernel.
struct Row {
  std::vector<std::string> backends;
  std::vector<bool> eplb;
  /// All-to-all kernels in use: dp > 1 and expert parallelism.
  std::vector<bool> inUse;
  Column streamFewTokens, streamManyTokens, noStream;
};
using Table = std::vector<Row>;

const std::vector<bool> off = {false}, on = {true}, both = {false, true};
const std::vector<std::string> agRs = {"allgather_reducescatter", "naive",
                                       "pplx"};
const std::vector<std::string> async = {"deepep_high_throughput",
                                        "deepep_low_latency", "nixl_ep"};
const std::vector<std::string> twoSided = {"flashinfer_nvlink_two_sided",
                                           "flashinfer_all2allv"};

const Table vllmTable = {
    {agRs, both, both, MULTI, NO, NO},
    {async, off, off, MULTI, NO, NO},
    {async, off, on, MK, MK, MK},
    {async, on, both, NO, NO, NO},
    {{"mori", "flashinfer_nvlink_one_sided"}, off, both, MULTI, NO, NO},
    {{"mori", "flashinfer_nvlink_one_sided"}, on, both, NO, NO, NO},
    {twoSided, off, off, MULTI, NO, NO},
    {twoSided, off, on, NO, NO, NO},
    {twoSided, on, both, NO, NO, NO},
    // Of a later version: to these rules neither asynchronous nor safe.
    {{"deepep_v2"}, off, both, MULTI, NO, NO},
    {{"deepep_v2"}, on, both, NO, NO, NO},
};

const Table august2026Table = {
    {agRs, both, both, MULTI, NO, NO},
    {async, off, off, MULTI, NO, NO},
    {async, off, on, MK, MK, MK},
    {async, on, both, NO, NO, NO},
    {{"mori"}, off, both, MULTI, NO, NO},
    {{"mori"}, on, both, NO, NO, NO},
    {{"flashinfer_nvlink_one_sided"}, both, both, MULTI, NO, NO},
    {twoSided, off, off, MULTI, NO, NO},
    {twoSided, off, on, NO, NO, NO},
    {twoSided, on, both, NO, NO, NO},
    {{"deepep_v2"}, off, both, MULTI, NO, NO},
    {{"deepep_v2"}, on, both, NO, NO, NO},
};

const Table september2026Table = {
    {agRs, both, both, MULTI, NO, NO},
    {async, off, off, MULTI, NO, NO},
    {async, off, on, MK, MK, MK},
    {async, on, both, NO, NO, NO},
    {{"mori"}, off, both, MULTI, NO, NO},
    {{"mori"}, on, both, NO, NO, NO},
    {{"flashinfer_nvlink_one_sided"}, both, both, MULTI, NO, NO},
    {twoSided, off, off, MULTI, NO, NO},
    {twoSided, off, on, NO, NO, NO},
    {twoSided, on, both, NO, NO, NO},
    {{"deepep_v2"}, both, off, MULTI, NO, NO},
    {{"deepep_v2"}, both, on, MK, MK, MK},
};

/// vLLM's rules without the first: EPLB plays no part, and the two-sided
/// kernels are like any other exchange that is not asynchronous.
const Table withoutRule1Table = {
    {agRs, both, both, MULTI, NO, NO},
    {async, both, off, MULTI, NO, NO},
    {async, both, on, MK, MK, MK},
    {{"mori", "flashinfer_nvlink_one_sided", "deepep_v2"},
     both,
     both,
     MULTI,
     NO,
     NO},
    {twoSided, both, both, MULTI, NO, NO},
};

const std::vector<std::string> allBackends = {"allgather_reducescatter",
                                              "deepep_high_throughput",
                                              "deepep_low_latency",
                                              "nixl_ep",
                                              "mori",
                                              "flashinfer_nvlink_one_sided",
                                              "flashinfer_nvlink_two_sided",
                                              "flashinfer_all2allv",
                                              "naive",
                                              "pplx",
                                              "deepep_v2"};

/// The backends that can run sequence-parallel MoE.
const std::vector<std::string> sequenceParallelBackends = {
    "allgather_reducescatter", "naive", "pplx",   "deepep_high_throughput",
    "deepep_low_latency",      "mori",  "nixl_ep"};

template <typename T> bool contains(const std::vector<T> &values, T value) {
  return std::find(values.begin(), values.end(), value) != values.end();
}

const Row *findRow(const Table &table, const std::string &backend, bool eplb,
                   bool inUse) {
  const Row *found = nullptr;
  for (const Row &row : table)
    if (contains(row.backends, backend) && contains(row.eplb, eplb) &&
        contains(row.inUse, inUse)) {
      // Rows must not overlap, or the table would say two things.
      EXPECT_EQ(found, nullptr) << backend;
      found = &row;
    }
  return found;
}

Order getOrder(Column column) {
  return column == NO   ? Order::NoOverlap
         : column == MK ? Order::MKInternalOverlapped
                        : Order::MultiStreamOverlapped;
}

struct Scope {
  bool shardingForbidsOverlap = false;
  std::vector<bool> shardSharedExperts = off;
  std::vector<int64_t> thresholds = {0, 256, 1000};
};

/// Runs the cross product and counts; reports the first few disagreements.
class CrossProduct {
public:
  CrossProduct(const RuleSet &ruleSet, const Table &table, Scope scope)
      : ruleSet(ruleSet), table(table), scope(scope) {}

  void run() {
    for (const std::string &backend : allBackends)
      for (bool eplb : {false, true})
        for (int64_t tp : {1, 2, 4})
          for (int64_t dp : {1, 2, 8})
            for (int64_t pcp : {1, 2})
              for (bool ep : {false, true})
                for (auto mode : {SequenceParallel::automatic,
                                  SequenceParallel::on, SequenceParallel::off})
                  for (bool shard : scope.shardSharedExperts) {
                    ParallelConfig config;
                    config.tensorParallelSize = tp;
                    config.dataParallelSize = dp;
                    config.prefillContextParallelSize = pcp;
                    config.rank = dp * pcp * tp - 1;
                    config.enableExpertParallel = ep;
                    config.all2allBackend = getBackend(backend);
                    config.enableEplb = eplb;
                    config.sequenceParallel = mode;
                    config.shardSharedExperts = shard;
                    runConfig(config, backend);
                  }
  }

  int64_t numCases = 0, numFailures = 0;

private:
  void runConfig(const ParallelConfig &config, const std::string &backend) {
    bool inUse = config.dataParallelSize > 1 && config.enableExpertParallel;
    const Row *row = findRow(table, backend, config.enableEplb, inUse);
    ASSERT_NE(row, nullptr) << backend;
    // Under `auto` the family below does not opt in.
    bool sequenceParallel = config.sequenceParallel == SequenceParallel::on &&
                            inUse && config.tensorParallelSize > 1 &&
                            contains(sequenceParallelBackends, backend);
    bool forbidden = scope.shardingForbidsOverlap && sequenceParallel &&
                     config.shardSharedExperts;
    for (bool modular : {true, false})
      for (const Platform &platform :
           {Platform{"cuda:sm_90a", true}, Platform{"cpu", true},
            Platform{"none", false}})
        for (bool disabled : {false, true}) {
          bool stream = platform.hasAuxStream && !disabled;
          Column few = stream ? row->streamFewTokens : row->noStream;
          Column many = stream ? row->streamManyTokens : row->noStream;
          if (!modular && few == MK) {
            few = stream ? MULTI : NO;
            many = NO;
          }
          if (forbidden)
            few = many = NO;
          for (int64_t threshold : scope.thresholds)
            for (bool hasSharedExperts : {true, false})
              runTokens(config, modular, platform, disabled, threshold,
                        hasSharedExperts, few, many);
        }
  }

  void runTokens(const ParallelConfig &config, bool modular,
                 const Platform &platform, bool disabled, int64_t threshold,
                 bool hasSharedExperts, Column few, Column many) {
    LayerTraits layer;
    layer.hasSharedExperts = hasSharedExperts;
    DecisionOptions options;
    options.threshold = threshold;
    options.disableSharedExpertsStream = disabled;
    auto decideFor = [&](std::optional<int64_t> tokens) {
      ++numCases;
      return decide(config, layer, KernelTraits{modular}, platform, tokens,
                    ruleSet, options);
    };
    auto expectedAt = [&](int64_t tokens) {
      if (!hasSharedExperts)
        return Order::None;
      return getOrder(tokens <= threshold ? few : many);
    };
    auto check = [&](bool holds, const char *what, int64_t tokens,
                     const Decision &decision) {
      if (holds || ++numFailures > 10)
        return;
      ADD_FAILURE() << ruleSet.name << ": " << what << " is wrong for "
                    << name(config.all2allBackend) << " eplb "
                    << config.enableEplb << " tp " << config.tensorParallelSize
                    << " dp " << config.dataParallelSize << " pcp "
                    << config.prefillContextParallelSize << " ep "
                    << config.enableExpertParallel << " sp "
                    << name(config.sequenceParallel) << " shard "
                    << config.shardSharedExperts << " modular " << modular
                    << " platform " << platform.name << " disabled " << disabled
                    << " threshold " << threshold << " shared "
                    << hasSharedExperts << " T " << tokens << ": got "
                    << name(decision.at(tokens).order) << " by "
                    << decision.rule();
    };

    const int64_t sizes[] = {0, 1, threshold, threshold + 1, 100000};
    Decision dynamic = decideFor(std::nullopt);
    bool tokensDecide = hasSharedExperts && few != many;
    check(dynamic.dependsOnTokens() == tokensDecide, "dependence on T", -1,
          dynamic);
    if (tokensDecide)
      check(dynamic.threshold == threshold, "threshold", -1, dynamic);
    for (int64_t tokens : sizes) {
      check(dynamic.at(tokens).order == expectedAt(tokens), "order, T dynamic,",
            tokens, dynamic);
      Decision fixed = decideFor(tokens);
      check(!fixed.dependsOnTokens(), "dependence on T", tokens, fixed);
      check(fixed.at(tokens).order == expectedAt(tokens), "order", tokens,
            fixed);
      // A fixed T and the same T in a dynamic decision: the same rule.
      check(fixed.at(tokens).rule == dynamic.at(tokens).rule &&
                fixed.at(tokens).reason == dynamic.at(tokens).reason,
            "rule", tokens, fixed);
      check(!fixed.low.rule.empty() && !fixed.low.reason.empty(), "reason",
            tokens, fixed);
    }
  }

  const RuleSet &ruleSet;
  const Table &table;
  Scope scope;
};

const RuleSet &getRuleSet(std::string_view name) {
  std::string error;
  const RuleSet *ruleSet = findRuleSet(name, error);
  EXPECT_NE(ruleSet, nullptr) << error;
  return *ruleSet;
}
} // namespace

TEST(Decision, VllmAgreesWithItsTableEverywhere) {
  CrossProduct product(getRuleSet("vllm"), vllmTable, {});
  product.run();
  EXPECT_EQ(product.numFailures, 0);
  // 11 backends x EPLB x tp x dp x pcp x EP x sequence parallelism, by kernels
  // x platforms x stream x thresholds x shared x (dynamic and five T).
  EXPECT_EQ(product.numCases,
            (11 * 2 * 3 * 3 * 2 * 2 * 3) * (2 * 3 * 2 * 3 * 2 * 6));
}

// --shard-shared-experts means nothing to the rules of April 2026.
TEST(Decision, VllmIgnoresShardedSharedExperts) {
  CrossProduct product(getRuleSet("vllm"), vllmTable, {false, on, {256}});
  product.run();
  EXPECT_EQ(product.numFailures, 0);
}

TEST(Decision, August2026AgreesWithItsTable) {
  CrossProduct product(getRuleSet("vllm-2026-08"), august2026Table,
                       {true, both, {256}});
  product.run();
  EXPECT_EQ(product.numFailures, 0);
}

TEST(Decision, September2026AgreesWithItsTable) {
  CrossProduct product(getRuleSet("vllm-2026-09"), september2026Table,
                       {true, both, {256}});
  product.run();
  EXPECT_EQ(product.numFailures, 0);
}

// A user's rule set: vLLM's without rule 1 decides otherwise exactly where the
// two tables differ.
TEST(Decision, RuleSetWithoutRule1) {
  RuleSet ruleSet = getRuleSet("vllm");
  ASSERT_EQ(ruleSet.rules.front().name, "rule 1");
  ruleSet.name = "mine";
  ruleSet.rules.erase(ruleSet.rules.begin());
  CrossProduct product(ruleSet, withoutRule1Table, {false, off, {256}});
  product.run();
  EXPECT_EQ(product.numFailures, 0);
}

TEST(Decision, SerialNeverOverlaps) {
  const Table table = {{allBackends, both, both, NO, NO, NO}};
  CrossProduct product(getRuleSet("serial"), table, {false, off, {256}});
  product.run();
  EXPECT_EQ(product.numFailures, 0);
}

TEST(Decision, OverlapOverlapsWhereverItCan) {
  std::vector<std::string> others = agRs;
  others.insert(others.end(), twoSided.begin(), twoSided.end());
  for (const char *name : {"mori", "flashinfer_nvlink_one_sided", "deepep_v2"})
    others.push_back(name);
  const Table table = {{others, both, both, MULTI, MULTI, NO},
                       {async, both, off, MULTI, MULTI, NO}};
  Scope scope{false, off, {256}};
  // Asynchronous backends with a monolithic kernel are no longer the MULTI and
  // NO columns of the table, so the row with MK is checked apart.
  for (bool modular : {true, false})
    for (bool stream : {true, false}) {
      ParallelConfig config;
      config.dataParallelSize = 2;
      config.enableExpertParallel = true;
      config.all2allBackend = All2AllBackend::deepep_low_latency;
      LayerTraits layer;
      layer.hasSharedExperts = true;
      Decision decision = decide(config, layer, {modular}, {"cpu", stream},
                                 std::nullopt, getRuleSet("overlap"));
      EXPECT_FALSE(decision.dependsOnTokens());
      EXPECT_EQ(decision.low.order, modular  ? Order::MKInternalOverlapped
                                    : stream ? Order::MultiStreamOverlapped
                                             : Order::NoOverlap);
    }
  Table full = table;
  full.push_back({async, both, on, MULTI, MULTI, NO});
  // Without the rule for modular kernels, streams alone decide.
  RuleSet streamsOnly = getRuleSet("overlap");
  ASSERT_EQ(streamsOnly.rules.front().outcome, Order::MKInternalOverlapped);
  streamsOnly.rules.erase(streamsOnly.rules.begin());
  CrossProduct product(streamsOnly, full, scope);
  product.run();
  EXPECT_EQ(product.numFailures, 0);
}

TEST(Decision, FamilyOptsIntoSequenceParallelismAndShards) {
  ParallelConfig config;
  config.tensorParallelSize = config.dataParallelSize = 2;
  config.enableExpertParallel = config.shardSharedExperts = true;
  LayerTraits layer;
  layer.hasSharedExperts = true;
  for (bool optsIn : {false, true}) {
    layer.optsIntoSequenceParallel = optsIn;
    Decision decision =
        decide(config, layer, {}, {}, 1, getRuleSet("vllm-2026-08"));
    EXPECT_EQ(decision.low.rule,
              optsIn ? "vllm-2026-08 rule 0" : "vllm-2026-08 rule 3");
  }
}

TEST(Decision, ReasonsAndSuggestions) {
  const RuleSet &vllm = getRuleSet("vllm");
  LayerTraits layer;
  layer.hasSharedExperts = true;
  ParallelConfig config;

  Decision decision = decide(config, layer, {}, {}, std::nullopt, vllm);
  EXPECT_EQ(decision.rule(), "vllm rule 3 where T <= 256, vllm rule 4 above");
  EXPECT_EQ(decision.reason(),
            "T is at most 256, and 'cpu' has an auxiliary stream; otherwise T "
            "is above the threshold of 256");
  EXPECT_EQ(decision.suggestion(),
            "raise --shared-experts-stream-token-threshold "
            "(VLLM_SHARED_EXPERTS_STREAM_TOKEN_THRESHOLD)");

  DecisionOptions disabled;
  disabled.disableSharedExpertsStream = true;
  decision = decide(config, layer, {}, {}, 1, vllm, disabled);
  EXPECT_EQ(decision.rule(), "vllm rule 4");
  EXPECT_EQ(decision.reason(), "the shared experts' stream is disabled");
  EXPECT_EQ(decision.suggestion(), "drop --disable-shared-experts-stream "
                                   "(VLLM_DISABLE_SHARED_EXPERTS_STREAM)");

  decision = decide(config, layer, {}, {"bare", false}, 1, vllm);
  EXPECT_EQ(decision.reason(), "'bare' has no auxiliary stream");

  // Rule 1 reads the backend's name where no all-to-all kernel is in use.
  config.all2allBackend = All2AllBackend::flashinfer_nvlink_two_sided;
  config.enableEplb = true;
  decision = decide(config, layer, {}, {}, 1, vllm);
  EXPECT_EQ(decision.rule(), "vllm rule 1");
  EXPECT_EQ(decision.reason(),
            "EPLB is on and all2all backend 'flashinfer_nvlink_two_sided' is "
            "not known to be safe with it (allgather_reducescatter): wrong "
            "results were seen when shared experts overlapped");
  EXPECT_EQ(decision.suggestion(),
            "use a backend that is safe with EPLB (allgather_reducescatter), "
            "or drop --enable-eplb");

  config.enableEplb = false;
  config.dataParallelSize = 2;
  config.enableExpertParallel = true;
  decision = decide(config, layer, {}, {}, 1, vllm);
  EXPECT_EQ(decision.reason(),
            "the two-sided NVLink kernels of 'flashinfer_nvlink_two_sided' "
            "leave nothing to gain");

  config.all2allBackend = All2AllBackend::nixl_ep;
  decision = decide(config, layer, {}, {}, std::nullopt, vllm);
  EXPECT_EQ(decision.rule(), "vllm rule 2");
  EXPECT_EQ(decision.suggestion(), "");
}

TEST(Decision, NegativeThresholdMeansNever) {
  LayerTraits layer;
  layer.hasSharedExperts = true;
  DecisionOptions options;
  options.threshold = -1;
  Decision decision =
      decide({}, layer, {}, {}, std::nullopt, getRuleSet("vllm"), options);
  EXPECT_FALSE(decision.dependsOnTokens());
  EXPECT_EQ(decision.low.order, Order::NoOverlap);
}

TEST(Decision, RuleSetThatDoesNotDecide) {
  LayerTraits layer;
  layer.hasSharedExperts = true;
  RuleSet empty;
  empty.name = "empty";
  Decision decision = decide({}, layer, {}, {}, std::nullopt, empty);
  EXPECT_FALSE(decision.dependsOnTokens());
  EXPECT_EQ(decision.low.order, Order::NoOverlap);
  EXPECT_EQ(decision.low.reason, "no rule of 'empty' holds");
}

//===----------------------------------------------------------------------===//
// Two batches
//===----------------------------------------------------------------------===//

static ParallelConfig askForBatches(All2AllBackend backend) {
  ParallelConfig config;
  config.dataParallelSize = 2;
  config.enableExpertParallel = true;
  config.all2allBackend = backend;
  config.enableDbo = true;
  return config;
}

static BatchDecision decideBatches(const ParallelConfig &config,
                                   const char *ruleSet,
                                   const KernelTraits &kernel = {}) {
  return decideBatches(config, kernel, getRuleSet(ruleSet));
}

// vLLM overlaps two batches of two backends; without the flag nobody does.
TEST(Batches, OfEveryBackendAndRuleSet) {
  for (const BackendInfo &backend : getBackendTable()) {
    std::string name(moe::name(backend.backend));
    ParallelConfig config = askForBatches(backend.backend);
    bool isDeepEP =
        name == "deepep_low_latency" || name == "deepep_high_throughput";
    for (const char *ruleSet : {"vllm", "vllm-2026-08", "vllm-2026-09"})
      EXPECT_EQ(decideBatches(config, ruleSet).twoBatches, isDeepEP)
          << name << " " << ruleSet;
    for (const char *ruleSet : {"overlap", "auto"})
      EXPECT_TRUE(decideBatches(config, ruleSet).twoBatches) << name;
    EXPECT_FALSE(decideBatches(config, "serial").twoBatches) << name;
    config.enableDbo = false;
    for (const RuleSet &ruleSet : getBuiltinRuleSets())
      EXPECT_FALSE(decideBatches(config, KernelTraits(), ruleSet).twoBatches)
          << name << " " << ruleSet.name;
  }
}

// Without an exchange there is nothing to overlap; what vLLM overlaps needs
// all-to-all kernels, other rule sets take any exchange.
TEST(Batches, NeedAnExchange) {
  ParallelConfig config = askForBatches(All2AllBackend::deepep_low_latency);
  config.enableExpertParallel = false;
  EXPECT_FALSE(decideBatches(config, "vllm").twoBatches);
  EXPECT_TRUE(decideBatches(config, "overlap").twoBatches);
  config.enableExpertParallel = true;
  config.dataParallelSize = 1;
  config.tensorParallelSize = 2;
  EXPECT_FALSE(decideBatches(config, "overlap").twoBatches);
  KernelTraits monolithic;
  monolithic.modular = false;
  config = askForBatches(All2AllBackend::deepep_low_latency);
  EXPECT_FALSE(decideBatches(config, "overlap", monolithic).twoBatches);
}

TEST(Batches, SayWhy) {
  ParallelConfig config = askForBatches(All2AllBackend::deepep_low_latency);
  BatchDecision decision = decideBatches(config, "vllm");
  EXPECT_EQ(decision.decodeThreshold, 32);
  EXPECT_EQ(decision.prefillThreshold, 512);
  EXPECT_EQ(decision.rule, "vllm batch rule 4");
  EXPECT_EQ(decision.reason,
            "--enable-dbo is given: one batch communicates while the other "
            "computes where the rank with most tokens has at least 512, or 32 "
            "of decodes alone");
  config.all2allBackend = All2AllBackend::mori;
  decision = decideBatches(config, "vllm");
  EXPECT_EQ(decision.rule, "vllm batch rule 3");
  EXPECT_EQ(decision.reason,
            "all2all backend 'mori' is not overlapped in two batches "
            "(deepep_low_latency, deepep_high_throughput are)");
  EXPECT_EQ(decision.suggestion,
            "use one of deepep_low_latency, deepep_high_throughput, or "
            "--schedule=overlap, which takes any backend");
}

TEST(Batches, RuleSetThatDoesNotDecide) {
  RuleSet empty;
  empty.name = "empty";
  BatchDecision decision =
      decideBatches(askForBatches(All2AllBackend::mori), KernelTraits(), empty);
  EXPECT_FALSE(decision.twoBatches);
  EXPECT_EQ(decision.reason, "no rule of 'empty' for batches holds");
}
