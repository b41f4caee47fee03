//===- MachineJson.cpp - Reading machines from JSON -----------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "MachineJson.h"

#include <fstream>
#include <sstream>

using namespace moe::policy;

std::optional<std::string> moe::policy::readFile(const std::string &path,
                                                 std::string &error) {
  std::ifstream file(path);
  std::ostringstream text;
  if (file && (text << file.rdbuf()))
    return text.str();
  error = "cannot read machine file '" + path + "'";
  return std::nullopt;
}

std::optional<nlohmann::json> moe::policy::parseObject(std::string_view text,
                                                       const std::string &what,
                                                       std::string &error) {
  auto json = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (json.is_object())
    return json;
  error = "expected a " + what + " as one JSON object but got " +
          (json.is_discarded() ? "malformed JSON" : json.type_name());
  return std::nullopt;
}

bool moe::policy::readName(const nlohmann::json &json, const std::string &what,
                           std::string &name, std::string &error) {
  auto found = json.find("name");
  if (found != json.end() && found->is_string()) {
    name = found->get<std::string>();
    return true;
  }
  error = "expected a string 'name' in the " + what;
  return false;
}

bool moe::policy::readNumber(const nlohmann::json &json,
                             const std::string &what, const char *key,
                             bool positive, double maximum, double &value,
                             std::string &error) {
  auto found = json.find(key);
  bool isNumber = found != json.end() && found->is_number();
  value = isNumber ? found->get<double>() : -1.0;
  if (std::isfinite(value) && value >= 0 && value <= maximum &&
      !(positive && value == 0))
    return true;
  error = std::string("expected ") +
          (positive ? "a positive" : "a non-negative") + " number '" + key +
          "'" + (maximum < HUGE_VAL ? " of at most 1" : "") + " in " + what +
          " but got " + (found == json.end() ? "none" : found->dump());
  return false;
}

bool moe::policy::checkMembers(const nlohmann::json &json,
                               const std::string &what,
                               const std::vector<std::string> &known,
                               std::string &error) {
  for (auto &item : json.items()) {
    if (std::find(known.begin(), known.end(), item.key()) != known.end())
      continue;
    error = "unknown member '" + item.key() + "' in " + what;
    return false;
  }
  return true;
}
