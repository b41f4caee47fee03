//===- Sharder.cpp - A rank's share of the inputs -------------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moe-mlir/Run/Sharder.h"

#include "moe-mlir/Reference/Shard.h"

#include <algorithm>
#include <cstring>
#include <numeric>

using namespace moe;
using namespace moe::run;

/// What the rank has of the widths of experts.
static RankShares getRankShares(const RankLayout &layout, int64_t rank) {
  RankShares shares;
  if (!layout.usesExpertParallel)
    shares.width = {layout.numRanks(), rank};
  if (!layout.isSequenceParallel || layout.shardsSharedExperts)
    shares.sharedWidth = {layout.tp, rank % layout.tp};
  return shares;
}

/// The experts in the slots of the rank, by their ids in the model.
static std::vector<int64_t> getExperts(const LayerSpec &layer,
                                       const RankLayout &layout, int64_t rank) {
  std::vector<int64_t> experts;
  if (!layout.usesExpertParallel) {
    experts.resize(size_t(layer.numExperts));
    std::iota(experts.begin(), experts.end(), 0);
    return experts;
  }
  const int64_t slots = layer.numExperts + layout.redundantExperts;
  for (int64_t slot : policy::getLocalExperts(layout.placement, slots,
                                              layout.numRanks(), rank))
    experts.push_back(slot % layer.numExperts);
  return experts;
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
  const RankShares shares = getRankShares(layout, rank);
  const std::vector<int64_t> experts = getExperts(layer, layout, rank);
  for (const HostTensor &tensor : whole.tensors) {
    if (!isRowInput(tensor.name())) {
      inputs.tensors.push_back(takeShare(tensor, layer, shares, experts));
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
    inputs.tensors.push_back(toInt32(getName(TensorId::LogicalToPhysical),
                                     maps.logicalToPhysical,
                                     {layer.numExperts, maps.maxReplicas}));
    inputs.tensors.push_back(toInt32(getName(TensorId::ReplicaCount),
                                     maps.logicalReplicaCount,
                                     {layer.numExperts}));
  }
  return inputs;
}
