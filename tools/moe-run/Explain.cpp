//===- Explain.cpp - A compiled layer's decision --------------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Compile.h"
#include "moe-mlir/Support/Format.h"

#include <cstdio>

using namespace moe;
using namespace moe::run;
using namespace moe::tools;
using nlohmann::ordered_json;

static std::string textOf(const ordered_json &value) {
  if (value.is_string())
    return value.get<std::string>();
  if (value.is_boolean())
    return value.get<bool>() ? "yes" : "no";
  if (value.is_array()) {
    std::string text;
    for (const ordered_json &item : value)
      text += (text.empty() ? "" : ", ") + textOf(item);
    return text;
  }
  return value.dump();
}

static std::string explainText(const Artefact &artefact,
                               const ordered_json &decision,
                               const RunOptions &options) {
  auto get = [&](const char *key) {
    auto field = decision.find(key);
    return field == decision.end() ? std::string() : textOf(*field);
  };
  std::string text = get("layer") + ": when the shared experts run, as it was "
                                    "compiled\n";
  Table table("ll");
  auto row = [&](const char *key, const std::string &value) {
    if (!value.empty())
      table.add({key, value});
  };
  if (options.numTokens)
    row("order", artefact.orderAt(*options.numTokens) +
                     " at T = " + std::to_string(*options.numTokens));
  if (decision.contains("threshold"))
    row(options.numTokens ? "for any T" : "order",
        get("order_at_or_below_threshold") + " where T <= " + get("threshold") +
            ", " + get("order_above_threshold") +
            " above (decided in every call)");
  else if (!options.numTokens)
    row("order", get("order") + ", whatever T is");
  row("rule", get("rule"));
  row("reason", get("reason"));
  if (auto batches = decision.find("batches"); batches != decision.end()) {
    auto of = [&](const char *key) {
      return textOf(batches->value(key, ordered_json("")));
    };
    row("batches", batches->value("two", false)
                       ? "two where the rank with most tokens has at least " +
                             of("prefill_token_threshold") + ", or " +
                             of("decode_token_threshold") +
                             " of decodes alone; one below (decided in every "
                             "call)"
                       : "one");
    row("rule", of("rule"));
    row("reason", of("reason"));
  }
  row("streams", get("streams"));
  row("events", get("events"));
  row("workspace", decision["workspace_bytes"].is_null()
                       ? "depends on T"
                       : get("workspace_bytes") + " bytes");
  row("capturable", get("capturable"));
  text += table.print(2);

  auto parallel = decision.find("parallel");
  if (parallel == decision.end() || !parallel->is_object())
    return text;
  Table properties("ll");
  for (const auto &item : parallel->items())
    properties.add({item.key(), textOf(item.value())});
  return text + "\nparallel configuration\n" + properties.print(2);
}

Status moe::tools::explain(const Artefact &artefact,
                           const RunOptions &options) {
  if (options.numTokens)
    MOE_TRY(
        checkTokens(artefact.descriptor(), *options.numTokens, "--num-tokens"));
  ordered_json decision = artefact.descriptor().decision;
  if (!decision.contains("workspace_bytes"))
    decision["workspace_bytes"] = nullptr;
  if (options.numTokens) {
    decision["order"] = artefact.orderAt(*options.numTokens);
    decision["workspace_bytes"] = artefact.workspaceBytes(
        *options.numTokens,
        *options.numTokens * artefact.descriptor().numRanks);
  }
  std::string text =
      options.explain == "json"
          ? decision.dump(-1, ' ', false,
                          ordered_json::error_handler_t::replace) +
                "\n"
          : explainText(artefact, decision, options);
  std::fputs(text.c_str(), stdout);
  return {};
}
