//===- RuleSetTest.cpp - Rule sets as data --------------------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moe-mlir/Policy/RuleSet.h"

#include <gtest/gtest.h>

using namespace moe;
using namespace moe::policy;

static const RuleSet &getRuleSet(std::string_view name) {
  std::string error;
  const RuleSet *ruleSet = findRuleSet(name, error);
  EXPECT_NE(ruleSet, nullptr) << error;
  return *ruleSet;
}

TEST(RuleSet, OrdersRoundTripByName) {
  const std::pair<Order, const char *> names[] = {
      {Order::None, "NONE"},
      {Order::NoOverlap, "NO_OVERLAP"},
      {Order::MKInternalOverlapped, "MK_INTERNAL_OVERLAPPED"},
      {Order::MultiStreamOverlapped, "MULTI_STREAM_OVERLAPPED"}};
  for (auto [order, text] : names) {
    EXPECT_STREQ(name(order), text);
    EXPECT_EQ(parseName<Order>(text), order);
  }
  EXPECT_EQ(parseName<Order>("no_overlap"), std::nullopt);
}

TEST(RuleSet, UnknownNameListsTheKnownOnes) {
  std::string error;
  EXPECT_EQ(findRuleSet("vllm-2020-01", error), nullptr);
  EXPECT_EQ(error, "expected --schedule to be one of vllm, vllm-2026-08, "
                   "vllm-2026-09, auto, serial, overlap but got "
                   "'vllm-2020-01'");
  EXPECT_NE(findRuleSet("auto", error), nullptr);
  EXPECT_EQ(error, "");
}

TEST(RuleSet, Prints) {
  EXPECT_EQ(
      printRuleSet(getRuleSet("vllm")),
      "| rule | holds when | order |\n"
      "|---|---|---|\n"
      "| rule 1 | (enable_eplb and all2all_backend not in "
      "{allgather_reducescatter}) or use_fi_nvl_two_sided_kernels | "
      "`NO_OVERLAP` |\n"
      "| rule 2 | modular kernel and use_all2all_kernels and all2all_backend "
      "in {deepep_high_throughput, deepep_low_latency, nixl_ep} | "
      "`MK_INTERNAL_OVERLAPPED` |\n"
      "| rule 3 | auxiliary stream exists and stream enabled and T <= "
      "threshold | `MULTI_STREAM_OVERLAPPED` |\n"
      "| rule 4 | otherwise | `NO_OVERLAP` |\n");
  EXPECT_EQ(printRuleSet(getRuleSet("serial")),
            "| rule | holds when | order |\n|---|---|---|\n"
            "| rule 1 | always | `NO_OVERLAP` |\n");
}

// Every combination of facts, possible or not: each built-in set decides, and
// what it answers is a rule of its own.
TEST(RuleSet, BuiltinSetsAreTotal) {
  for (const RuleSet &ruleSet : getBuiltinRuleSets())
    for (unsigned bits = 0; bits < (1u << numFacts); ++bits) {
      FactSet facts;
      for (size_t i = 0; i < numFacts; ++i)
        facts.set(Fact(i), bits >> i & 1);
      RuleHit hit = findFirstRule(ruleSet, facts);
      ASSERT_NE(hit.rule, nullptr) << ruleSet.name << " " << bits;
      ASSERT_NE(hit.clause, nullptr);
      ASSERT_TRUE(hit.rule >= ruleSet.rules.data() &&
                  hit.rule < ruleSet.rules.data() + ruleSet.rules.size());
      ASSERT_NE(findFirstBatchRule(ruleSet, facts).rule, nullptr)
          << ruleSet.name << " " << bits;
    }
}

// The first rule that holds wins, and in it the first clause.
TEST(RuleSet, FirstWins) {
  RuleSet ruleSet;
  ruleSet.rules = {
      {"a",
       {{{{Fact::EnableEplb}, {Fact::AuxStream, false}}, "both", ""},
        {{{Fact::EnableEplb}}, "eplb alone", ""}},
       Order::NoOverlap},
      {"b", {{{}, "rest", ""}}, Order::MultiStreamOverlapped}};
  FactSet facts;
  EXPECT_EQ(findFirstRule(ruleSet, facts).clause->reason, "rest");
  facts.set(Fact::EnableEplb);
  EXPECT_EQ(findFirstRule(ruleSet, facts).clause->reason, "both");
  facts.set(Fact::AuxStream);
  EXPECT_EQ(findFirstRule(ruleSet, facts).clause->reason, "eplb alone");
  EXPECT_EQ(printCondition(ruleSet.rules[0], ruleSet),
            "(enable_eplb and not auxiliary stream exists) or enable_eplb");
  ruleSet.rules.pop_back();
  EXPECT_EQ(findFirstRule(ruleSet, FactSet()).rule, nullptr);
}

TEST(RuleSet, AutoKeepsCorrectnessBeforeCost) {
  const RuleSet &ruleSet = getRuleSet("auto");
  FactSet facts;
  facts.set(Fact::CostKnown);
  facts.set(Fact::EnableEplb);
  EXPECT_EQ(findFirstRule(ruleSet, facts).rule->outcome, Order::NoOverlap);
  facts.set(Fact::EplbSafeBackend);
  EXPECT_EQ(findFirstRule(ruleSet, facts).rule->outcome, std::nullopt);
  // "Nothing to gain" is a question of cost, not of correctness.
  facts.set(Fact::UseFINVLTwoSidedKernels);
  EXPECT_EQ(findFirstRule(ruleSet, facts).rule->outcome, std::nullopt);
}
