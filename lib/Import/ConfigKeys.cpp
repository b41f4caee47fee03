//===- ConfigKeys.cpp - Reading keys of a config.json ---------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "ConfigKeys.h"
#include "moe-mlir/Support/JSONFields.h"

using namespace moe;
using nlohmann::json;

const json *ConfigKeys::find(const Keys &keys, std::string *key) const {
  for (const std::string &candidate : keys) {
    auto found = text.find(candidate);
    if (found == text.end() || found->is_null())
      continue;
    if (key)
      *key = candidate;
    return &*found;
  }
  return nullptr;
}

void ConfigKeys::fail(const std::string &key, const std::string &expected,
                      const std::string &found) {
  if (message.empty())
    message = "key '" + key + "': expected " + expected + " but got " + found;
}

void ConfigKeys::failMissing(const Keys &keys) {
  std::string quoted;
  for (const std::string &key : keys)
    quoted += (quoted.empty() ? "'" : " or '") + key + "'";
  if (message.empty())
    message = "expected key " + quoted + " but it is missing";
}

int64_t ConfigKeys::sizeOf(const std::string &key, const json &value,
                           int64_t minimum) {
  std::string expected = "an integer of at least " + std::to_string(minimum);
  if (!value.is_number_integer()) {
    fail(key, expected, describe(value));
    return minimum;
  }
  int64_t size = value.get<int64_t>();
  // Sizes multiply, and products stay far from the end of int64.
  constexpr int64_t maximum = INT32_MAX;
  if (size < minimum || size > maximum) {
    fail(key, size < minimum ? expected : "an integer of at most 2147483647",
         describe(value));
    return minimum;
  }
  return size;
}

int64_t ConfigKeys::readSize(const Keys &keys, int64_t minimum,
                             std::optional<int64_t> otherwise) {
  std::string key;
  const json *value = find(keys, &key);
  if (!value) {
    if (otherwise)
      return *otherwise;
    failMissing(keys);
    return minimum;
  }
  if (listIndex && value->is_array()) {
    size_t index = static_cast<size_t>(*listIndex);
    if (index >= value->size()) {
      fail(key, "a value for layer " + std::to_string(*listIndex),
           describe(*value));
      return minimum;
    }
    return sizeOf(key + "[" + std::to_string(index) + "]", (*value)[index],
                  minimum);
  }
  return sizeOf(key, *value, minimum);
}

bool ConfigKeys::readFlag(const Setting<bool> &setting) {
  std::string key;
  const json *value = find(setting.keys, &key);
  if (!value)
    return setting.value;
  if (!value->is_boolean()) {
    fail(key, "true or false", describe(*value));
    return setting.value;
  }
  return value->get<bool>();
}

double ConfigKeys::readNumber(const Setting<double> &setting) {
  std::string key;
  const json *value = find(setting.keys, &key);
  if (!value)
    return setting.value;
  if (!value->is_number()) {
    fail(key, "a number", describe(*value));
    return setting.value;
  }
  return value->get<double>();
}

std::string ConfigKeys::readText(const std::string &key,
                                 const std::string &otherwise) {
  const json *value = find({key});
  if (!value)
    return otherwise;
  if (!value->is_string()) {
    fail(key, "a string", describe(*value));
    return otherwise;
  }
  return value->get<std::string>();
}

std::vector<int64_t> ConfigKeys::readIndices(const std::string &key) {
  std::vector<int64_t> indices;
  const json *value = find({key});
  if (!value)
    return indices;
  if (!value->is_array()) {
    fail(key, "an array of layer indices", describe(*value));
    return indices;
  }
  for (const json &element : *value)
    indices.push_back(sizeOf(key, element, 0));
  return indices;
}
