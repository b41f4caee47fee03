//===- RuleSet.cpp - Rules that choose an order, as data ------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moe-mlir/Policy/RuleSet.h"

using namespace moe;
using namespace moe::policy;

//===----------------------------------------------------------------------===//
// Clauses that several rule sets share
//===----------------------------------------------------------------------===//

static std::vector<All2AllBackend> asyncBackends() {
  return {All2AllBackend::deepep_high_throughput,
          All2AllBackend::deepep_low_latency, All2AllBackend::nixl_ep};
}

static Clause eplbUnsafe() {
  return {{{Fact::EnableEplb}, {Fact::EplbSafeBackend, false}},
          "EPLB is on and all2all backend '{backend}' is not known to be safe "
          "with it ({eplb_safe}): wrong results were seen when shared experts "
          "overlapped",
          "use a backend that is safe with EPLB ({eplb_safe}), or drop "
          "--enable-eplb"};
}

static Clause twoSided() {
  return {{{Fact::UseFINVLTwoSidedKernels}},
          "the two-sided NVLink kernels of '{backend}' leave nothing to gain",
          "use another --all2all-backend: {async} overlap the combine"};
}

static Clause modularKernelOwns() {
  return {
      {{Fact::ModularKernel}, {Fact::UseAll2AllKernels}, {Fact::AsyncBackend}},
      "the modular kernel owns the shared experts: '{backend}' launches "
      "its combine asynchronously, and they run until it is awaited",
      ""};
}

static Clause fewTokensOnStream() {
  return {{{Fact::AuxStream},
           {Fact::SharedExpertsStreamEnabled},
           {Fact::FewTokens}},
          "T is at most {threshold}, and '{platform}' has an auxiliary stream",
          ""};
}

static Clause noAuxStream() {
  return {{{Fact::AuxStream, false}},
          "'{platform}' has no auxiliary stream",
          "compile for a target that has streams"};
}

static Clause streamDisabled() {
  return {{{Fact::SharedExpertsStreamEnabled, false}},
          "the shared experts' stream is disabled",
          "drop --disable-shared-experts-stream "
          "(VLLM_DISABLE_SHARED_EXPERTS_STREAM)"};
}

/// Rule 4 of vLLM: all of its clauses together hold always, and the first that
/// holds says which part of rule 3 did not.
static std::vector<Clause> otherwise() {
  return {noAuxStream(),
          streamDisabled(),
          {{},
           "T is above the threshold of {threshold}",
           "raise --shared-experts-stream-token-threshold "
           "(VLLM_SHARED_EXPERTS_STREAM_TOKEN_THRESHOLD)"}};
}

//===----------------------------------------------------------------------===//
// Two batches
//===----------------------------------------------------------------------===//

static std::vector<BatchRule> batchesOnAnyBackend() {
  return {
      {"batch rule 1",
       {{{{Fact::EnableDbo, false}},
         "two-batch overlap is not asked for",
         "give --enable-dbo"}},
       false},
      {"batch rule 2",
       {{{{Fact::Exchange, false}},
         "no tokens move between ranks for their experts, so there is nothing "
         "to overlap",
         ""},
        {{{Fact::ModularKernel, false}},
         "a monolithic kernel has no phases to interleave",
         "drop --monolithic-kernel"}},
       false},
      {"batch rule 3",
       {{{},
         "--enable-dbo is given: one batch communicates while the other "
         "computes where the rank with most tokens has at least {prefill}, or "
         "{decode} of decodes alone",
         ""}},
       true}};
}

static std::vector<BatchRule> vllmBatches() {
  std::vector<BatchRule> rules = batchesOnAnyBackend();
  Clause otherBackend = {{{Fact::DboBackend, false}},
                         "all2all backend '{backend}' is not overlapped in two "
                         "batches ({dbo} are)",
                         "use one of {dbo}, or --schedule=overlap, which takes "
                         "any backend"};
  Clause unused = {{{Fact::UseAll2AllKernels, false}},
                   "all-to-all kernels are not in use, and only those of {dbo} "
                   "are overlapped in two batches",
                   "give --enable-expert-parallel, or --schedule=overlap, "
                   "which takes any exchange"};
  rules.insert(rules.end() - 1,
               {"batch rule 3", {otherBackend, unused}, false});
  rules.back().name = "batch rule 4";
  return rules;
}

static std::vector<All2AllBackend> vllmBatchBackends() {
  return {All2AllBackend::deepep_low_latency,
          All2AllBackend::deepep_high_throughput};
}

//===----------------------------------------------------------------------===//
// Built-in rule sets
//===----------------------------------------------------------------------===//

static RuleSet vllm() {
  return {"vllm",
          "vLLM after PR #39222 (commit 6867bcd)",
          "2026-04-21",
          {{"rule 1", {eplbUnsafe(), twoSided()}, Order::NoOverlap},
           {"rule 2", {modularKernelOwns()}, Order::MKInternalOverlapped},
           {"rule 3", {fewTokensOnStream()}, Order::MultiStreamOverlapped},
           {"rule 4", otherwise(), Order::NoOverlap}},
          {All2AllBackend::allgather_reducescatter},
          asyncBackends(),
          vllmBatches(),
          vllmBatchBackends()};
}

static RuleSet vllm202608() {
  RuleSet set = vllm();
  set.name = "vllm-2026-08";
  set.description = "vLLM of August 2026: one more backend is safe with EPLB, "
                    "and shared experts sharded over sequence parallelism do "
                    "not overlap";
  set.date = "2026-08";
  set.rules.insert(
      set.rules.begin(),
      {"rule 0",
       {{{{Fact::SharedExpertsSharded}},
         "the shared experts are sharded over sequence parallelism",
         "drop --shard-shared-experts"}},
       Order::NoOverlap});
  set.eplbSafeBackends.push_back(All2AllBackend::flashinfer_nvlink_one_sided);
  return set;
}

static RuleSet vllm202609() {
  RuleSet set = vllm202608();
  set.name = "vllm-2026-09";
  set.description = "vLLM of September 2026: as vllm-2026-08, and deepep_v2 is "
                    "asynchronous and safe with EPLB";
  set.date = "2026-09";
  set.eplbSafeBackends.push_back(All2AllBackend::deepep_v2);
  set.asyncBackends.push_back(All2AllBackend::deepep_v2);
  return set;
}

/// Correctness first, then cost. Without a layer shape and a machine there is
/// no cost, and the rules of vLLM that remain decide.
static RuleSet byCost() {
  RuleSet set = vllm();
  set.name = "auto";
  set.description = "the cheapest order by the cost model, among those that "
                    "the target can run and that give right results";
  set.date = "";
  set.batchRules = batchesOnAnyBackend();
  set.dboBackends = {};
  set.rules[0].anyOf = {eplbUnsafe()};
  set.rules.insert(set.rules.begin() + 1,
                   {"cost model", {{{{Fact::CostKnown}}, "", ""}}, {}});
  return set;
}

static RuleSet serial() {
  return {"serial",
          "never overlap: the baseline of every comparison",
          "",
          {{"rule 1",
            {{{},
              "the serial rule set never overlaps",
              "use --schedule=vllm or --schedule=auto"}},
            Order::NoOverlap}},
          {},
          asyncBackends(),
          {{"batch rule 1",
            {{{},
              "the serial rule set never overlaps",
              "use --schedule=vllm or --schedule=auto"}},
            false}},
          {}};
}

static RuleSet overlap() {
  return {"overlap",
          "overlap wherever the target can, whatever T and backend are: for "
          "measurements",
          "",
          {{"rule 1", {modularKernelOwns()}, Order::MKInternalOverlapped},
           {"rule 2",
            {{{{Fact::AuxStream}, {Fact::SharedExpertsStreamEnabled}},
              "'{platform}' has an auxiliary stream",
              ""}},
            Order::MultiStreamOverlapped},
           {"rule 3",
            {noAuxStream(),
             {{}, streamDisabled().reason, streamDisabled().suggestion}},
            Order::NoOverlap}},
          {},
          asyncBackends(),
          batchesOnAnyBackend(),
          {}};
}

const std::vector<RuleSet> &moe::policy::getBuiltinRuleSets() {
  static const std::vector<RuleSet> sets = {
      vllm(), vllm202608(), vllm202609(), byCost(), serial(), overlap()};
  return sets;
}

const RuleSet *moe::policy::findRuleSet(std::string_view name,
                                        std::string &error) {
  error = "expected --schedule to be one of ";
  for (const RuleSet &set : getBuiltinRuleSets()) {
    if (set.name == name) {
      error.clear();
      return &set;
    }
    error += (&set == &getBuiltinRuleSets().front() ? "" : ", ") + set.name;
  }
  error += " but got '" + std::string(name) + "'";
  return nullptr;
}

//===----------------------------------------------------------------------===//
// Evaluating and printing
//===----------------------------------------------------------------------===//

template <typename Hit, typename Rules>
static Hit findFirst(const Rules &rules, const FactSet &facts) {
  for (const auto &rule : rules)
    for (const Clause &clause : rule.anyOf) {
      bool holds = true;
      for (const Literal &literal : clause.all)
        holds &= facts.holds(literal.fact) == literal.expected;
      if (holds)
        return {&rule, &clause};
    }
  return {};
}

RuleHit moe::policy::findFirstRule(const RuleSet &ruleSet,
                                   const FactSet &facts) {
  return findFirst<RuleHit>(ruleSet.rules, facts);
}

BatchRuleHit moe::policy::findFirstBatchRule(const RuleSet &ruleSet,
                                             const FactSet &facts) {
  return findFirst<BatchRuleHit>(ruleSet.batchRules, facts);
}

static std::string printBackends(const std::vector<All2AllBackend> &backends) {
  std::string text = "{";
  for (All2AllBackend backend : backends)
    text.append(text.size() > 1 ? ", " : "").append(name(backend));
  return text + "}";
}

static std::string printLiteral(const Literal &literal,
                                const RuleSet &ruleSet) {
  auto plain = [&](const char *text) {
    return std::string(literal.expected ? "" : "not ") + text;
  };
  auto member = [&](const std::vector<All2AllBackend> &backends) {
    return std::string("all2all_backend ") + (literal.expected ? "" : "not ") +
           "in " + printBackends(backends);
  };
  switch (literal.fact) {
  case Fact::EnableEplb:
    return plain("enable_eplb");
  case Fact::EplbSafeBackend:
    return member(ruleSet.eplbSafeBackends);
  case Fact::UseAll2AllKernels:
    return plain("use_all2all_kernels");
  case Fact::UseFINVLTwoSidedKernels:
    return plain("use_fi_nvl_two_sided_kernels");
  case Fact::AsyncBackend:
    return member(ruleSet.asyncBackends);
  case Fact::ModularKernel:
    return plain("modular kernel");
  case Fact::SharedExpertsSharded:
    return plain("shared_experts_sharded");
  case Fact::AuxStream:
    return plain("auxiliary stream exists");
  case Fact::SharedExpertsStreamEnabled:
    return plain("stream enabled");
  case Fact::FewTokens:
    return literal.expected ? "T <= threshold" : "T > threshold";
  case Fact::CostKnown:
    return plain("layer shape and machine known");
  case Fact::EnableDbo:
    return plain("enable_dbo");
  case Fact::Exchange:
    return literal.expected ? "tokens move between ranks"
                            : "no tokens move between ranks";
  case Fact::DboBackend:
    return member(ruleSet.dboBackends);
  }
  return "";
}

static std::string printClauses(const std::vector<Clause> &clauses,
                                bool isFirst, const RuleSet &ruleSet) {
  std::string text;
  for (const Clause &clause : clauses) {
    if (clause.all.empty())
      return isFirst ? "always" : "otherwise";
    bool group = clauses.size() > 1 && clause.all.size() > 1;
    text += text.empty() ? "" : " or ";
    text += group ? "(" : "";
    for (const Literal &literal : clause.all)
      text += (&literal == &clause.all.front() ? "" : " and ") +
              printLiteral(literal, ruleSet);
    text += group ? ")" : "";
  }
  return text;
}

std::string moe::policy::printCondition(const Rule &rule,
                                        const RuleSet &ruleSet) {
  return printClauses(rule.anyOf, &rule == &ruleSet.rules.front(), ruleSet);
}

std::string moe::policy::printCondition(const BatchRule &rule,
                                        const RuleSet &ruleSet) {
  return printClauses(rule.anyOf, &rule == &ruleSet.batchRules.front(),
                      ruleSet);
}

std::string moe::policy::printBatchRules(const RuleSet &ruleSet) {
  std::string text = "| rule | holds when | batches |\n|---|---|---|\n";
  for (const BatchRule &rule : ruleSet.batchRules)
    text += "| " + rule.name + " | " + printCondition(rule, ruleSet) + " | " +
            (rule.twoBatches ? "two, from the threshold on" : "one") + " |\n";
  return text;
}

std::string moe::policy::printRuleSet(const RuleSet &ruleSet) {
  std::string text = "| rule | holds when | order |\n|---|---|---|\n";
  for (const Rule &rule : ruleSet.rules) {
    text += "| " + rule.name + " | " + printCondition(rule, ruleSet) + " | ";
    text += rule.outcome ? "`" + std::string(name(*rule.outcome)) + "`"
                         : std::string("the cheapest");
    text += " |\n";
  }
  return text;
}
