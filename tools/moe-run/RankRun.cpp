//===- RankRun.cpp - Runs of several ranks
//----------------------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "RankRun.h"

#include "Check.h"
#include "Files.h"
#include "RankSet.h"
#include "Support/Format.h"
#include "Timeline.h"

#include <cstdio>
#include <filesystem>

using namespace moe;
using namespace moe::tools;

namespace {
/// An artefact on all ranks.
class RankRun {
public:
  RankRun(RankSet &set, const Artefact &artefact)
      : set(set), artefact(artefact) {}

  Outcome prepare();
  void setPoison(bool enable) {
    for (auto &execution : executions)
      execution->setPoison(enable);
  }
  /// From now on, runs the graph that one more call is captured in.
  Outcome capture() {
    return set.forEach(
        [&](int64_t index) { return executions[index]->capture(); });
  }
  /// Runs all ranks once and collects their rows.
  Outcome run();
  const HostTensor &output() const { return result; }
  HostTensor takeOutput() { return std::move(result); }
  int64_t workspaceBytes() const {
    return executions.front()->workspaceBytes();
  }
  int64_t nanoseconds() const { return executions.front()->nanoseconds(); }

private:
  RankSet &set;
  const Artefact &artefact;
  std::vector<std::unique_ptr<Execution>> executions;
  HostTensor result;
};
} // namespace

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

Outcome RankRun::run() {
  if (Outcome outcome =
          set.forEach([&](int64_t index) { return executions[index]->run(); });
      !outcome)
    return outcome;
  std::vector<const HostTensor *> outputs;
  for (auto &execution : executions)
    outputs.push_back(&execution->output());
  return set.collect(outputs, result);
}

//===----------------------------------------------------------------------===//
// What is asked of a run
//===----------------------------------------------------------------------===//

static void printHeader(const Artefact &artefact, RankSet &set,
                        const RankRun &run) {
  const Descriptor &descriptor = artefact.descriptor();
  const RankLayout &layout = set.layout();
  std::string text = formatField(
      "layer", descriptor.name + ", " + dtypeName(descriptor.layer.dtype) +
                   ", target " + descriptor.target + " (" +
                   descriptor.instructionSet + ")");
  std::string ranks = format("%lld (tp %lld, pcp %lld, dp %lld",
                             static_cast<long long>(layout.numRanks()),
                             static_cast<long long>(layout.tp),
                             static_cast<long long>(layout.pcp),
                             static_cast<long long>(layout.dp));
  text += formatField(
      "ranks", ranks + (layout.usesExpertParallel ? ", expert parallel" : "") +
                   (layout.isSequenceParallel ? ", sequence parallel)" : ")"));
  text += formatField("  place", set.place());
  std::string tokens;
  for (int64_t count : set.tokens())
    tokens += (tokens.empty() ? "" : ", ") + std::to_string(count);
  text += formatField("rows",
                      tokens + " tokens on the ranks, " + set.whole().rowsFrom);
  text += formatField("weights", set.whole().weightsFrom);
  for (const std::string &note : set.whole().notes)
    text += formatField("  note", note);
  std::string orders;
  for (int64_t T : set.tokens()) {
    std::string order = artefact.orderAt(T);
    if (orders.find(order) == std::string::npos)
      orders += (orders.empty() ? "" : ", ") + order;
  }
  text += formatField("order", orders);
  text += formatField("workspace",
                      formatBytes(double(run.workspaceBytes())) + " on rank 0");
  text += formatField("run", formatMilliseconds(double(run.nanoseconds())) +
                                 " ms (first run)");
  std::fputs(text.c_str(), stdout);
  std::fflush(stdout);
}

static Outcome compareSchedules(const RunOptions &options, RankSet &set,
                                const RankRun &first) {
  for (size_t i = 1; i < options.compareSchedules.size(); ++i) {
    const std::string &schedule = options.compareSchedules[i];
    Artefact other;
    if (Outcome outcome = compileArtefact(options, schedule, other); !outcome)
      return outcome;
    RankRun run(set, other);
    if (Outcome outcome = run.prepare(); !outcome)
      return outcome;
    run.setPoison(options.poison);
    if (Outcome outcome = run.run(); !outcome)
      return outcome;
    std::string difference;
    if (!isBitwiseEqual(first.output(), run.output(), difference))
      return Outcome::failed("expected bitwise equal outputs of '" +
                             options.compareSchedules[0] + "' and '" +
                             schedule + "' but " + difference);
    std::printf("%s",
                formatField("compare", options.compareSchedules[0] + " and " +
                                           schedule + ": bitwise equal outputs")
                    .c_str());
  }
  return {};
}

/// The file of one rank's trace: "out.json" becomes "out.rank0.json".
static std::string nameTrace(const std::string &path, int64_t rank) {
  std::filesystem::path file(path);
  std::string extension = file.extension().string();
  return (file.parent_path() / file.stem()).string() + ".rank" +
         std::to_string(rank) + extension;
}

static Outcome trace(const RunOptions &options, RankSet &set, RankRun &run) {
  for (int i = 0; i < 3; ++i)
    if (Outcome outcome = run.run(); !outcome)
      return outcome;
  for (int64_t index = 0; index < set.numHere(); ++index)
    if (Outcome outcome = set[index].context.startTrace(); !outcome)
      return outcome;
  if (Outcome outcome = run.run(); !outcome)
    return outcome;
  for (int64_t index = 0; index < set.numHere(); ++index) {
    Context &context = set[index].context;
    const int64_t rank = set[index].number;
    std::vector<Span> spans;
    if (Outcome outcome = context.takeTrace(spans); !outcome)
      return outcome;
    std::printf("\nrank %lld\n%s", static_cast<long long>(rank),
                drawTimeline(spans, getWidth()).c_str());
    if (options.trace.empty())
      continue;
    std::string path = nameTrace(options.trace, rank);
    if (moert_trace_write(context.get(), path.c_str()) != MOERT_SUCCESS)
      return context.error();
    std::printf("%s", formatField("trace", path).c_str());
  }
  return {};
}

static Outcome check(const RunOptions &options, const Artefact &artefact,
                     const RankSet &set, const HostTensor &output) {
  return options.check ? checkOutput(options, artefact.descriptor().layer,
                                     set.whole(), output)
                       : Outcome();
}

static Outcome runAll(const RunOptions &options, const Artefact &artefact,
                      RankSet &set, HostTensor &output) {
  if (options.bench || options.calibrate)
    return Outcome::failed(
        std::string(options.bench ? "--bench" : "--calibrate") +
        ": expected an artefact for one rank: ranks that share this machine's "
        "cores say nothing about ranks that have their own");
  if (Outcome outcome = set.create(options, artefact); !outcome)
    return outcome;
  // One of the processes speaks.
  if (!set.isLead() && !std::freopen("/dev/null", "w", stdout))
    return Outcome::failed("cannot write to /dev/null");
  RankRun run(set, artefact);
  if (Outcome outcome = run.prepare(); !outcome)
    return outcome;
  run.setPoison(options.poison);
  if (Outcome outcome = run.run(); !outcome)
    return outcome;
  printHeader(artefact, set, run);
  if (!options.output.empty() && set.isLead())
    if (Outcome outcome = writeOutput(options.output, run.output()); !outcome)
      return outcome;
  // Other processes would wait meanwhile: there it comes last.
  if (!set.isProcess())
    if (Outcome outcome = check(options, artefact, set, run.output()); !outcome)
      return outcome;
  if (options.graph)
    if (Outcome outcome = run.capture(); !outcome)
      return outcome;
  if (options.repeat > 1)
    if (Outcome outcome = checkRepeats([&] { return run.run(); }, run.output(),
                                       options.repeat - 1);
        !outcome)
      return outcome;
  if (Outcome outcome = compareSchedules(options, set, run); !outcome)
    return outcome;
  run.setPoison(false);
  if (!options.trace.empty() || options.timeline)
    if (Outcome outcome = trace(options, set, run); !outcome)
      return outcome;
  output = run.takeOutput();
  return {};
}

Outcome moe::tools::runRanks(const RunOptions &options,
                             const Artefact &artefact) {
  RankSet set;
  // Of the last run, which has the bits of the first.
  HostTensor output;
  Outcome outcome = runAll(options, artefact, set, output);
  if (outcome && set.isProcess()) {
    const bool isLead = set.isLead();
    set.leave();
    if (isLead)
      outcome = check(options, artefact, set, output);
  }
  return outcome.withPrefix(set.prefix());
}
