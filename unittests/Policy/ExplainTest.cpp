//===- ExplainTest.cpp - Explanations -------------------------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moe-mlir/Policy/Explain.h"
#include "Decide.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <set>

using namespace moe;
using namespace moe::policy;

static Explanation explain(const ParallelConfig &config,
                           std::optional<int64_t> compiledFor,
                           std::optional<int64_t> explained) {
  std::string error;
  LayerTraits layer;
  layer.numExperts = 64;
  layer.hasSharedExperts = true;
  Explanation e;
  e.layer = "model.layers.1.mlp";
  e.decision =
      decide(config, layer, {}, {}, compiledFor, *findRuleSet("vllm", error));
  DerivedParallelism derived = derive(config, layer);
  e.properties = derived.properties;
  e.warnings = derived.warnings;
  e.streams = {"compute", "aux"};
  e.events = 2;
  e.tokens = explained;
  return e;
}

static std::set<std::string> getKeys(const nlohmann::json &json) {
  std::set<std::string> keys;
  for (auto &item : json.items())
    keys.insert(item.key());
  return keys;
}

static const std::set<std::string> always = {
    "layer",   "rule",   "reason",          "parallel",
    "streams", "events", "workspace_bytes", "capturable"};

static std::set<std::string> with(std::set<std::string> more) {
  more.insert(always.begin(), always.end());
  return more;
}

TEST(Explain, JsonWhereTokensDecide) {
  auto json = nlohmann::json::parse(explainJson(explain({}, {}, {})));
  EXPECT_EQ(getKeys(json), with({"order_at_or_below_threshold",
                                 "order_above_threshold", "threshold"}));
  EXPECT_EQ(json["layer"], "model.layers.1.mlp");
  EXPECT_EQ(json["order_at_or_below_threshold"], "MULTI_STREAM_OVERLAPPED");
  EXPECT_EQ(json["order_above_threshold"], "NO_OVERLAP");
  EXPECT_EQ(json["threshold"], 256);
  EXPECT_EQ(json["rule"], "vllm rule 3 where T <= 256, vllm rule 4 above");
  EXPECT_EQ(json["streams"], (std::vector<std::string>{"compute", "aux"}));
  EXPECT_EQ(json["events"], 2);
  EXPECT_TRUE(json["workspace_bytes"].is_null());
  EXPECT_EQ(json["capturable"], true);
}

// With the T to explain, "order" is always there, and the rule is that T's.
TEST(Explain, JsonForOneSize) {
  const std::pair<int64_t, const char *> orders[] = {
      {0, "MULTI_STREAM_OVERLAPPED"},
      {256, "MULTI_STREAM_OVERLAPPED"},
      {257, "NO_OVERLAP"}};
  for (auto [tokens, order] : orders) {
    Explanation e = explain({}, {}, tokens);
    e.workspaceBytes = 4096;
    auto json = nlohmann::json::parse(explainJson(e));
    EXPECT_EQ(getKeys(json), with({"order", "order_at_or_below_threshold",
                                   "order_above_threshold", "threshold"}));
    EXPECT_EQ(json["order"], order);
    EXPECT_EQ(json["rule"], tokens <= 256 ? "vllm rule 3" : "vllm rule 4");
    EXPECT_EQ(json["workspace_bytes"], 4096);
  }
}

TEST(Explain, JsonWhereTokensDoNotDecide) {
  for (std::optional<int64_t> tokens :
       {std::optional<int64_t>(), std::optional<int64_t>(7)}) {
    auto json = nlohmann::json::parse(explainJson(explain({}, 7, tokens)));
    EXPECT_EQ(getKeys(json), with({"order"}));
    EXPECT_EQ(json["order"], "MULTI_STREAM_OVERLAPPED");
    EXPECT_EQ(json["rule"], "vllm rule 3");
  }
}

TEST(Explain, JsonParallelHoldsAllProperties) {
  ParallelConfig config;
  config.tensorParallelSize = config.dataParallelSize = 2;
  config.rank = 3;
  config.enableExpertParallel = true;
  config.all2allBackend = All2AllBackend::deepep_low_latency;
  Explanation e = explain(config, {}, {});
  auto json = nlohmann::json::parse(explainJson(e));
  const auto &parallel = json["parallel"];
  EXPECT_EQ(parallel.size(), listProperties(e.properties).size());
  EXPECT_EQ(parallel["tp_size"], 1);
  EXPECT_EQ(parallel["ep_size"], 4);
  EXPECT_EQ(parallel["ep_rank"], 3);
  EXPECT_EQ(parallel["dp_rank"], 1);
  EXPECT_EQ(parallel["use_ep"], true);
  EXPECT_EQ(parallel["all2all_backend"], "deepep_low_latency");
  EXPECT_EQ(parallel["transport"], "batched");
  EXPECT_EQ(parallel["reduction"], "shared_only");
  EXPECT_EQ(parallel["num_local_experts"], 16);
  for (const char *name :
       {"pcp_size", "pcp_rank", "dp_size", "tp_rank", "sp_size", "enable_eplb",
        "is_sequence_parallel", "use_all2all_kernels", "use_deepep_ht_kernels",
        "use_deepep_ll_kernels", "use_fi_nvl_two_sided_kernels",
        "use_fi_nvl_one_sided_kernels", "use_ag_rs_all2all_kernels",
        "use_mori_kernels", "use_nixl_ep_kernels",
        "use_batched_activation_format", "use_sequence_parallel_moe"})
    EXPECT_TRUE(parallel.contains(name)) << name;
}

// Names come from files: quotes and bytes that are not UTF-8 stay valid JSON.
TEST(Explain, JsonSurvivesAnyName) {
  Explanation e = explain({}, {}, {});
  e.layer = "a\"b\\\n\xff";
  auto json = nlohmann::json::parse(explainJson(e), nullptr, false);
  ASSERT_FALSE(json.is_discarded());
  EXPECT_EQ(json["layer"], "a\"b\\\n\xef\xbf\xbd");
}

TEST(Explain, TextForPeople) {
  std::string text = explainText(explain({}, {}, {}));
  const char *head =
      "model.layers.1.mlp: when the shared experts run, by --schedule=vllm\n"
      "  order         MULTI_STREAM_OVERLAPPED where T <= 256, NO_OVERLAP "
      "above (decided in every call)\n"
      "  rule          vllm rule 3 where T <= 256, vllm rule 4 above\n"
      "  reason        T is at most 256, and 'cpu' has an auxiliary stream; "
      "otherwise T is above the threshold of 256\n"
      "  to change it  raise --shared-experts-stream-token-threshold "
      "(VLLM_SHARED_EXPERTS_STREAM_TOKEN_THRESHOLD)\n"
      "  streams       compute, aux\n"
      "  events        2\n"
      "  workspace     depends on T\n"
      "  capturable    yes\n"
      "\n"
      "parallel configuration\n"
      "  tensor_parallel_size           1\n";
  EXPECT_EQ(text.substr(0, std::string(head).size()), head);
  EXPECT_EQ(text.back(), '\n');
}

TEST(Explain, TextForOneSizeAndWithWarnings) {
  ParallelConfig config;
  config.shardSharedExperts = true;
  Explanation e = explain(config, {}, 300);
  e.capturable = false;
  e.workspaceBytes = 12;
  std::string text = explainText(e);
  for (const char *line :
       {"\n  order         NO_OVERLAP at T = 300\n",
        "\n  for any T     MULTI_STREAM_OVERLAPPED where T <= 256, NO_OVERLAP "
        "above (decided in every call)\n",
        "\n  rule          vllm rule 4\n", "\n  workspace     12 bytes\n",
        "\n  capturable    no: the host waits for the exchange of counts\n",
        "\n  warning       --shard-shared-experts has no effect: the layer is "
        "not sequence-parallel\n"})
    EXPECT_NE(text.find(line), std::string::npos) << line << "in\n" << text;
}

// Two batches are explained where they are asked for.
TEST(Explain, Batches) {
  ParallelConfig config;
  config.enableDbo = true;
  std::string error;
  const RuleSet &vllm = *findRuleSet("vllm", error);
  Explanation e = explain(config, {}, {});
  e.batches = decideBatches(config, {}, vllm);
  auto json = nlohmann::json::parse(explainJson(e));
  EXPECT_EQ(json["batches"]["two"], false);
  EXPECT_EQ(json["batches"]["rule"], "vllm batch rule 2");
  EXPECT_FALSE(json["batches"].contains("prefill_token_threshold"));
  EXPECT_NE(explainText(e).find("\n  batches       one\n  rule          vllm "
                                "batch rule 2\n"),
            std::string::npos);

  config.dataParallelSize = 2;
  config.enableExpertParallel = true;
  config.all2allBackend = All2AllBackend::deepep_high_throughput;
  config.dboDecodeTokenThreshold = 7;
  e.batches = decideBatches(config, {}, vllm);
  json = nlohmann::json::parse(explainJson(e));
  EXPECT_EQ(json["batches"]["two"], true);
  EXPECT_EQ(json["batches"]["prefill_token_threshold"], 512);
  EXPECT_EQ(json["batches"]["decode_token_threshold"], 7);
  EXPECT_NE(
      explainText(e).find("\n  batches       two where the rank with most "
                          "tokens has at least 512, or 7 of decodes alone; one "
                          "below (decided in every call)\n"),
      std::string::npos);
}
