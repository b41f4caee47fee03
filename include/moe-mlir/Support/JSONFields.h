//===- JSONFields.h - Strict reading of JSON objects ---------- -*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef MOE_MLIR_SUPPORT_JSONFIELDS_H
#define MOE_MLIR_SUPPORT_JSONFIELDS_H

#include "moe-mlir/Support/Result.h"
#include <cstdint>
#include <nlohmann/json.hpp>
#include <set>
#include <vector>

namespace moe {

/// Reads the fields of one JSON object and keeps the first error: a missing
/// key, a value of the wrong kind, and, at the end, a key that nobody asked
/// for. After an error all further reads do nothing. Never throws.
class JSONFields {
public:
  /// `where` names the object in messages, such as "layer.routing".
  JSONFields(const nlohmann::json &object, std::string where);

  void read(const char *key, std::string &value);
  void read(const char *key, int64_t &value);
  void read(const char *key, double &value);
  void read(const char *key, bool &value);
  void read(const char *key, std::vector<std::string> &value);

  /// Reads the name of one of the enumerators.
  template <typename Enum>
  void readEnum(const char *key, Enum &value,
                const std::vector<Enum> &enumerators) {
    std::string text;
    read(key, text);
    if (!message.empty())
      return;
    std::string expected;
    for (Enum candidate : enumerators) {
      if (text == name(candidate)) {
        value = candidate;
        return;
      }
      expected += (expected.empty() ? "'" : ", '");
      expected += name(candidate);
      expected += "'";
    }
    fail(key, "one of " + expected, "'" + text + "'");
  }

  /// The value under `key`, an object or an array; null after an error.
  const nlohmann::json *object(const char *key);
  const nlohmann::json *array(const char *key);

  /// Records an error of a nested reader.
  void take(const Status &status);

  /// The first error, or an error if a key is left over.
  Status finish();

private:
  const nlohmann::json *get(const char *key);
  void fail(const char *key, const std::string &expected,
            const std::string &found);

  const nlohmann::json &source;
  std::string where;
  std::string message;
  std::set<std::string> seen;
};

/// Parses a text; the message says at which byte it is not JSON.
Result<nlohmann::json> parseJSON(const std::string &text);

/// What a value is, for messages: `"abc"`, `3`, `an object`, ...
std::string describe(const nlohmann::json &json);

} // namespace moe

#endif // MOE_MLIR_SUPPORT_JSONFIELDS_H
