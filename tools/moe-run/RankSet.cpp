//===- RankSet.cpp - Ranks as threads -------------------------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "RankSet.h"

#include "Check.h"
#include "Support/Format.h"

#include <cstring>

using namespace moe;
using namespace moe::tools;

Outcome RankSet::create(const RunOptions &options, const Artefact &artefact) {
  const Descriptor &descriptor = artefact.descriptor();
  if (Outcome outcome = readLayout(descriptor, shares); !outcome)
    return outcome;
  if (Outcome outcome = makeInputs(options, artefact, inputs, &shares);
      !outcome)
    return outcome;
  const int64_t count = shares.numRanks();
  if (moert_group_create_local(int32_t(count), 0, &group) != MOERT_SUCCESS)
    return Outcome::failed(moert_last_error(nullptr));
  // The cores are there once.
  const int32_t cores =
      int32_t(std::max(1u, std::thread::hardware_concurrency()));
  const int32_t threads =
      options.threads ? options.threads : std::max(1, cores / int32_t(count));
  for (int64_t rank = 0; rank < count; ++rank) {
    Rank &added = *ranks.emplace_back(std::make_unique<Rank>());
    if (Outcome outcome = added.context.create(descriptor.target, threads,
                                               int32_t(rank), int32_t(count));
        !outcome)
      return outcome;
    if (Outcome outcome =
            added.context.check(moert_context_join(added.context.get(), group));
        !outcome)
      return outcome;
    added.inputs = takeRankInputs(inputs, descriptor.layer, shares,
                                  inputs.tokensPerRank, rank);
    if (Outcome outcome =
            added.deviceInputs.create(added.context, added.inputs);
        !outcome)
      return outcome;
  }
  return {};
}

Outcome RankSet::replaceRows(HostTensor rows) {
  const int64_t rowBytes = rows.shape()[1] * dtypeBytes(rows.dtype());
  for (int64_t rank = 0; rank < size(); ++rank)
    for (HostTensor &tensor : ranks[rank]->inputs.tensors) {
      if (tensor.name() != rows.name())
        continue;
      std::memcpy(tensor.data(),
                  rows.as<char>() +
                      findFirstRow(shares, tokens(), rank) * rowBytes,
                  size_t(tensor.numBytes()));
      if (Outcome outcome = ranks[rank]->deviceInputs.update(
              ranks[rank]->context, rows.name());
          !outcome)
        return outcome;
    }
  for (HostTensor &tensor : inputs.tensors)
    if (tensor.name() == rows.name())
      tensor = std::move(rows);
  return {};
}

Outcome RankRun::prepare() {
  const LayerSpec &layer = artefact.descriptor().layer;
  result = HostTensor("output", layer.dtype, {set.whole().T, layer.hiddenSize});
  for (int64_t rank = 0; rank < set.size(); ++rank) {
    executions.push_back(std::make_unique<Execution>(
        set[rank].context, artefact, set[rank].deviceInputs));
    if (Outcome outcome = executions.back()->prepare(); !outcome)
      return outcome;
  }
  return {};
}

Outcome RankRun::run() {
  if (Outcome outcome =
          set.forEach([&](int64_t rank) { return executions[rank]->run(); });
      !outcome)
    return outcome;
  return collect();
}

/// Ranks that hold equal rows must agree on them to the bit.
Outcome RankRun::collect() {
  char *to = result.as<char>();
  for (int64_t rank = 0; rank < set.size(); ++rank) {
    const HostTensor &rows = executions[rank]->output();
    const int64_t holder = set.layout().rowsOf(rank);
    std::string difference;
    if (holder != rank) {
      if (!isBitwiseEqual(executions[holder]->output(), rows, difference))
        return Outcome::failed(
            format("ranks %lld and %lld have the same tokens: expected bitwise "
                   "equal outputs but ",
                   static_cast<long long>(holder),
                   static_cast<long long>(rank)) +
            difference);
      continue;
    }
    std::memcpy(to, rows.data(), size_t(rows.numBytes()));
    to += rows.numBytes();
  }
  return {};
}

std::optional<HostTensor> RankRun::expertLoads() const {
  const HostTensor *first = expertLoad(0);
  if (!first)
    return std::nullopt;
  HostTensor loads(first->name(), first->dtype(),
                   {set.size(), first->numElements()});
  for (int64_t rank = 0; rank < set.size(); ++rank)
    std::memcpy(loads.as<int32_t>() + rank * first->numElements(),
                expertLoad(rank)->data(), size_t(first->numBytes()));
  return loads;
}
