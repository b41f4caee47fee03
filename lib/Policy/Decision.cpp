//===- Decision.cpp - When the shared experts run -------------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moe-mlir/Policy/Decision.h"

#include <algorithm>
#include <cstdio>

using namespace moe;
using namespace moe::policy;

std::string Decision::rule() const {
  if (!dependsOnTokens())
    return low.rule;
  return low.rule + " where T <= " + std::to_string(*threshold) + ", " +
         high.rule + " above";
}

std::string Decision::reason() const {
  if (!dependsOnTokens())
    return low.reason;
  return low.reason + "; otherwise " + high.reason;
}

std::string Decision::suggestion() const {
  if (!dependsOnTokens() || high.suggestion.empty())
    return low.suggestion;
  if (low.suggestion.empty() || low.suggestion == high.suggestion)
    return high.suggestion;
  return low.suggestion + "; " + high.suggestion;
}

namespace {
/// Everything that one decision reads, and the two ends of the T axis.
class Decider {
public:
  Decider(const ParallelProperties &properties, const KernelTraits &kernel,
          const Platform &platform, const RuleSet &ruleSet,
          const DecisionOptions &options)
      : properties(properties), platform(platform), ruleSet(ruleSet),
        options(options) {
    auto contains = [&](const std::vector<All2AllBackend> &backends) {
      return std::find(backends.begin(), backends.end(), properties.backend) !=
             backends.end();
    };
    facts.set(Fact::EnableEplb, properties.enableEplb);
    facts.set(Fact::EplbSafeBackend, contains(ruleSet.eplbSafeBackends));
    facts.set(Fact::UseAll2AllKernels, properties.useAll2AllKernels);
    facts.set(Fact::UseFINVLTwoSidedKernels,
              properties.uses(All2AllBackend::flashinfer_nvlink_two_sided));
    facts.set(Fact::AsyncBackend, contains(ruleSet.asyncBackends));
    facts.set(Fact::ModularKernel, kernel.modular);
    facts.set(Fact::SharedExpertsSharded, properties.sharedExpertsSharded);
    facts.set(Fact::AuxStream, platform.hasAuxStream);
    facts.set(Fact::SharedExpertsStreamEnabled,
              !options.disableSharedExpertsStream);
    facts.set(Fact::CostKnown, options.cost.has_value());
  }

  Decision decide(std::optional<int64_t> tokens);

private:
  RuleHit findRule(bool fewTokens) {
    facts.set(Fact::FewTokens, fewTokens);
    return findFirstRule(ruleSet, facts);
  }
  Outcome getOutcome(const RuleHit &hit) const;
  std::string fillIn(std::string text) const;

  /// The orders that the target can run with right results, apart from what
  /// the rules before the cost model have ruled out.
  std::vector<Order> getAdmissibleOrders() const;
  void decideByCost(std::optional<int64_t> tokens, const std::string &rule,
                    Decision &decision) const;

  const ParallelProperties &properties;
  const Platform &platform;
  const RuleSet &ruleSet;
  const DecisionOptions &options;
  FactSet facts;
};
} // namespace

static std::string join(const std::vector<All2AllBackend> &backends) {
  std::string text;
  for (All2AllBackend backend : backends)
    text.append(text.empty() ? "" : ", ").append(name(backend));
  return text.empty() ? "none" : text;
}

/// Writes values where the text has their keys.
static std::string
replaceKeys(std::string text,
            const std::vector<std::pair<const char *, std::string>> &values) {
  for (const auto &[key, value] : values) {
    // Past what was filled in, so that a value may contain a key.
    for (size_t at = text.find(key); at != std::string::npos;
         at = text.find(key, at + value.size()))
      text.replace(at, std::string(key).size(), value);
  }
  return text;
}

std::string Decider::fillIn(std::string text) const {
  return replaceKeys(std::move(text),
                     {{"{backend}", name(properties.backend)},
                      {"{platform}", platform.name},
                      {"{threshold}", std::to_string(options.threshold)},
                      {"{eplb_safe}", join(ruleSet.eplbSafeBackends)},
                      {"{async}", join(ruleSet.asyncBackends)}});
}

Outcome Decider::getOutcome(const RuleHit &hit) const {
  if (!hit.rule)
    return {Order::NoOverlap, ruleSet.name + " without a rule",
            "no rule of '" + ruleSet.name + "' holds", ""};
  return {hit.rule->outcome.value_or(Order::NoOverlap),
          ruleSet.name + " " + hit.rule->name, fillIn(hit.clause->reason),
          fillIn(hit.clause->suggestion)};
}

std::vector<Order> Decider::getAdmissibleOrders() const {
  std::vector<Order> orders = {Order::NoOverlap};
  if (facts.holds(Fact::AuxStream) &&
      facts.holds(Fact::SharedExpertsStreamEnabled))
    orders.push_back(Order::MultiStreamOverlapped);
  if (facts.holds(Fact::ModularKernel) &&
      facts.holds(Fact::UseAll2AllKernels) && facts.holds(Fact::AsyncBackend))
    orders.push_back(Order::MKInternalOverlapped);
  return orders;
}

static std::string formatNumber(const char *format, double value) {
  char buffer[64];
  std::snprintf(buffer, sizeof(buffer), format, value);
  return buffer;
}

void Decider::decideByCost(std::optional<int64_t> tokens,
                           const std::string &rule, Decision &decision) const {
  const MachineModel &machine = options.cost->machine;
  LayerShape shape = shardLayer(options.cost->layer, properties);
  std::vector<Order> orders = getAdmissibleOrders();
  std::string source = "the cost model of '" + machine.name + "'";
  decision.low.rule = decision.high.rule = ruleSet.name + " " + rule;

  if (orders.size() == 1) {
    decision.low.order = Order::NoOverlap;
    decision.low.reason = "no other order can run here";
    // Without a stream the suggestions of vLLM's last rule apply.
    bool stream = facts.holds(Fact::AuxStream);
    decision.low.suggestion = stream ? "drop --disable-shared-experts-stream"
                                     : "compile for a target that has streams";
    decision.high = decision.low;
    return;
  }
  if (tokens) {
    std::string times;
    double best = 0;
    for (Order order : orders) {
      double time = estimateTime(order, shape, properties, machine, *tokens);
      if (times.empty() || time < best) {
        best = time;
        decision.low.order = order;
      }
      times.append(times.empty() ? "" : ", ").append(name(order));
      times += " " + formatNumber("%.1f us", time * 1e6);
    }
    decision.low.reason =
        source + " at T = " + std::to_string(*tokens) + " gives " + times;
    decision.high = decision.low;
    return;
  }
  ThresholdChoice choice = chooseThreshold(orders, shape, properties, machine);
  decision.threshold = choice.threshold;
  decision.low.order = choice.below;
  decision.high.order = choice.above;
  std::string quality;
  if (choice.meanLoss > 0)
    quality = " (kept of " + std::to_string(choice.numIntervals) +
              " intervals; slower than the cheapest order by " +
              formatNumber("%.2f %%", choice.meanLoss * 100) +
              " on average and " +
              formatNumber("%.2f %%", choice.worstLoss * 100) + " at worst)";
  if (!choice.threshold) {
    decision.low.reason = "cheapest for every T by " + source + quality;
    decision.high = decision.low;
    return;
  }
  std::string threshold = std::to_string(*choice.threshold);
  decision.low.reason =
      "cheapest where T <= " + threshold + " by " + source + quality;
  decision.high.reason =
      "cheapest where T > " + threshold + " by " + source + quality;
}

Decision Decider::decide(std::optional<int64_t> tokens) {
  Decision decision;
  decision.ruleSet = ruleSet.name;
  // T is never negative, so below a negative threshold there is nothing.
  bool lowReachable =
      tokens ? *tokens <= options.threshold : options.threshold >= 0;
  bool highReachable = tokens ? *tokens > options.threshold : true;
  RuleHit low = findRule(/*fewTokens=*/lowReachable);
  RuleHit high = findRule(/*fewTokens=*/!highReachable);

  // A rule that leaves the choice to the cost model brings its own threshold,
  // which stands in for the user's.
  if ((low.rule && !low.rule->outcome) || (high.rule && !high.rule->outcome)) {
    const Rule *rule = low.rule && !low.rule->outcome ? low.rule : high.rule;
    decideByCost(tokens, rule->name, decision);
    return decision;
  }
  decision.low = getOutcome(low);
  decision.high = getOutcome(high);
  if (decision.low.order == decision.high.order)
    decision.high = decision.low;
  else
    decision.threshold = options.threshold;
  return decision;
}

Decision moe::policy::decideOrder(const ParallelProperties &properties,
                                  const KernelTraits &kernel,
                                  const Platform &platform,
                                  std::optional<int64_t> tokens,
                                  const RuleSet &ruleSet,
                                  const DecisionOptions &options) {
  if (properties.hasSharedExperts)
    return Decider(properties, kernel, platform, ruleSet, options)
        .decide(tokens);
  Decision decision;
  decision.ruleSet = ruleSet.name;
  decision.low = {Order::None, "no shared experts",
                  "the layer has no shared experts to overlap", ""};
  decision.high = decision.low;
  return decision;
}

BatchDecision moe::policy::decideBatches(const ParallelProperties &p,
                                         const KernelTraits &kernel,
                                         const RuleSet &ruleSet) {
  BatchDecision decision;
  FactSet facts;
  facts.set(Fact::EnableDbo, p.enableDbo);
  facts.set(Fact::Exchange, p.transport != Transport::none);
  facts.set(Fact::UseAll2AllKernels, p.useAll2AllKernels);
  facts.set(Fact::ModularKernel, kernel.modular);
  facts.set(Fact::DboBackend,
            std::find(ruleSet.dboBackends.begin(), ruleSet.dboBackends.end(),
                      p.backend) != ruleSet.dboBackends.end());
  BatchRuleHit hit = findFirstBatchRule(ruleSet, facts);
  if (!hit.rule) {
    decision.rule = ruleSet.name + " without a rule";
    decision.reason = "no rule of '" + ruleSet.name + "' for batches holds";
    return decision;
  }
  decision.twoBatches = hit.rule->twoBatches;
  decision.decodeThreshold = p.dboDecodeTokenThreshold;
  decision.prefillThreshold = p.dboPrefillTokenThreshold;
  decision.rule = ruleSet.name + " " + hit.rule->name;
  auto fillIn = [&](const std::string &text) {
    return replaceKeys(
        text, {{"{backend}", name(p.backend)},
               {"{dbo}", join(ruleSet.dboBackends)},
               {"{decode}", std::to_string(p.dboDecodeTokenThreshold)},
               {"{prefill}", std::to_string(p.dboPrefillTokenThreshold)}});
  };
  decision.reason = fillIn(hit.clause->reason);
  decision.suggestion = fillIn(hit.clause->suggestion);
  return decision;
}
