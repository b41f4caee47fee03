//===- DeviceBench.cpp - Times by the clock of a device -------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "DeviceBench.h"

#include <algorithm>
#include <chrono>
#include <cmath>

using namespace moe;
using namespace moe::tools;

namespace {
/// Another copy of the inputs, with what runs on it.
struct InputSet {
  DeviceInputs inputs;
  std::unique_ptr<Execution> execution;
};
} // namespace

/// Adds copies until what is read before one's turn comes again is more than
/// the caches hold, or the memory is full.
static void addSets(const Artefact &artefact, const Inputs &inputs,
                    const LayerWork &work, Context &context,
                    std::vector<std::unique_ptr<InputSet>> &sets) {
  // Four times the last-level cache of the GPUs that we know.
  constexpr double enough = 256e6;
  constexpr double most = 8;
  const double wanted =
      std::min(most, std::ceil(enough / std::max(work.weightBytes, 1.0)));
  while (double(sets.size() + 1) < wanted) {
    auto set = std::make_unique<InputSet>();
    if (!set->inputs.create(context, inputs))
      return;
    set->execution =
        std::make_unique<Execution>(context, artefact, set->inputs);
    if (!set->execution->prepare())
      return;
    sets.push_back(std::move(set));
  }
}

/// Calls `enqueue(i)` for `runs` numbers from 0 and takes the device's time of
/// each.
template <typename Enqueue>
static Outcome measure(Context &context, int64_t runs, Enqueue enqueue,
                       std::vector<double> &times) {
  constexpr int64_t most = 1000; // Before times are read.
  for (int64_t first = 0; first < runs; first += most) {
    const int32_t count = int32_t(std::min(most, runs - first));
    for (int32_t i = 0; i < count; ++i) {
      if (Outcome outcome = context.mark(2 * i); !outcome)
        return outcome;
      if (Outcome outcome = enqueue(first + i); !outcome)
        return outcome;
      if (Outcome outcome = context.mark(2 * i + 1); !outcome)
        return outcome;
    }
    if (Outcome outcome = context.synchronize(); !outcome)
      return outcome;
    for (int32_t i = 0; i < count; ++i) {
      double time = 0;
      if (Outcome outcome = context.elapsed(2 * i, 2 * i + 1, time); !outcome)
        return outcome;
      times.push_back(std::max(1.0, time));
    }
  }
  return {};
}

static Outcome measureHost(Context &context, Execution &execution, int64_t runs,
                           std::vector<double> &times) {
  for (int64_t i = 0; i < runs; ++i) {
    const auto begin = std::chrono::steady_clock::now();
    if (Outcome outcome = execution.enqueue(); !outcome)
      return outcome;
    const std::chrono::duration<double, std::nano> time =
        std::chrono::steady_clock::now() - begin;
    times.push_back(time.count());
    if (Outcome outcome = context.synchronize(); !outcome)
      return outcome;
  }
  return {};
}

/// Captures a call in a graph.
static Outcome capture(Context &context, Execution &execution, Graph &graph) {
  if (Outcome outcome = graph.begin(context); !outcome)
    return outcome;
  Outcome enqueued = execution.enqueue();
  Outcome ended = graph.end(context);
  return enqueued ? ended : enqueued;
}

Outcome moe::tools::measureOnDevice(const RunOptions &options,
                                    const Artefact &artefact,
                                    const Inputs &inputs, const LayerWork &work,
                                    Context &context, Execution &execution,
                                    DeviceTimes &times) {
  std::vector<std::unique_ptr<InputSet>> sets;
  addSets(artefact, inputs, work, context, sets);
  std::vector<Execution *> executions = {&execution};
  for (std::unique_ptr<InputSet> &set : sets)
    executions.push_back(set->execution.get());
  const size_t numSets = executions.size();
  times.numSets = int64_t(numSets);
  for (size_t i = 0; i < std::max<size_t>(3, numSets); ++i)
    if (Outcome outcome = executions[i % numSets]->enqueue(); !outcome)
      return outcome;
  if (Outcome outcome = context.synchronize(); !outcome)
    return outcome;

  if (Outcome outcome =
          measureHost(context, execution, options.benchRuns, times.host);
      !outcome)
    return outcome;
  if (Outcome outcome = measure(
          context, options.benchRuns,
          [&](int64_t i) { return executions[size_t(i) % numSets]->enqueue(); },
          times.enqueued);
      !outcome)
    return outcome;

  std::vector<Graph> graphs(numSets);
  for (size_t i = 0; i < numSets; ++i)
    if (Outcome outcome = capture(context, *executions[i], graphs[i]);
        !outcome) {
      times.noGraph = outcome.message();
      return {};
    }
  // The first replay of a graph brings it to the device.
  for (const Graph &graph : graphs)
    if (Outcome outcome = graph.launch(context); !outcome)
      return outcome;
  return measure(
      context, options.benchRuns,
      [&](int64_t i) { return graphs[size_t(i) % numSets].launch(context); },
      times.replayed);
}
