//===- RankSet.cpp - The ranks of a run -----------------------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moe-mlir/Run/RankSet.h"

#include "moe-mlir/Run/Sharder.h"
#include "moe-mlir/Support/Format.h"

#include <algorithm>
#include <cstring>
#include <thread>
#include <utility>

using namespace moe;
using namespace moe::run;

void RankSet::leave() {
  here.clear();
  moert_group_destroy(std::exchange(group, nullptr));
}

Status RankSet::forEach(const std::function<Status(int64_t)> &body) {
  std::vector<Status> statuses(here.size());
  std::vector<std::thread> threads;
  for (int64_t index = 0; index < numHere(); ++index)
    threads.emplace_back([&, index] {
      try {
        statuses[index] = body(index);
      } catch (const std::exception &error) {
        statuses[index] = failed(error.what());
      }
    });
  for (std::thread &thread : threads)
    thread.join();
  for (int64_t index = 0; index < numHere(); ++index)
    if (!statuses[index])
      return numHere() == 1
                 ? statuses[index]
                 : statuses[index].withPrefix(
                       "rank " + std::to_string(here[index]->number) + ": ");
  return {};
}

//===----------------------------------------------------------------------===//
// Creating
//===----------------------------------------------------------------------===//

Status RankSet::create(const Descriptor &given, const RankLayout &layout,
                       const RankOptions &how) {
  artefact = &given;
  shares = layout;
  options = how;
  const int32_t count = int32_t(shares.numRanks());
  int32_t threads = options.threads;
  // The cores are there once.
  if (threads == 0 && count > 1 && !isProcess())
    threads = std::max(1, int32_t(std::thread::hardware_concurrency()) / count);
  const int32_t first = isProcess() ? options.process->rank : 0;
  const int32_t last = isProcess() ? first + 1 : count;
  for (int32_t number = first; number < last; ++number) {
    Rank &rank = *here.emplace_back(std::make_unique<Rank>());
    rank.number = number;
    MOE_TRY(rank.context.create(artefact->target, threads, number, count,
                                options.device));
  }
  return {};
}

Status RankSet::joinGroup() {
  const int32_t count = int32_t(shares.numRanks());
  // One rank has nobody to join.
  if (count == 1)
    return {};
  moert_status created = MOERT_SUCCESS;
  if (isProcess()) {
    moert_process_options own = *options.process;
    own.timeout_ms = options.timeoutMs;
    created = moert_group_create_processes(&own, &group);
  } else {
    created = moert_group_create_local(count, options.timeoutMs, &group);
  }
  if (created != MOERT_SUCCESS)
    return failed(moert_last_error(nullptr));
  for (const std::unique_ptr<Rank> &rank : here)
    MOE_TRY(
        rank->context.check(moert_context_join(rank->context.get(), group)));
  return {};
}

Status RankSet::start(Inputs whole) {
  MOE_TRY(checkShares(shares, whole.tokensPerRank));
  MOE_TRY(checkTokensPerRank(*artefact, whole.tokensPerRank));
  inputs = std::move(whole);
  MOE_TRY(joinGroup());
  for (const std::unique_ptr<Rank> &rank : here) {
    rank->inputs = &inputs;
    if (shares.numRanks() > 1) {
      rank->share = takeRankInputs(inputs, artefact->layer, shares,
                                   inputs.tokensPerRank, rank->number);
      rank->inputs = &rank->share;
    }
    MOE_TRY(rank->deviceInputs.create(rank->context, *rank->inputs));
  }
  return {};
}

//===----------------------------------------------------------------------===//
// Rows
//===----------------------------------------------------------------------===//

Status RankSet::replaceRows(const HostTensor &rows) {
  const int64_t rowBytes = rows.shape()[1] * dtypeBytes(rows.dtype());
  auto copyTo = [&](Inputs &to, int64_t firstRow) {
    for (HostTensor &tensor : to.tensors)
      if (tensor.name() == rows.name())
        std::memcpy(tensor.data(), rows.as<char>() + firstRow * rowBytes,
                    size_t(tensor.numBytes()));
  };
  copyTo(inputs, 0);
  for (const std::unique_ptr<Rank> &rank : here) {
    if (rank->inputs != &inputs)
      copyTo(*rank->inputs, findFirstRow(shares, tokens(), rank->number));
    MOE_TRY(rank->deviceInputs.update(rank->context, rows.name()));
  }
  return {};
}

Status moe::run::replaceMap(Rank &rank, const std::string &name,
                            const std::vector<int64_t> &values) {
  for (HostTensor &tensor : rank.inputs->tensors)
    if (tensor.name() == name)
      std::copy(values.begin(), values.end(), tensor.as<int32_t>());
  return rank.deviceInputs.update(rank.context, name);
}

Status RankSet::gather(const std::vector<const HostTensor *> &tensors,
                       int64_t stride, std::vector<char> &all) {
  all.assign(size_t(stride * shares.numRanks()), 0);
  for (size_t index = 0; index < tensors.size(); ++index)
    std::memcpy(all.data() + here[index]->number * stride,
                tensors[index]->data(), size_t(tensors[index]->numBytes()));
  if (!isProcess())
    return {};
  Context &context = here.front()->context;
  const int64_t process = options.process->rank;
  const std::vector<char> mine(all.begin() + process * stride,
                               all.begin() + (process + 1) * stride);
  return context.check(moert_context_all_gather(context.get(), mine.data(),
                                                mine.size(), all.data()));
}

Status RankSet::meet() {
  std::vector<char> all;
  return gather({}, 1, all);
}

Status RankSet::collectTraffic(std::vector<int64_t> &bytes) {
  const size_t count = size_t(shares.numRanks());
  bytes.assign(count * count, 0);
  for (const std::unique_ptr<Rank> &rank : here)
    MOE_TRY(rank->context.check(moert_context_bytes_received(
        rank->context.get(), &bytes[size_t(rank->number) * count])));
  if (!isProcess())
    return {};
  const int64_t *own = &bytes[size_t(options.process->rank) * count];
  const std::vector<int64_t> mine(own, own + count);
  Context &context = here.front()->context;
  return context.check(moert_context_all_gather(
      context.get(), mine.data(), count * sizeof(int64_t), bytes.data()));
}

//===----------------------------------------------------------------------===//
// Runs
//===----------------------------------------------------------------------===//

Status RankRun::prepare() {
  const LayerSpec &layer = artefact.descriptor().layer;
  if (set.layout().numRanks() > 1)
    result = HostTensor(getName(TensorId::Output), layer.dtype,
                        {set.whole().T, layer.hiddenSize});
  for (int64_t index = 0; index < set.numHere(); ++index) {
    executions.push_back(std::make_unique<Execution>(
        set[index].context, artefact, set[index].deviceInputs));
    MOE_TRY(executions.back()->prepare());
  }
  return {};
}

Status RankRun::capture() {
  return set.forEach(
      [&](int64_t index) { return executions[index]->capture(); });
}

Status RankRun::run() {
  MOE_TRY(set.forEach([&](int64_t index) { return executions[index]->run(); }));
  return collect();
}

Status RankRun::collect() {
  const RankLayout &layout = set.layout();
  if (layout.numRanks() == 1)
    return {};
  const std::vector<int64_t> &tokens = set.tokens();
  std::vector<const HostTensor *> outputs;
  for (auto &execution : executions)
    outputs.push_back(&execution->output());
  const int64_t rowBytes = result.shape()[1] * dtypeBytes(result.dtype());
  const int64_t stride =
      rowBytes * *std::max_element(tokens.begin(), tokens.end());
  std::vector<char> all;
  MOE_TRY(set.gather(outputs, stride, all));
  char *to = result.as<char>();
  for (int64_t rank = 0; rank < layout.numRanks(); ++rank) {
    const int64_t holder = layout.rowsOf(rank);
    const int64_t bytes = tokens[size_t(rank)] * rowBytes;
    const char *rows = all.data() + rank * stride;
    if (holder != rank) {
      if (std::memcmp(all.data() + holder * stride, rows, size_t(bytes)) != 0)
        return failed(format(
            "ranks %lld and %lld have the same tokens: expected bitwise equal "
            "outputs but they differ",
            static_cast<long long>(holder), static_cast<long long>(rank)));
      continue;
    }
    to = std::copy_n(rows, bytes, to);
  }
  return {};
}

Status RankRun::collectExpertLoads(std::optional<HostTensor> &loads) {
  std::vector<const HostTensor *> tensors;
  for (auto &execution : executions)
    tensors.push_back(execution->expertLoad());
  const HostTensor *first = tensors.front();
  if (!first)
    return {};
  std::vector<char> all;
  MOE_TRY(set.gather(tensors, first->numBytes(), all));
  std::vector<int64_t> shape = first->shape();
  if (const int64_t ranks = set.layout().numRanks(); ranks > 1)
    shape.insert(shape.begin(), ranks);
  loads.emplace(first->name(), first->dtype(), std::move(shape));
  std::memcpy(loads->data(), all.data(), all.size());
  return {};
}
