//===- Bench.cpp - Times of a run -----------------------------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Bench.h"

#include "DeviceBench.h"
#include "Support/Progress.h"
#include "Timeline.h"
#include "moe-mlir/Support/Format.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <map>

using namespace moe;
using namespace moe::run;
using namespace moe::tools;

double moe::tools::quantile(std::vector<double> values, double share) {
  std::sort(values.begin(), values.end());
  const double place = share * double(values.size() - 1);
  const size_t below = size_t(place);
  const size_t above = std::min(below + 1, values.size() - 1);
  const double rest = place - double(below);
  return values[below] * (1 - rest) + values[above] * rest;
}

/// "0.1000 ms median, 0.0900 min, ...".
static std::string describeTimes(const std::vector<double> &times) {
  const double median = quantile(times, 0.5);
  const double spread = quantile(times, 0.9) - quantile(times, 0.1);
  return formatMilliseconds(median) + " ms median, " +
         formatMilliseconds(quantile(times, 0)) + " min, " +
         formatMilliseconds(quantile(times, 1)) +
         format(" max, spread %.1f %% (10th to 90th percentile)",
                100 * spread / median);
}

static void printTimes(const std::vector<double> &times, size_t warmUps,
                       const Inputs &inputs, const LayerSpec &layer,
                       const LayerWork &work) {
  const double seconds = quantile(times, 0.5) / 1e9;
  std::string text =
      formatField("bench", count(int64_t(times.size()), "run") + " after " +
                               count(int64_t(warmUps), "warm-up"));
  text += formatField("  time", describeTimes(times));
  text += formatField("  tokens",
                      format("%.0f per second", double(inputs.T) / seconds));
  text += formatField("  compute",
                      format("%.2f GFLOP/s, of %.3g GFLOP useful",
                             work.flops / seconds / 1e9, work.flops / 1e9));
  text += formatField(
      "  weights", format("%.2f GB/s, of %s read: %lld of %lld experts are hit",
                          work.weightBytes / seconds / 1e9,
                          formatBytes(work.weightBytes).c_str(),
                          static_cast<long long>(work.expertsHit),
                          static_cast<long long>(layer.numExperts)));
  std::fputs(text.c_str(), stdout);
}

/// How the times above were measured on a device, and what calls cost there
/// without a graph.
static void printDeviceTimes(const DeviceTimes &times) {
  std::string text = formatField(
      "  measured", times.noGraph.empty()
                        ? "on the device, replaying a graph"
                        : "on the device, without a graph: " + times.noGraph);
  text += formatField("  inputs",
                      times.numSets == 1
                          ? "one copy"
                          : format("%lld copies in turn",
                                   static_cast<long long>(times.numSets)));
  text += formatField("  enqueued",
                      describeTimes(times.enqueued) + ", without a graph");
  text += formatField("  host", format("%.1f us to enqueue a call",
                                       quantile(times.host, 0.5) / 1e3));
  std::fputs(text.c_str(), stdout);
}

/// Medians, over runs, of the time that each label takes in one run.
static void printLaunches(const std::vector<std::vector<Span>> &runs) {
  struct LaunchTimes {
    std::string stream, label;
    std::vector<double> times;
    int64_t begin;
  };
  std::map<std::pair<int32_t, std::string>, LaunchTimes> launches;
  std::vector<double> totals, overlaps;
  for (const std::vector<Span> &spans : runs) {
    std::map<std::pair<int32_t, std::string>, double> sums;
    int64_t end = 0;
    for (const Span &span : spans) {
      sums[{span.stream, span.label}] += double(span.end - span.begin);
      launches.try_emplace(
          {span.stream, span.label},
          LaunchTimes{streamName(span.stream), span.label, {}, span.begin});
      end = std::max(end, span.end);
    }
    for (const auto &[key, time] : sums)
      launches[key].times.push_back(time);
    totals.push_back(double(end));
    overlaps.push_back(double(getOverlap(spans)));
  }
  std::vector<LaunchTimes> sorted;
  for (auto &[key, launch] : launches)
    sorted.push_back(std::move(launch));
  std::stable_sort(sorted.begin(), sorted.end(),
                   [](const LaunchTimes &a, const LaunchTimes &b) {
                     return a.begin < b.begin;
                   });

  const double total = quantile(totals, 0.5);
  Table table("llrr");
  table.add({"stream", "launch", "median ms", "share"});
  for (const LaunchTimes &launch : sorted) {
    const double time = quantile(launch.times, 0.5);
    table.add({launch.stream, launch.label, formatMilliseconds(time),
               format("%.1f %%", 100 * time / total)});
  }
  table.add({"", "first to last", formatMilliseconds(total), ""});
  table.add({"", "overlap", formatMilliseconds(quantile(overlaps, 0.5)),
             format("%.1f %%", 100 * quantile(overlaps, 0.5) / total)});
  std::printf("\n%s", table.print(2).c_str());
}

Status moe::tools::bench(const RunOptions &options, const Artefact &artefact,
                         const Inputs &inputs, Context &context,
                         Execution &execution) {
  const LayerSpec &layer = artefact.descriptor().layer;
  LayerWork work;
  {
    Progress progress("counting the experts that are hit");
    MOE_TRY(countWork(layer, inputs, work));
  }
  constexpr size_t warmUps = 3;
  std::vector<double> times;
  DeviceTimes deviceTimes;
  std::vector<std::vector<Span>> traced;
  {
    Progress progress("measuring " + count(options.benchRuns, "run"));
    for (size_t i = 0; i < warmUps; ++i)
      MOE_TRY(execution.run());
    if (!context.sharesMemory()) {
      MOE_TRY(measureOnDevice(options, artefact, inputs, work, context,
                              execution, deviceTimes));
      times = deviceTimes.replayed.empty() ? deviceTimes.enqueued
                                           : deviceTimes.replayed;
    }
    for (int64_t i = int64_t(times.size()); i < options.benchRuns; ++i) {
      MOE_TRY(execution.run());
      times.push_back(double(std::max<int64_t>(1, execution.nanoseconds())));
    }
    for (int64_t i = 0; i < std::min<int64_t>(10, options.benchRuns); ++i) {
      MOE_TRY(context.startTrace());
      MOE_TRY(execution.run());
      traced.emplace_back();
      MOE_TRY(context.takeTrace(traced.back()));
    }
  }
  printTimes(times, warmUps, inputs, layer, work);
  if (!context.sharesMemory())
    printDeviceTimes(deviceTimes);
  printLaunches(traced);
  return {};
}
