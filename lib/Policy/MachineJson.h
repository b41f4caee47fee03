//===- MachineJson.h - Reading machines from JSON ---------------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// What the readers of one GPU and of many have in common. JSON stays out of the
// public headers.
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_LIB_POLICY_MACHINEJSON_H
#define MOE_MLIR_LIB_POLICY_MACHINEJSON_H

#include "moe-mlir/Policy/CostModel.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

namespace moe::policy {

/// A member of T that is a number in JSON.
template <typename T> struct NumberMember {
  const char *key;
  double T::*value;
  /// Rates divide, so they must not be zero.
  bool positive;
  double maximum;
};

/// The contents of a file; nothing, and `error`, if it cannot be read.
std::optional<std::string> readFile(const std::string &path,
                                    std::string &error);

/// The text as one JSON object; `what` is what it describes.
std::optional<nlohmann::json>
parseObject(std::string_view text, const std::string &what, std::string &error);

bool readName(const nlohmann::json &json, const std::string &what,
              std::string &name, std::string &error);

/// The number `key`, if it is one in [0, maximum] and, where `positive` says
/// so, not zero.
bool readNumber(const nlohmann::json &json, const std::string &what,
                const char *key, bool positive, double maximum, double &value,
                std::string &error);

/// False, and `error`, if there is a member that is not among `known`.
bool checkMembers(const nlohmann::json &json, const std::string &what,
                  const std::vector<std::string> &known, std::string &error);

template <typename T, size_t N>
bool readNumbers(const nlohmann::json &json, const std::string &what,
                 const NumberMember<T> (&members)[N], T &result,
                 std::string &error) {
  return std::all_of(members, members + N, [&](const NumberMember<T> &member) {
    return readNumber(json, what, member.key, member.positive, member.maximum,
                      result.*member.value, error);
  });
}

template <typename T, size_t N>
std::vector<std::string> listKeys(const NumberMember<T> (&members)[N],
                                  std::vector<std::string> keys) {
  for (const NumberMember<T> &member : members)
    keys.push_back(member.key);
  return keys;
}

std::optional<MachineModel> readMachineObject(const nlohmann::json &json,
                                              std::string &error);

struct ClusterModel;
/// True for a description of many GPUs rather than of one.
bool isCluster(const nlohmann::json &json);
std::optional<ClusterModel> readClusterObject(const nlohmann::json &json,
                                              std::string &error);

} // namespace moe::policy

#endif // MOE_MLIR_LIB_POLICY_MACHINEJSON_H
