//===- Ranks.cpp - What each rank holds -----------------------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Ranks.h"

#include "Support/Format.h"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <set>

using namespace moe;
using namespace moe::tools;

//===----------------------------------------------------------------------===//
// Layout and tokens
//===----------------------------------------------------------------------===//

Outcome moe::tools::readLayout(const Descriptor &descriptor,
                               RankLayout &layout) {
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
        policy::parseExpertPlacementStrategy(
            parallel.at("expert_placement_strategy").get<std::string>())
            .value();
  } catch (const std::exception &error) {
    return Outcome::badInput("descriptor of '" + descriptor.name +
                             "': expected 'decision' to say how ranks share "
                             "the layer but got: " +
                             error.what());
  }
  if (layout.numRanks() != descriptor.numRanks)
    return Outcome::badInput(format(
        "descriptor of '%s': expected %lld ranks of tp %lld, pcp %lld "
        "and dp %lld but got %lld",
        descriptor.name.c_str(), static_cast<long long>(layout.numRanks()),
        static_cast<long long>(layout.tp), static_cast<long long>(layout.pcp),
        static_cast<long long>(layout.dp),
        static_cast<long long>(descriptor.numRanks)));
  return {};
}

int64_t moe::tools::countRows(const RankLayout &layout,
                              const std::vector<int64_t> &tokens) {
  int64_t rows = 0;
  for (int64_t rank = 0; rank < layout.numRanks(); ++rank)
    rows += layout.rowsOf(rank) == rank ? tokens[rank] : 0;
  return rows;
}

int64_t moe::tools::findFirstRow(const RankLayout &layout,
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

Outcome moe::tools::findTokensPerRank(const RunOptions &options,
                                      const Descriptor &descriptor,
                                      const RankLayout &layout,
                                      std::optional<int64_t> fileRows,
                                      std::vector<int64_t> &tokens) {
  constexpr int64_t defaultTokens = 16;
  const int64_t ranks = layout.numRanks();
  if (!options.tokensPerRank.empty()) {
    tokens = options.tokensPerRank;
    if (int64_t(tokens.size()) != ranks)
      return Outcome::badInput(
          format("--tokens-per-rank: expected %lld numbers, one for each rank, "
                 "but got %zu",
                 static_cast<long long>(ranks), tokens.size()));
  } else if (options.numTokens || !fileRows) {
    int64_t count = options.numTokens.value_or(defaultTokens);
    if (!options.numTokens && descriptor.staticNumTokens)
      count = *descriptor.staticNumTokens;
    else if (!options.numTokens && descriptor.maxNumTokens)
      count = std::min(count, *descriptor.maxNumTokens);
    tokens.assign(ranks, count);
  } else {
    // Groups of equal ranks get rows in turn, the first ones the remainder.
    std::set<int64_t> groups;
    for (int64_t rank = 0; rank < ranks; ++rank)
      groups.insert(firstOfEqual(layout, rank));
    tokens.assign(ranks, 0);
    int64_t perGroup = layout.pcp, index = 0;
    int64_t units = *fileRows / perGroup;
    for (int64_t group : groups) {
      int64_t count = units / int64_t(groups.size()) +
                      (index++ < units % int64_t(groups.size()));
      for (int64_t rank = 0; rank < ranks; ++rank)
        if (firstOfEqual(layout, rank) == group)
          tokens[rank] = count;
    }
  }
  for (int64_t rank = 0; rank < ranks; ++rank) {
    if (int64_t first = firstOfEqual(layout, rank);
        tokens[rank] != tokens[first])
      return Outcome::badInput(
          format("--tokens-per-rank: expected ranks %lld and %lld, which share "
                 "tokens, to have equally many but got %lld and %lld",
                 static_cast<long long>(first), static_cast<long long>(rank),
                 static_cast<long long>(tokens[first]),
                 static_cast<long long>(tokens[rank])));
    if ((descriptor.maxNumTokens && tokens[rank] > *descriptor.maxNumTokens) ||
        (descriptor.staticNumTokens &&
         tokens[rank] != *descriptor.staticNumTokens))
      return Outcome::badInput(format(
          "expected %s%lld tokens on a rank, which '%s' was compiled for, but "
          "got %lld on rank %lld",
          descriptor.staticNumTokens ? "" : "at most ",
          static_cast<long long>(descriptor.staticNumTokens
                                     ? *descriptor.staticNumTokens
                                     : *descriptor.maxNumTokens),
          descriptor.name.c_str(), static_cast<long long>(tokens[rank]),
          static_cast<long long>(rank)));
  }
  if (fileRows && countRows(layout, tokens) != *fileRows)
    return Outcome::badInput(format(
        "expected the %lld rows of '%s' to be those of all ranks but these "
        "have %lld",
        static_cast<long long>(*fileRows), options.input.c_str(),
        static_cast<long long>(countRows(layout, tokens))));
  return {};
}

//===----------------------------------------------------------------------===//
// Shards
//===----------------------------------------------------------------------===//

namespace {
/// A tensor seen as [A, B, C], and what a rank takes of it: some of A and B,
/// and a range of C.
struct Selection {
  std::vector<int64_t> a, b;
  int64_t numB, numC, firstC, countC;
};

class Sharder {
public:
  Sharder(const LayerSpec &layer, const RankLayout &layout, int64_t rank);

  HostTensor take(const HostTensor &tensor) const;

private:
  static std::vector<int64_t> range(int64_t first, int64_t count) {
    std::vector<int64_t> values(count);
    std::iota(values.begin(), values.end(), first);
    return values;
  }
  /// Of a first weight with `width` rows for each of gate and up (or for up
  /// alone): those of this share.
  std::vector<int64_t> firstRows(int64_t width, int64_t shares,
                                 int64_t share) const;

  const LayerSpec &layer;
  std::vector<int64_t> experts;  // Logical ids of those on this rank.
  int64_t shares = 1, share = 0; // Of each routed expert.
  int64_t sharedShares = 1, sharedShare = 0;
};
} // namespace

Sharder::Sharder(const LayerSpec &layer, const RankLayout &layout, int64_t rank)
    : layer(layer) {
  const int64_t ranks = layout.numRanks();
  const int64_t physical = layer.numExperts + layout.redundantExperts;
  if (layout.usesExpertParallel) {
    for (int64_t expert :
         policy::getLocalExperts(layout.placement, physical, ranks, rank))
      experts.push_back(expert % layer.numExperts);
  } else {
    experts = range(0, layer.numExperts);
    shares = ranks;
    share = rank;
  }
  if (!layout.isSequenceParallel || layout.shardsSharedExperts) {
    sharedShares = layout.tp;
    sharedShare = rank % layout.tp;
  }
}

std::vector<int64_t> Sharder::firstRows(int64_t width, int64_t shares,
                                        int64_t share) const {
  const int64_t part = width / shares;
  std::vector<int64_t> rows = range(share * part, part);
  if (layer.activation.isGated())
    for (int64_t row : range(width + share * part, part))
      rows.push_back(row);
  return rows;
}

HostTensor Sharder::take(const HostTensor &tensor) const {
  const std::string &name = tensor.name();
  const std::vector<int64_t> &dims = tensor.shape();
  const int64_t I = layer.intermediateSize, S = layer.shared.intermediateSize;
  const bool gated = layer.activation.isGated();
  Selection selection;
  std::vector<int64_t> shape = dims;
  auto select = [&](std::vector<int64_t> a, std::vector<int64_t> b,
                    int64_t numB, int64_t numC, int64_t firstC,
                    int64_t countC) {
    selection = {std::move(a), std::move(b), numB, numC, firstC, countC};
  };
  if (name == (gated ? "w13" : "w1")) {
    select(experts, firstRows(I, shares, share), dims[1], dims[2], 0, dims[2]);
  } else if (name == (gated ? "b13" : "b1")) {
    select(experts, firstRows(I, shares, share), dims[1], 1, 0, 1);
  } else if (name == "w2") {
    select(experts, range(0, dims[1]), dims[1], I, share * (I / shares),
           I / shares);
  } else if (name == "b2") {
    select(experts, range(0, dims[1]), dims[1], 1, 0, 1);
  } else if (name == (gated ? "shared_w13" : "shared_w1")) {
    select({0}, firstRows(S, sharedShares, sharedShare), dims[0], dims[1], 0,
           dims[1]);
  } else if (name == "shared_w2") {
    select({0}, range(0, dims[0]), dims[0], S, sharedShare * (S / sharedShares),
           S / sharedShares);
  } else {
    select({0}, {0}, 1, tensor.numElements(), 0, tensor.numElements());
  }
  const int64_t a = int64_t(selection.a.size()),
                b = int64_t(selection.b.size());
  if (name == "shared_w13" || name == "shared_w1" || name == "shared_w2")
    shape = {b, selection.countC};
  else if (dims.size() == 3)
    shape = {a, b, selection.countC};
  else if (name == "b13" || name == "b1" || name == "b2")
    shape = {a, b};
  HostTensor part(name, tensor.dtype(), shape);
  const int64_t size = dtypeBytes(tensor.dtype());
  char *to = part.as<char>();
  for (int64_t i : selection.a)
    for (int64_t j : selection.b) {
      const char *from =
          tensor.as<char>() +
          ((i * selection.numB + j) * selection.numC + selection.firstC) * size;
      std::memcpy(to, from, size_t(selection.countC * size));
      to += selection.countC * size;
    }
  // The shares of an expert are summed, and its bias counts once.
  if (name == "b2" && share != 0)
    std::memset(part.data(), 0, size_t(part.numBytes()));
  return part;
}

static HostTensor toInt32(const std::string &name,
                          const std::vector<int64_t> &values,
                          std::vector<int64_t> shape) {
  HostTensor tensor(name, DType::I32, std::move(shape));
  std::copy(values.begin(), values.end(), tensor.as<int32_t>());
  return tensor;
}

Inputs moe::tools::takeRankInputs(const Inputs &whole, const LayerSpec &layer,
                                  const RankLayout &layout,
                                  const std::vector<int64_t> &tokens,
                                  int64_t rank) {
  Inputs inputs;
  inputs.T = tokens[rank];
  inputs.tokensPerRank = tokens;
  inputs.decodes = whole.decodes;
  const int64_t firstRow = findFirstRow(layout, tokens, rank);
  Sharder sharder(layer, layout, rank);
  for (const HostTensor &tensor : whole.tensors) {
    if (!isRowInput(tensor.name())) {
      inputs.tensors.push_back(sharder.take(tensor));
      continue;
    }
    const int64_t width = tensor.shape()[1];
    HostTensor &rows = inputs.tensors.emplace_back(
        tensor.name(), tensor.dtype(), std::vector<int64_t>{inputs.T, width});
    const int64_t rowBytes = width * dtypeBytes(tensor.dtype());
    std::memcpy(rows.data(), tensor.as<char>() + firstRow * rowBytes,
                size_t(inputs.T * rowBytes));
  }
  if (layout.hasEplb) {
    policy::EplbMaps maps =
        policy::getInitialEplbMaps(layer.numExperts, layout.redundantExperts);
    inputs.tensors.push_back(toInt32("logical_to_physical",
                                     maps.logicalToPhysical,
                                     {layer.numExperts, maps.maxReplicas}));
    inputs.tensors.push_back(
        toInt32("replica_count", maps.logicalReplicaCount, {layer.numExperts}));
  }
  return inputs;
}
