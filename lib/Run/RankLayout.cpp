//===- RankLayout.cpp - How ranks share a layer ---------------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moe-mlir/Run/RankLayout.h"

#include "moe-mlir/Support/Format.h"

#include <algorithm>
#include <set>

using namespace moe;
using namespace moe::run;

Result<RankLayout> moe::run::readLayout(const Descriptor &descriptor) {
  RankLayout layout;
  if (descriptor.numRanks == 1)
    return layout;
  try {
    const nlohmann::ordered_json &parallel = descriptor.decision.at("parallel");
    layout.tp = parallel.at("tensor_parallel_size").get<int64_t>();
    layout.pcp = parallel.at("pcp_size").get<int64_t>();
    layout.dp = parallel.at("dp_size").get<int64_t>();
    layout.usesExpertParallel = parallel.at("use_ep").get<bool>();
    layout.isSequenceParallel = parallel.at("is_sequence_parallel").get<bool>();
    layout.shardsSharedExperts =
        parallel.at("shared_experts_sharded").get<bool>();
    layout.hasEplb = parallel.at("enable_eplb").get<bool>();
    layout.redundantExperts =
        parallel.at("num_redundant_experts").get<int64_t>();
    layout.placement =
        parseName<PlacementKind>(
            parallel.at("expert_placement_strategy").get<std::string>())
            .value();
  } catch (const std::exception &error) {
    return badInput("descriptor of '" + descriptor.name +
                    "': expected 'decision' to say how ranks share "
                    "the layer but got: " +
                    error.what());
  }
  if (layout.numRanks() != descriptor.numRanks)
    return badInput(format(
        "descriptor of '%s': expected %lld ranks of tp %lld, pcp %lld "
        "and dp %lld but got %lld",
        descriptor.name.c_str(), static_cast<long long>(layout.numRanks()),
        static_cast<long long>(layout.tp), static_cast<long long>(layout.pcp),
        static_cast<long long>(layout.dp),
        static_cast<long long>(descriptor.numRanks)));
  return layout;
}

int64_t moe::run::countRows(const RankLayout &layout,
                            const std::vector<int64_t> &tokens) {
  int64_t rows = 0;
  for (int64_t rank = 0; rank < layout.numRanks(); ++rank)
    rows += layout.rowsOf(rank) == rank ? tokens[rank] : 0;
  return rows;
}

int64_t moe::run::findFirstRow(const RankLayout &layout,
                               const std::vector<int64_t> &tokens,
                               int64_t rank) {
  int64_t firstRow = 0;
  for (int64_t other = 0; other < layout.rowsOf(rank); ++other)
    firstRow += layout.rowsOf(other) == other ? tokens[other] : 0;
  return firstRow;
}

/// Ranks that must have equally many tokens: those of tp hold the same ones,
/// those of pcp slices of equal length.
static int64_t firstOfEqual(const RankLayout &layout, int64_t rank) {
  int64_t first = layout.rowsOf(rank);
  int64_t pcpRank = first / layout.tp % layout.pcp;
  return first - pcpRank * layout.tp;
}

std::vector<int64_t> moe::run::dealRows(const RankLayout &layout,
                                        int64_t rows) {
  // Groups of equal ranks get rows in turn, the first ones the remainder.
  const int64_t ranks = layout.numRanks();
  std::set<int64_t> groups;
  for (int64_t rank = 0; rank < ranks; ++rank)
    groups.insert(firstOfEqual(layout, rank));
  std::vector<int64_t> tokens(ranks, 0);
  const int64_t numGroups = int64_t(groups.size());
  const int64_t units = rows / layout.pcp;
  int64_t index = 0;
  for (int64_t group : groups) {
    const int64_t count = units / numGroups + (index++ < units % numGroups);
    for (int64_t rank = 0; rank < ranks; ++rank)
      if (firstOfEqual(layout, rank) == group)
        tokens[rank] = count;
  }
  return tokens;
}

Status moe::run::checkShares(const RankLayout &layout,
                             const std::vector<int64_t> &tokens) {
  const int64_t ranks = layout.numRanks();
  if (int64_t(tokens.size()) != ranks)
    return badInput(
        format("expected %lld numbers, one for each rank, but got %zu",
               static_cast<long long>(ranks), tokens.size()));
  for (int64_t rank = 0; rank < ranks; ++rank)
    if (int64_t first = firstOfEqual(layout, rank);
        tokens[rank] != tokens[first])
      return badInput(
          format("expected ranks %lld and %lld, which share tokens, to have "
                 "equally many but got %lld and %lld",
                 static_cast<long long>(first), static_cast<long long>(rank),
                 static_cast<long long>(tokens[first]),
                 static_cast<long long>(tokens[rank])));
  return {};
}

Status moe::run::checkTokensPerRank(const Descriptor &descriptor,
                                    const std::vector<int64_t> &tokens) {
  for (size_t rank = 0; rank < tokens.size(); ++rank)
    if ((descriptor.maxNumTokens && tokens[rank] > *descriptor.maxNumTokens) ||
        (descriptor.staticNumTokens &&
         tokens[rank] != *descriptor.staticNumTokens))
      return badInput(format(
          "expected %s%lld tokens on a rank, which '%s' was compiled for, but "
          "got %lld on rank %zu",
          descriptor.staticNumTokens ? "" : "at most ",
          static_cast<long long>(descriptor.staticNumTokens
                                     ? *descriptor.staticNumTokens
                                     : *descriptor.maxNumTokens),
          descriptor.name.c_str(), static_cast<long long>(tokens[rank]), rank));
  return {};
}
