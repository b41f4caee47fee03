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
// Outputs
//===----------------------------------------------------------------------===//

Outcome RankSet::collect(const std::vector<const HostTensor *> &outputs,
                         HostTensor &all) {
  const int64_t count = shares.numRanks();
  const int64_t rowBytes = all.shape()[1] * dtypeBytes(all.dtype());
  // What each rank has brought forth.
  std::vector<const char *> rows(size_t(count), nullptr);
  std::vector<char> gathered;
  if (numHere() == count) {
    for (int64_t rank = 0; rank < count; ++rank)
      rows[size_t(rank)] = outputs[size_t(rank)]->as<char>();
  } else {
    const int64_t stride =
        rowBytes * *std::max_element(tokens().begin(), tokens().end());
    std::vector<char> mine(size_t(stride), 0);
    gathered.resize(size_t(stride * count));
    const HostTensor &output = *outputs.front();
    std::copy_n(output.as<char>(), output.numBytes(), mine.begin());
    Context &context = here.front()->context;
    if (Outcome outcome = context.check(moert_context_all_gather(
            context.get(), mine.data(), size_t(stride), gathered.data()));
        !outcome)
      return outcome;
    for (int64_t rank = 0; rank < count; ++rank)
      rows[size_t(rank)] = gathered.data() + rank * stride;
  }
  char *to = all.as<char>();
  for (int64_t rank = 0; rank < count; ++rank) {
    const int64_t holder = shares.rowsOf(rank);
    const int64_t bytes = tokens()[size_t(rank)] * rowBytes;
    if (holder != rank) {
      if (std::memcmp(rows[size_t(holder)], rows[size_t(rank)],
                      size_t(bytes)) != 0)
        return Outcome::failed(format(
            "ranks %lld and %lld have the same tokens: expected bitwise equal "
            "outputs but they differ",
            static_cast<long long>(holder), static_cast<long long>(rank)));
      continue;
    }
    std::copy_n(rows[size_t(rank)], bytes, to);
    to += bytes;
  }
  return {};
}
