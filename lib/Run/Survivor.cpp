//===- Survivor.cpp - Ranks that go on without others ---------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moe-mlir/Run/RankSet.h"

#include "moe-mlir/Policy/LoadBalance.h"
#include "moe-mlir/Support/Format.h"

#include <algorithm>
#include <cstring>

using namespace moe;
using namespace moe::run;

Status moe::run::checkShrinkable(const Descriptor &descriptor,
                                 const RankLayout &layout) {
  if (isForGPU(descriptor.target) && layout.usesExpertParallel &&
      layout.tp == 1 && layout.pcp == 1)
    return {};
  return badInput(
      "expected an artefact for target 'cuda' whose "
      "ranks own whole experts and tokens of their own (expert and data "
      "parallel) but '" +
      descriptor.name + "' is another one");
}

/// Takes the rows of lost ranks out of the whole layer's.
static void removeRows(Inputs &whole, const RankLayout &layout,
                       const std::vector<int64_t> &before,
                       const std::vector<int64_t> &after) {
  for (HostTensor &tensor : whole.tensors) {
    if (!isRowInput(tensor.name()))
      continue;
    const int64_t width = tensor.shape()[1];
    HostTensor left(tensor.name(), tensor.dtype(),
                    {countRows(layout, after), width});
    const int64_t rowBytes = width * dtypeBytes(tensor.dtype());
    char *to = left.as<char>();
    for (int64_t rank = 0; rank < layout.numRanks(); ++rank)
      to = std::copy_n(tensor.as<char>() +
                           findFirstRow(layout, before, rank) * rowBytes,
                       after[size_t(rank)] * rowBytes, to);
    tensor = std::move(left);
  }
}

/// An expert whose weights are zero adds nothing, as one that is lost.
static void clearExperts(Inputs &whole, const std::vector<int64_t> &experts) {
  for (HostTensor &tensor : whole.tensors) {
    const TensorInfo *info = findTensor(tensor.name());
    if (!info || !info->isPerExpert())
      continue;
    const int64_t bytes = tensor.numBytes() / tensor.shape()[0];
    for (int64_t expert : experts)
      std::memset(tensor.as<char>() + expert * bytes, 0, size_t(bytes));
  }
}

Status RankSet::shrink(std::vector<int64_t> &lostRanks,
                       std::vector<int64_t> &lostExperts) {
  const LayerSpec &layer = artefact->layer;
  const int64_t count = shares.numRanks();
  Rank &own = *here.front();
  std::vector<uint8_t> isMember(static_cast<size_t>(count), 0);
  MOE_TRY(own.context.check(
      moert_context_shrink(own.context.get(), isMember.data())));
  const std::vector<int64_t> before = tokens();
  std::vector<int64_t> after = before, survivors;
  for (int64_t rank = 0; rank < count; ++rank) {
    if (isMember[size_t(rank)]) {
      survivors.push_back(rank);
      continue;
    }
    lostRanks.push_back(rank);
    after[size_t(rank)] = 0;
  }
  lead = survivors.front();
  if (shares.hasEplb) {
    const policy::SurvivorMaps left = policy::getSurvivorMaps(
        policy::getInitialEplbMaps(layer.numExperts, shares.redundantExperts)
            .physicalToLogical,
        layer.numExperts, count, survivors);
    lostExperts = left.lostExperts;
    const std::pair<const char *, const std::vector<int64_t> *> changed[] = {
        {getName(TensorId::LogicalToPhysical), &left.maps.logicalToPhysical},
        {getName(TensorId::ReplicaCount), &left.maps.logicalReplicaCount}};
    for (auto [name, values] : changed)
      MOE_TRY(replaceMap(own, name, *values));
  } else {
    for (int64_t rank : lostRanks)
      for (int64_t expert : policy::getLocalExperts(
               shares.placement, layer.numExperts, count, rank))
        lostExperts.push_back(expert);
  }
  removeRows(inputs, shares, before, after);
  clearExperts(inputs, lostExperts);
  inputs.tokensPerRank = own.inputs->tokensPerRank = after;
  inputs.T = countRows(shares, after);
  return {};
}
