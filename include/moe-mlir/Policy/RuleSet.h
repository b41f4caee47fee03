//===- RuleSet.h - Rules that choose an order, as data ----------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// When the shared experts run is decided by rules, and rules are data: facts
// about configuration, kernel and platform, conditions over these facts, and
// an order. The first rule that holds wins. A rule set can be printed, edited
// and built anew.
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_POLICY_RULESET_H
#define MOE_MLIR_POLICY_RULESET_H

#include "moe-mlir/Policy/All2All.h"

#include <bitset>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace moe::policy {

/// What a rule can ask.
enum class Fact {
  EnableEplb,
  /// The backend is among the rule set's EPLB-safe ones. Reads the name that
  /// was given, also where no all-to-all kernel is in use.
  EplbSafeBackend,
  UseAll2AllKernels,
  UseFINVLTwoSidedKernels,
  /// The backend is among the rule set's asynchronous ones.
  AsyncBackend,
  ModularKernel,
  SharedExpertsSharded,
  /// The target has an auxiliary stream; vLLM asks "is the platform CUDA".
  AuxStream,
  /// The user has not switched the shared experts' stream off.
  SharedExpertsStreamEnabled,
  /// T <= threshold.
  FewTokens,
  /// The cost model has a layer shape and a machine to work with.
  CostKnown,
  /// The user has asked for two batches.
  EnableDbo,
  /// Tokens move between ranks for their experts.
  Exchange,
  /// The backend is among those that the rule set overlaps in two batches.
  DboBackend,
};
constexpr size_t numFacts = size_t(Fact::DboBackend) + 1;

/// The facts that hold.
class FactSet {
public:
  void set(Fact fact, bool holds = true) { bits.set(size_t(fact), holds); }
  bool holds(Fact fact) const { return bits.test(size_t(fact)); }

private:
  std::bitset<numFacts> bits;
};

/// A fact that must hold, or must not.
struct Literal {
  Fact fact;
  bool expected = true;
};

/// Holds when all of its literals do; without literals it always holds.
///
/// `reason` and `suggestion` may name values: {backend}, {platform},
/// {threshold}, {eplb_safe} and {async}; of two batches {backend}, {dbo},
/// {decode} and {prefill}.
struct Clause {
  std::vector<Literal> all;
  std::string reason;
  /// What the user can change to get another outcome; may be empty.
  std::string suggestion;
};

/// Holds when any of its clauses does. The first that does gives the reason.
struct Rule {
  std::string name;
  std::vector<Clause> anyOf;
  /// Nothing: the cost model chooses.
  std::optional<Order> outcome;
};

/// The same for two-batch overlap, which vLLM calls dual batch overlap (DBO):
/// whether a call with enough tokens is split into two batches, so that one
/// communicates while the other computes.
struct BatchRule {
  std::string name;
  std::vector<Clause> anyOf;
  bool twoBatches = false;
};

struct RuleSet {
  std::string name;
  /// One sentence for users.
  std::string description;
  /// The day of the semantics, such as "2026-04-21"; empty where undated.
  std::string date;
  std::vector<Rule> rules;
  /// Backends that give right results with EPLB and overlapped shared experts.
  std::vector<All2AllBackend> eplbSafeBackends;
  /// Backends whose combine can be launched and awaited separately.
  std::vector<All2AllBackend> asyncBackends;
  std::vector<BatchRule> batchRules;
  /// Backends whose exchanges may be overlapped in two batches.
  std::vector<All2AllBackend> dboBackends;
};

/// `vllm`, `vllm-2026-08`, `vllm-2026-09`, `auto`, `serial`, `overlap`.
const std::vector<RuleSet> &getBuiltinRuleSets();

/// The built-in rule set of that name, or null and the message that lists the
/// known ones in `error`.
const RuleSet *findRuleSet(std::string_view name, std::string &error);

/// The clause that fires first; null members where no rule holds.
struct RuleHit {
  const Rule *rule = nullptr;
  const Clause *clause = nullptr;
};
RuleHit findFirstRule(const RuleSet &ruleSet, const FactSet &facts);

struct BatchRuleHit {
  const BatchRule *rule = nullptr;
  const Clause *clause = nullptr;
};
BatchRuleHit findFirstBatchRule(const RuleSet &ruleSet, const FactSet &facts);

/// The rule's condition in words, such as "enable_eplb and ...".
std::string printCondition(const Rule &rule, const RuleSet &ruleSet);
std::string printCondition(const BatchRule &rule, const RuleSet &ruleSet);

/// The rule set as a Markdown table of rule, condition and order.
std::string printRuleSet(const RuleSet &ruleSet);

/// Its rules for two batches, as a table of rule, condition and batches.
std::string printBatchRules(const RuleSet &ruleSet);

} // namespace moe::policy

#endif // MOE_MLIR_POLICY_RULESET_H
