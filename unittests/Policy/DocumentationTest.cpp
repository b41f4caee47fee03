//===- DocumentationTest.cpp - The documented tables ----------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// docs/scheduling.md shows tables that the code prints. They stand between
// `<!-- generated: NAME -->` and `<!-- end -->`; to update one, paste what the
// failing test shows.
//
//===----------------------------------------------------------------------===//

#include "Decide.h"
#include "moe-mlir/Policy/Decision.h"

#include <fstream>
#include <gtest/gtest.h>
#include <sstream>

using namespace moe;
using namespace moe::policy;

static std::string readPage() {
  std::ifstream file(MOE_DOCS_DIR "/scheduling.md");
  std::ostringstream text;
  text << file.rdbuf();
  EXPECT_FALSE(text.str().empty());
  return text.str();
}

static std::string getBlock(const std::string &page, const std::string &name) {
  std::string begin = "<!-- generated: " + name + " -->\n";
  size_t first = page.find(begin);
  if (first == std::string::npos)
    return "no block '" + name + "'";
  first += begin.size();
  return page.substr(first, page.find("<!-- end -->", first) - first);
}

TEST(Documentation, RuleSetsAreAsPrinted) {
  std::string page = readPage();
  for (const RuleSet &ruleSet : getBuiltinRuleSets())
    EXPECT_EQ(getBlock(page, "rule set " + ruleSet.name),
              ruleSet.description + ".\n\n" + printRuleSet(ruleSet));
}

TEST(Documentation, BatchRulesAreAsPrinted) {
  std::string page = readPage(), error;
  for (const char *name : {"vllm", "overlap", "serial"})
    EXPECT_EQ(getBlock(page, std::string("batches of ") + name),
              printBatchRules(*findRuleSet(name, error)));
}

TEST(Documentation, BackendsAreAsPrinted) {
  EXPECT_EQ(getBlock(readPage(), "backends"), printBackendTable());
}

// What `vllm` decides for a modular kernel, per backend.
static std::string printOutcomes() {
  std::string error,
      text = "| backend | EPLB | all-to-all in use | stream, T <= threshold | "
             "stream, "
             "T > threshold | no stream |\n|---|---|---|---|---|---|\n";
  const RuleSet &vllm = *findRuleSet("vllm", error);
  LayerTraits layer;
  layer.hasSharedExperts = true;
  for (const char *backend :
       {"allgather_reducescatter", "deepep_high_throughput",
        "deepep_low_latency", "nixl_ep", "mori", "flashinfer_nvlink_one_sided",
        "flashinfer_nvlink_two_sided"})
    for (bool eplb : {false, true})
      for (bool inUse : {false, true}) {
        ParallelConfig config;
        config.all2allBackend = getBackend(backend);
        config.enableEplb = eplb;
        config.enableExpertParallel = inUse;
        config.dataParallelSize = inUse ? 2 : 1;
        Decision stream =
            decide(config, layer, {}, {"cpu", true}, std::nullopt, vllm);
        Decision none =
            decide(config, layer, {}, {"cpu", false}, std::nullopt, vllm);
        text.append("| ").append(backend);
        text.append(eplb ? " | on" : " | off")
            .append(inUse ? " | yes" : " | no");
        for (Order order :
             {stream.low.order, stream.high.order, none.low.order})
          text.append(" | `").append(name(order)).append("`");
        text += " |\n";
      }
  return text;
}

TEST(Documentation, OutcomesAreAsDecided) {
  EXPECT_EQ(getBlock(readPage(), "outcomes"), printOutcomes());
}
