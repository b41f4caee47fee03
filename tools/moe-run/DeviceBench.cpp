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
using namespace moe::run;
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
static Status measure(Context &context, int64_t runs, Enqueue enqueue,
                      std::vector<double> &times) {
  constexpr int64_t most = 1000; // Before times are read.
  for (int64_t first = 0; first < runs; first += most) {
    const int32_t count = int32_t(std::min(most, runs - first));
    for (int32_t i = 0; i < count; ++i) {
      MOE_TRY(context.mark(2 * i));
      MOE_TRY(enqueue(first + i));
      MOE_TRY(context.mark(2 * i + 1));
    }
    MOE_TRY(context.synchronize());
    for (int32_t i = 0; i < count; ++i) {
      double time = 0;
      MOE_TRY(context.elapsed(2 * i, 2 * i + 1, time));
      times.push_back(std::max(1.0, time));
    }
  }
  return {};
}

static Status measureHost(Context &context, Execution &execution, int64_t runs,
                          std::vector<double> &times) {
  for (int64_t i = 0; i < runs; ++i) {
    const auto begin = std::chrono::steady_clock::now();
    MOE_TRY(execution.enqueue());
    const std::chrono::duration<double, std::nano> time =
        std::chrono::steady_clock::now() - begin;
    times.push_back(time.count());
    MOE_TRY(context.synchronize());
  }
  return {};
}

/// Captures a call in a graph.
static Status capture(Context &context, Execution &execution, Graph &graph) {
  MOE_TRY(graph.begin(context));
  Status enqueued = execution.enqueue();
  Status ended = graph.end(context);
  return enqueued ? ended : enqueued;
}

Status moe::tools::measureOnDevice(const RunOptions &options,
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
    MOE_TRY(executions[i % numSets]->enqueue());
  MOE_TRY(context.synchronize());

  MOE_TRY(measureHost(context, execution, options.benchRuns, times.host));
  MOE_TRY(measure(
      context, options.benchRuns,
      [&](int64_t i) { return executions[size_t(i) % numSets]->enqueue(); },
      times.enqueued));

  std::vector<Graph> graphs(numSets);
  for (size_t i = 0; i < numSets; ++i)
    if (Status status = capture(context, *executions[i], graphs[i]); !status) {
      times.noGraph = status.error();
      return {};
    }
  // The first replay of a graph brings it to the device.
  for (const Graph &graph : graphs)
    MOE_TRY(graph.launch(context));
  return measure(
      context, options.benchRuns,
      [&](int64_t i) { return graphs[size_t(i) % numSets].launch(context); },
      times.replayed);
}
