//===- Memory.cpp - What the machine has room for -------------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Memory.h"

#include "moe-mlir/Run/Inputs.h"
#include "moe-mlir/Support/Format.h"

#include <algorithm>
#include <fstream>
#include <string>

using namespace moe;
using namespace moe::run;
using namespace moe::tools;

/// The number after `key` in a file of lines "key number ...".
static std::optional<int64_t> readKey(const std::string &path,
                                      const std::string &key) {
  std::ifstream file(path);
  std::string word;
  int64_t number;
  for (std::string line; file >> word;) {
    if (word == key && file >> number)
      return number;
    std::getline(file, line);
  }
  return std::nullopt;
}

static std::optional<int64_t> readNumber(const std::string &path) {
  std::ifstream file(path);
  int64_t number;
  if (file >> number)
    return number;
  return std::nullopt;
}

/// What a control group (version 2) leaves; its page cache can be given back.
static std::optional<int64_t> getGroupMemory(const std::string &folder) {
  std::optional<int64_t> limit = readNumber(folder + "/memory.max");
  std::optional<int64_t> current = readNumber(folder + "/memory.current");
  if (!limit || !current)
    return std::nullopt;
  int64_t cache = readKey(folder + "/memory.stat", "inactive_file").value_or(0);
  return std::max<int64_t>(0, *limit - *current + cache);
}

std::optional<int64_t> moe::tools::getAvailableMemory() {
  std::optional<int64_t> available;
  auto take = [&](std::optional<int64_t> bytes) {
    if (bytes)
      available = std::min(available.value_or(*bytes), *bytes);
  };
  if (auto kilobytes = readKey("/proc/meminfo", "MemAvailable:"))
    take(*kilobytes * 1024);
  std::ifstream groups("/proc/self/cgroup");
  for (std::string line; std::getline(groups, line);)
    if (line.compare(0, 3, "0::") == 0)
      // Limits hold for a group and for all that it is inside of.
      for (std::string group = line.substr(3);;
           group.erase(group.find_last_of('/'))) {
        if (group == "/")
          group.clear();
        take(getGroupMemory("/sys/fs/cgroup" + group));
        if (group.empty())
          break;
      }
  return available;
}

Status moe::tools::checkMemory(const RunOptions &options,
                               const Artefact &artefact, int64_t T,
                               const std::vector<int64_t> &tokensPerRank) {
  const LayerSpec &layer = artefact.descriptor().layer;
  MemoryNeed need = estimateMemory(artefact, T, tokensPerRank);
  if (options.check) {
    // Rows of hidden states, output and two arrays of scores in float64.
    const double rows =
        static_cast<double>(std::min(T, options.checkRows.value_or(T)));
    need.total += 8 * rows * 2 *
                  static_cast<double>(layer.hiddenSize + layer.numRouted());
  }
  std::optional<int64_t> available = getAvailableMemory();
  // A machine without any room left is of no use to its other users.
  constexpr double share = 0.95;
  const double usable = share * static_cast<double>(available.value_or(0));
  if (!available || need.total <= usable)
    return {};
  return failed("expected " + formatBytes(need.total) + " of memory for " +
                count(T, "row") + " of '" + layer.name + "' (" +
                formatBytes(need.weights) + " of them weights) but " +
                formatBytes(usable) +
                " can be used (95 % of what is available)" +
                (options.kind == SourceKind::Artefact
                     ? "; compile a smaller layer with --experts N"
                     : "; --experts N makes a smaller layer"));
}
