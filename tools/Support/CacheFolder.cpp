//===- CacheFolder.cpp - Where the tools keep files -----------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Support/CacheFolder.h"

#include <cstdlib>
#include <utility>

std::string moe::tools::getCacheFolder() {
  const std::pair<const char *, const char *> places[] = {
      {"MOE_CACHE_DIR", ""},
      {"MOE_MLIR_CACHE", ""},
      {"XDG_CACHE_HOME", "/moe-mlir"},
      {"HOME", "/.cache/moe-mlir"}};
  for (auto [variable, folder] : places) {
    const char *value = std::getenv(variable);
    if (value && *value)
      return std::string(value) + folder;
  }
  return "";
}

std::string moe::tools::getMachineFile(const std::string &device) {
  std::string folder = getCacheFolder();
  return folder.empty() ? "" : folder + "/" + device + ".json";
}
