//===- Artefact.cpp - A compiled layer ------------------------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moe-mlir/Run/Artefact.h"

#include <utility>

using namespace moe;
using namespace moe::run;

Artefact::Artefact(Artefact &&other)
    : handle(std::exchange(other.handle, nullptr)),
      description(std::move(other.description)) {}

Artefact::~Artefact() { moert_program_unload(handle); }

Status Artefact::load(const std::string &path, const std::string &shownAs) {
  if (moert_program_load(path.c_str(), &handle) != MOERT_SUCCESS)
    return badInput(moert_last_error(nullptr));
  return readDescriptor(moert_program_descriptor(handle), shownAs, description);
}

std::string Artefact::orderAt(int64_t T) const {
  const nlohmann::ordered_json &decision = description.decision;
  auto text = [&](const char *key) {
    auto field = decision.find(key);
    return field != decision.end() && field->is_string()
               ? field->get<std::string>()
               : std::string();
  };
  auto threshold = decision.find("threshold");
  if (threshold == decision.end() || !threshold->is_number_integer())
    return text("order");
  return text(T <= threshold->get<int64_t>() ? "order_at_or_below_threshold"
                                             : "order_above_threshold");
}

int64_t Artefact::workspaceBytes(int64_t T, int64_t allRows) const {
  return static_cast<int64_t>(moert_program_workspace_size(handle, T, allRows));
}
