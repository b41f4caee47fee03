//===- Sharder.cpp - A rank's share of the inputs -------------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moe-mlir/Run/Sharder.h"

#include <algorithm>
#include <cstring>
#include <numeric>

using namespace moe;
using namespace moe::run;

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

Inputs moe::run::takeRankInputs(const Inputs &whole, const LayerSpec &layer,
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
