//===- RankSet.cpp - The ranks of a run -----------------------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "RankSet.h"

#include "Launch.h"
#include "Support/Device.h"
#include "Support/Format.h"

#include <algorithm>
#include <cstring>
#include <thread>
#include <utility>

using namespace moe;
using namespace moe::tools;

void RankSet::leave() {
  here.clear();
  moert_group_destroy(std::exchange(group, nullptr));
}

Outcome RankSet::forEach(const std::function<Outcome(int64_t)> &body) {
  std::vector<Outcome> outcomes(here.size());
  std::vector<std::thread> threads;
  for (int64_t index = 0; index < numHere(); ++index)
    threads.emplace_back([&, index] {
      try {
        outcomes[index] = body(index);
      } catch (const std::exception &error) {
        outcomes[index] = Outcome::failed(error.what());
      }
    });
  for (std::thread &thread : threads)
    thread.join();
  for (int64_t index = 0; index < numHere(); ++index)
    if (!outcomes[index])
      return numHere() == 1
                 ? outcomes[index]
                 : outcomes[index].withPrefix(
                       "rank " + std::to_string(here[index]->number) + ": ");
  return {};
}

//===----------------------------------------------------------------------===//
// Creating
//===----------------------------------------------------------------------===//

Outcome RankSet::create(const RunOptions &options, const Artefact &artefact) {
  const Descriptor &descriptor = artefact.descriptor();
  if (Outcome outcome = readLayout(descriptor, shares); !outcome)
    return outcome;
  if (Outcome outcome = makeInputs(options, artefact, inputs, &shares);
      !outcome)
    return outcome;
  return isForGPU(descriptor.target) ? createProcess(options, descriptor)
                                     : createHere(options, descriptor);
}

Outcome RankSet::add(const RunOptions &options, const Descriptor &descriptor,
                     int64_t number, int32_t threads, int32_t device) {
  Rank &added = *here.emplace_back(std::make_unique<Rank>());
  added.number = number;
  if (Outcome outcome =
          added.context.create(descriptor.target, threads, int32_t(number),
                               int32_t(shares.numRanks()), device);
      !outcome)
    return outcome;
  if (Outcome outcome =
          added.context.check(moert_context_join(added.context.get(), group));
      !outcome)
    return outcome;
  added.inputs = takeRankInputs(inputs, descriptor.layer, shares,
                                inputs.tokensPerRank, number);
  return added.deviceInputs.create(added.context, added.inputs);
}

Outcome RankSet::createHere(const RunOptions &options,
                            const Descriptor &descriptor) {
  where = "threads of this process";
  const int32_t count = int32_t(shares.numRanks());
  if (moert_group_create_local(count, options.timeoutMilliseconds(), &group) !=
      MOERT_SUCCESS)
    return Outcome::failed(moert_last_error(nullptr));
  // The cores are there once.
  const int32_t cores =
      int32_t(std::max(1u, std::thread::hardware_concurrency()));
  const int32_t threads =
      options.threads ? options.threads : std::max(1, cores / count);
  for (int32_t rank = 0; rank < count; ++rank)
    if (Outcome outcome = add(options, descriptor, rank, threads, /*device=*/0);
        !outcome)
      return outcome;
  return {};
}

Outcome RankSet::createProcess(const RunOptions &options,
                               const Descriptor &descriptor) {
  moert_process_options own;
  if (Outcome outcome = readProcess(descriptor, own); !outcome)
    return outcome;
  process = own.rank;
  own.timeout_ms = options.timeoutMilliseconds();
  const int devices = std::max(1, countGPUs());
  where = shareGPUs(own, devices);
  if (moert_group_create_processes(&own, &group) != MOERT_SUCCESS)
    return Outcome::failed(moert_last_error(nullptr));
  return add(options, descriptor, own.rank, options.threads,
             own.local_rank % devices);
}

//===----------------------------------------------------------------------===//
// Rows
//===----------------------------------------------------------------------===//

Outcome RankSet::replaceRows(HostTensor rows) {
  const int64_t rowBytes = rows.shape()[1] * dtypeBytes(rows.dtype());
  for (const std::unique_ptr<Rank> &rank : here)
    for (HostTensor &tensor : rank->inputs.tensors) {
      if (tensor.name() != rows.name())
        continue;
      std::memcpy(tensor.data(),
                  rows.as<char>() +
                      findFirstRow(shares, tokens(), rank->number) * rowBytes,
                  size_t(tensor.numBytes()));
      if (Outcome outcome =
              rank->deviceInputs.update(rank->context, rows.name());
          !outcome)
        return outcome;
    }
  for (HostTensor &tensor : inputs.tensors)
    if (tensor.name() == rows.name())
      tensor = std::move(rows);
  return {};
}

Outcome moe::tools::replaceMap(Rank &rank, const std::string &name,
                               const std::vector<int64_t> &values) {
  for (HostTensor &tensor : rank.inputs.tensors)
    if (tensor.name() == name)
      std::copy(values.begin(), values.end(), tensor.as<int32_t>());
  return rank.deviceInputs.update(rank.context, name);
}

Outcome RankSet::gather(const std::vector<const HostTensor *> &tensors,
                        int64_t stride, std::vector<char> &all) {
  all.assign(size_t(stride * shares.numRanks()), 0);
  for (size_t index = 0; index < tensors.size(); ++index)
    std::memcpy(all.data() + here[index]->number * stride,
                tensors[index]->data(), size_t(tensors[index]->numBytes()));
  if (!isProcess())
    return {};
  Context &context = here.front()->context;
  const std::vector<char> mine(all.begin() + process * stride,
                               all.begin() + (process + 1) * stride);
  return context.check(moert_context_all_gather(context.get(), mine.data(),
                                                mine.size(), all.data()));
}

Outcome RankSet::meet() {
  std::vector<char> all;
  return gather({}, 1, all);
}

Outcome RankSet::collectTraffic(std::vector<int64_t> &bytes) {
  const size_t count = size_t(shares.numRanks());
  bytes.assign(count * count, 0);
  for (const std::unique_ptr<Rank> &rank : here)
    if (Outcome outcome = rank->context.check(moert_context_bytes_received(
            rank->context.get(), &bytes[size_t(rank->number) * count]));
        !outcome)
      return outcome;
  if (!isProcess())
    return {};
  const std::vector<int64_t> mine(&bytes[size_t(process) * count],
                                  &bytes[size_t(process) * count] + count);
  Context &context = here.front()->context;
  return context.check(moert_context_all_gather(
      context.get(), mine.data(), count * sizeof(int64_t), bytes.data()));
}

//===----------------------------------------------------------------------===//
// Runs
//===----------------------------------------------------------------------===//

Outcome RankRun::prepare() {
  const LayerSpec &layer = artefact.descriptor().layer;
  result = HostTensor("output", layer.dtype, {set.whole().T, layer.hiddenSize});
  for (int64_t index = 0; index < set.numHere(); ++index) {
    executions.push_back(std::make_unique<Execution>(
        set[index].context, artefact, set[index].deviceInputs));
    if (Outcome outcome = executions.back()->prepare(); !outcome)
      return outcome;
  }
  return {};
}

Outcome RankRun::capture() {
  return set.forEach(
      [&](int64_t index) { return executions[index]->capture(); });
}

Outcome RankRun::run() {
  if (Outcome outcome =
          set.forEach([&](int64_t index) { return executions[index]->run(); });
      !outcome)
    return outcome;
  return collect();
}

Outcome RankRun::collect() {
  const RankLayout &layout = set.layout();
  const std::vector<int64_t> &tokens = set.tokens();
  std::vector<const HostTensor *> outputs;
  for (auto &execution : executions)
    outputs.push_back(&execution->output());
  const int64_t rowBytes = result.shape()[1] * dtypeBytes(result.dtype());
  const int64_t stride =
      rowBytes * *std::max_element(tokens.begin(), tokens.end());
  std::vector<char> all;
  if (Outcome outcome = set.gather(outputs, stride, all); !outcome)
    return outcome;
  char *to = result.as<char>();
  for (int64_t rank = 0; rank < layout.numRanks(); ++rank) {
    const int64_t holder = layout.rowsOf(rank);
    const int64_t bytes = tokens[size_t(rank)] * rowBytes;
    const char *rows = all.data() + rank * stride;
    if (holder != rank) {
      if (std::memcmp(all.data() + holder * stride, rows, size_t(bytes)) != 0)
        return Outcome::failed(format(
            "ranks %lld and %lld have the same tokens: expected bitwise equal "
            "outputs but they differ",
            static_cast<long long>(holder), static_cast<long long>(rank)));
      continue;
    }
    to = std::copy_n(rows, bytes, to);
  }
  return {};
}

Outcome RankRun::collectExpertLoads(std::optional<HostTensor> &loads) {
  std::vector<const HostTensor *> tensors;
  for (auto &execution : executions)
    tensors.push_back(execution->expertLoad());
  const HostTensor *first = tensors.front();
  if (!first)
    return {};
  std::vector<char> all;
  if (Outcome outcome = set.gather(tensors, first->numBytes(), all); !outcome)
    return outcome;
  loads.emplace(
      first->name(), first->dtype(),
      std::vector<int64_t>{set.layout().numRanks(), first->numElements()});
  std::memcpy(loads->data(), all.data(), all.size());
  return {};
}
