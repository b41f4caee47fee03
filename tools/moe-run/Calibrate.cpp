//===- Calibrate.cpp - Ceilings of this machine ---------------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Calibrate.h"

#include "Bench.h"
#include "Memory.h"
#include "Support/CacheFolder.h"
#include "Support/Progress.h"
#include "moe-mlir/Policy/CostModel.h"
#include "moe-mlir/Support/Format.h"
#include "moert/GeneratedCode.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <filesystem>

using namespace moe;
using namespace moe::run;
using namespace moe::tools;

using Kernel = void (*)(const void *arguments, int64_t block);

static void launch(const moert_call &call, int32_t stream, Kernel kernel,
                   const char *label, const void *arguments, size_t bytes,
                   int64_t grid) {
  moert_launch(&call, stream, reinterpret_cast<const void *>(kernel), label,
               arguments, static_cast<int64_t>(bytes), grid);
}

namespace {
struct ReadArguments {
  const uint64_t *data;
  /// Takes the sums, so that no compiler drops the reads.
  std::atomic<uint64_t> *sink;
};
} // namespace

static constexpr int64_t blockWords = 1 << 17; // 1 MB

static void readBlock(const void *given, int64_t block) {
  const auto *arguments = static_cast<const ReadArguments *>(given);
  const uint64_t *data = arguments->data + block * blockWords;
  // Independent sums keep many reads in flight.
  constexpr int64_t lanes = 32;
  uint64_t sums[lanes] = {};
  for (int64_t i = 0; i < blockWords; i += lanes)
    for (int64_t lane = 0; lane < lanes; ++lane)
      sums[lane] += data[i + lane];
  uint64_t sum = 0;
  for (uint64_t lane : sums)
    sum += lane;
  arguments->sink->fetch_add(sum, std::memory_order_relaxed);
}

static void doNothing(const void *, int64_t) {}

static moert_call makeCall(const Context &context) {
  moert_call call = {};
  call.abi = MOERT_ABI_VERSION;
  call.context = context.get();
  return call;
}

/// Bytes per second of the best of several reads of one buffer.
static Status measureBandwidth(Context &context, double &bandwidth) {
  constexpr int64_t wanted = int64_t(1) << 30, least = int64_t(1) << 28;
  const int64_t room = getAvailableMemory().value_or(wanted * 4) / 4;
  const int64_t bytes =
      std::min(wanted, room / (blockWords * 8) * blockWords * 8);
  if (bytes < least)
    return failed("expected " + formatBytes(double(4 * least)) +
                  " of available memory to measure its bandwidth but "
                  "got " +
                  formatBytes(double(4 * room)));
  std::vector<uint64_t> buffer(size_t(bytes / 8), 1);
  std::atomic<uint64_t> sink{0};
  ReadArguments arguments = {buffer.data(), &sink};
  const moert_call call = makeCall(context);
  constexpr int rounds = 7;
  for (int i = 0; i < rounds; ++i) {
    const auto begin = std::chrono::steady_clock::now();
    launch(call, MOERT_STREAM_COMPUTE, readBlock, "read", &arguments,
           sizeof(arguments), bytes / 8 / blockWords);
    if (moert_context_synchronize(context.get()) != MOERT_SUCCESS)
      return context.error();
    const std::chrono::duration<double> time =
        std::chrono::steady_clock::now() - begin;
    bandwidth = std::max(bandwidth, double(bytes) / time.count());
  }
  if (sink != uint64_t(rounds) * uint64_t(bytes / 8))
    return failed("the read of memory gave a wrong sum");
  return {};
}

/// The median time between launches that follow each other: on one stream, or
/// on two in turn with an event between them.
static Status measureGap(Context &context, bool twoStreams, double &seconds) {
  constexpr int64_t launches = 2000;
  const moert_call call = makeCall(context);
  MOE_TRY(context.startTrace());
  for (int64_t i = 0; i < launches; ++i) {
    const int32_t stream =
        twoStreams && i % 2 ? MOERT_STREAM_AUX : MOERT_STREAM_COMPUTE;
    launch(call, stream, doNothing, "nothing", nullptr, 0, 1);
    if (twoStreams)
      moert_stream_wait(&call, i % 2 ? MOERT_STREAM_COMPUTE : MOERT_STREAM_AUX,
                        moert_event_record(&call, stream));
  }
  if (moert_context_synchronize(context.get()) != MOERT_SUCCESS)
    return context.error();
  std::vector<Span> spans;
  MOE_TRY(context.takeTrace(spans));
  std::vector<double> gaps;
  for (size_t i = 1; i < spans.size(); ++i)
    gaps.push_back(std::max(0.0, double(spans[i].begin - spans[i - 1].end)));
  if (gaps.empty())
    return failed("the trace of empty launches is empty");
  seconds = quantile(gaps, 0.5) / 1e9;
  return {};
}

/// The median of several runs.
static Status measureLayer(const LayerWork &work, Execution &execution,
                           double &flops) {
  std::vector<double> times;
  constexpr int runs = 7;
  for (int i = 0; i < runs; ++i) {
    MOE_TRY(execution.run());
    times.push_back(double(std::max<int64_t>(1, execution.nanoseconds())));
  }
  flops = work.flops / (quantile(times, 0.5) / 1e9);
  if (!(flops > 0))
    return failed("expected a run with at least one row, to measure "
                  "operations per second, but got 0 rows");
  return {};
}

Status moe::tools::calibrate(const RunOptions &options,
                             const Artefact &artefact, const Inputs &inputs,
                             Context &context, Execution &execution) {
  std::string path = options.calibrateFile;
  if (path.empty())
    path = getMachineFile("cpu");
  if (path.empty())
    return badInput("--calibrate: expected =FILE, or one of the "
                    "environment variables MOE_CACHE_DIR, "
                    "XDG_CACHE_HOME and HOME");
  policy::MachineModel machine = policy::getCpuMachine();
  LayerWork work;
  MOE_TRY(countWork(artefact.descriptor().layer, inputs, work));
  {
    Progress progress("calibrating");
    double crossing = 0;
    MOE_TRY(measureLayer(work, execution, machine.flops));
    MOE_TRY(measureBandwidth(context, machine.memoryBandwidth));
    MOE_TRY(measureGap(context, false, machine.launchGap));
    MOE_TRY(measureGap(context, true, crossing));
    machine.eventCost = std::max(0.0, crossing - machine.launchGap);
  }
  std::error_code ignored;
  if (options.calibrateFile.empty())
    std::filesystem::create_directories(
        std::filesystem::path(path).parent_path(), ignored);
  std::string error;
  if (!policy::saveMachine(machine, path, error))
    return failed("--calibrate: " + error);
  std::string text = formatField("calibrated", path);
  text += formatField("  memory",
                      format("%.1f GB/s read", machine.memoryBandwidth / 1e9));
  text += formatField("  compute",
                      format("%.1f GFLOP/s, of the layer with %lld rows",
                             machine.flops / 1e9,
                             static_cast<long long>(inputs.T)));
  text += formatField("  launches",
                      format("%.2f us apart", machine.launchGap * 1e6));
  text += formatField("  event", format("%.2f us", machine.eventCost * 1e6));
  text += formatField("  built-in",
                      "cold reads, overlap of streams, links: not measured");
  std::fputs(text.c_str(), stdout);
  return {};
}
