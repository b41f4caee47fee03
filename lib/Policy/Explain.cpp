//===- Explain.cpp - A decision for people and programs -------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moe-mlir/Policy/Explain.h"

#include <algorithm>
#include <nlohmann/json.hpp>

using namespace moe;
using namespace moe::policy;

/// The rule and reason that apply to the T that is explained, if one is.
static std::string getRule(const Explanation &e) {
  return e.tokens ? e.decision.at(*e.tokens).rule : e.decision.rule();
}
static std::string getReason(const Explanation &e) {
  return e.tokens ? e.decision.at(*e.tokens).reason : e.decision.reason();
}
static std::string getSuggestion(const Explanation &e) {
  return e.tokens ? e.decision.at(*e.tokens).suggestion
                  : e.decision.suggestion();
}

static std::string printValue(const PropertyValue &value) {
  if (auto *flag = std::get_if<bool>(&value))
    return *flag ? "yes" : "no";
  if (auto *number = std::get_if<int64_t>(&value))
    return std::to_string(*number);
  return std::get<std::string>(value);
}

static void addRow(std::string &text, const std::string &key, size_t width,
                   const std::string &value) {
  text += "  " + key + std::string(width - std::min(width, key.size()), ' ') +
          "  " + value + "\n";
}

static std::string describeBatches(const BatchDecision &batches) {
  if (!batches.twoBatches)
    return "one";
  return "two where the rank with most tokens has at least " +
         std::to_string(batches.prefillThreshold) + ", or " +
         std::to_string(batches.decodeThreshold) +
         " of decodes alone; one below (decided in every call)";
}

std::string moe::policy::explainText(const Explanation &e) {
  const Decision &decision = e.decision;
  std::string text = e.layer + ": when the shared experts run, by --schedule=" +
                     decision.ruleSet + "\n";
  constexpr size_t width = 12;
  auto row = [&](const char *key, const std::string &value) {
    if (!value.empty())
      addRow(text, key, width, value);
  };
  auto order = [](const Outcome &outcome) {
    return std::string(name(outcome.order));
  };
  if (e.tokens)
    row("order",
        order(decision.at(*e.tokens)) + " at T = " + std::to_string(*e.tokens));
  if (decision.dependsOnTokens()) {
    std::string threshold = std::to_string(*decision.threshold);
    row(e.tokens ? "for any T" : "order",
        order(decision.low) + " where T <= " + threshold + ", " +
            order(decision.high) + " above (decided in every call)");
  } else if (!e.tokens) {
    row("order", order(decision.low) + ", whatever T is");
  }
  row("rule", getRule(e));
  row("reason", getReason(e));
  row("to change it", getSuggestion(e));

  if (e.batches) {
    row("batches", describeBatches(*e.batches));
    row("rule", e.batches->rule);
    row("reason", e.batches->reason);
    row("to change it", e.batches->suggestion);
  }

  std::string streams;
  for (const std::string &stream : e.streams)
    streams += (streams.empty() ? "" : ", ") + stream;
  row("streams", streams);
  row("events", std::to_string(e.events));
  row("workspace", e.workspaceBytes
                       ? std::to_string(*e.workspaceBytes) + " bytes"
                       : std::string("depends on T"));
  row("capturable",
      e.capturable ? "yes" : "no: the host waits for the exchange of counts");
  for (const std::string &warning : e.warnings)
    row("warning", warning);

  text += "\nparallel configuration\n";
  auto properties = listProperties(e.properties);
  size_t longest = 0;
  for (const auto &[name, value] : properties)
    longest = std::max(longest, name.size());
  for (const auto &[name, value] : properties)
    addRow(text, name, longest, printValue(value));
  return text;
}

static nlohmann::ordered_json listBatches(const BatchDecision &batches) {
  nlohmann::ordered_json json;
  json["two"] = batches.twoBatches;
  if (batches.twoBatches) {
    json["decode_token_threshold"] = batches.decodeThreshold;
    json["prefill_token_threshold"] = batches.prefillThreshold;
  }
  json["rule"] = batches.rule;
  json["reason"] = batches.reason;
  return json;
}

std::string moe::policy::explainJson(const Explanation &e) {
  const Decision &decision = e.decision;
  nlohmann::ordered_json json;
  json["layer"] = e.layer;
  if (e.tokens || !decision.dependsOnTokens())
    json["order"] = name(decision.at(e.tokens.value_or(0)).order);
  if (decision.dependsOnTokens()) {
    json["order_at_or_below_threshold"] = name(decision.low.order);
    json["order_above_threshold"] = name(decision.high.order);
    json["threshold"] = *decision.threshold;
  }
  json["rule"] = getRule(e);
  json["reason"] = getReason(e);
  if (e.batches)
    json["batches"] = listBatches(*e.batches);
  nlohmann::ordered_json parallel = nlohmann::ordered_json::object();
  for (const auto &[name, value] : listProperties(e.properties))
    std::visit([&, &name = name](const auto &v) { parallel[name] = v; }, value);
  json["parallel"] = std::move(parallel);
  json["streams"] = e.streams;
  json["events"] = e.events;
  json["workspace_bytes"] = e.workspaceBytes
                                ? nlohmann::ordered_json(*e.workspaceBytes)
                                : nlohmann::ordered_json(nullptr);
  json["capturable"] = e.capturable;
  // Names come from users' files; bytes that are not UTF-8 are replaced.
  return json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}
