//===- ConfigKeys.h - Reading keys of a config.json ----------- -*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef MOE_MLIR_LIB_IMPORT_CONFIGKEYS_H
#define MOE_MLIR_LIB_IMPORT_CONFIGKEYS_H

#include "ModelFamilies.h"
#include <nlohmann/json.hpp>
#include <optional>

namespace moe {

/// Reads keys of one JSON object, of which most may be missing or null. The
/// first error is kept, and reads after it give defaults.
class ConfigKeys {
public:
  explicit ConfigKeys(const nlohmann::json &text) : text(text) {}

protected:
  void fail(const std::string &key, const std::string &expected,
            const std::string &found);
  void failMissing(const Keys &keys);

  /// The first of `keys` that is there and not null; null if none is.
  const nlohmann::json *find(const Keys &keys,
                             std::string *key = nullptr) const;

  /// An integer of at least `minimum`; without `otherwise` it must be there.
  int64_t readSize(const Keys &keys, int64_t minimum,
                   std::optional<int64_t> otherwise = std::nullopt);
  bool readFlag(const Setting<bool> &setting);
  double readNumber(const Setting<double> &setting);
  std::string readText(const std::string &key, const std::string &otherwise);
  /// A list of integers; empty if the key is missing.
  std::vector<int64_t> readIndices(const std::string &key);

  const nlohmann::json &text;
  /// Where sizes may be lists with one value for each layer: which one counts.
  std::optional<int64_t> listIndex;
  std::string message;

private:
  int64_t sizeOf(const std::string &key, const nlohmann::json &value,
                 int64_t minimum);
};

} // namespace moe

#endif // MOE_MLIR_LIB_IMPORT_CONFIGKEYS_H
