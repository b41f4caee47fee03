//===- RankRun.cpp - What is asked of an artefact for several ranks -------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "RankRun.h"

#include "Check.h"
#include "Files.h"
#include "LoadBalance.h"
#include "RankSet.h"
#include "Support/Format.h"
#include "Timeline.h"

#include <cstdio>
#include <fcntl.h>
#include <filesystem>
#include <unistd.h>
#include <utility>

using namespace moe;
using namespace moe::tools;

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
  if (Outcome outcome = set.meet(); !outcome)
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

static Outcome write(const RunOptions &options, const RankSet &set,
                     RankRun &run) {
  if (options.output.empty())
    return {};
  std::optional<HostTensor> loads;
  if (Outcome outcome = run.collectExpertLoads(loads); !outcome)
    return outcome;
  return set.isLead() ? writeOutput(options.output, run.output(),
                                    loads ? &*loads : nullptr)
                      : Outcome();
}

/// A row for each rank that gets, a column for each that gives.
static Outcome printTraffic(RankSet &set) {
  std::vector<int64_t> bytes;
  if (Outcome outcome = set.collectTraffic(bytes); !outcome)
    return outcome;
  const int64_t ranks = set.layout().numRanks();
  Table table("l" + std::string(size_t(ranks), 'r'));
  std::vector<std::string> head = {"bytes to"};
  for (int64_t from = 0; from < ranks; ++from)
    head.push_back("from " + std::to_string(from));
  table.add(head);
  for (int64_t to = 0; to < ranks; ++to) {
    std::vector<std::string> row = {"rank " + std::to_string(to)};
    for (int64_t from = 0; from < ranks; ++from)
      row.push_back(std::to_string(bytes[size_t(to * ranks + from)]));
    table.add(row);
  }
  std::printf("\n%s\n", table.print(2).c_str());
  return {};
}

static Outcome repeat(const RunOptions &options, const Artefact &artefact,
                      RankSet &set, RankRun &run) {
  // Other processes would wait meanwhile: there it comes last.
  if (!set.isProcess())
    if (Outcome outcome = check(options, artefact, set, run.output()); !outcome)
      return outcome;
  if (options.graph)
    if (Outcome outcome = run.capture(); !outcome)
      return outcome;
  return options.repeat > 1 ? checkRepeats([&] { return run.run(); },
                                           run.output(), options.repeat - 1)
                            : Outcome();
}

namespace {
/// Standard output, of which one of several processes makes use.
class Voice {
public:
  ~Voice() { raise(); }

  void mute() {
    std::fflush(stdout);
    saved = dup(STDOUT_FILENO);
    if (int null = open("/dev/null", O_WRONLY | O_CLOEXEC); null >= 0) {
      dup2(null, STDOUT_FILENO);
      close(null);
    }
  }
  void raise() {
    std::fflush(stdout);
    if (saved < 0)
      return;
    dup2(saved, STDOUT_FILENO);
    close(std::exchange(saved, -1));
  }

private:
  int saved = -1;
};
} // namespace

/// Runs once more, with the ranks that are left after `failure`; hands that
/// back where no rank is lost.
static Outcome goOn(const RunOptions &options, const Artefact &artefact,
                    RankSet &set, Voice &voice, const Outcome &failure,
                    HostTensor &output) {
  const LayerSpec &layer = artefact.descriptor().layer;
  std::vector<int64_t> ranks, experts;
  if (!set.shrink(layer, ranks, experts))
    return failure;
  if (set.isLead())
    voice.raise();
  std::printf("%s", formatField("lost", failure.message()).c_str());
  std::printf(
      "%s",
      formatField(
          "goes on",
          count(set.layout().numRanks() - int64_t(ranks.size()), "rank") +
              ", with " +
              count(layer.numExperts - int64_t(experts.size()), "expert") +
              format(" of %lld", static_cast<long long>(layer.numExperts)))
          .c_str());
  RankRun run(set, artefact);
  if (Outcome outcome = run.prepare(); !outcome)
    return outcome;
  run.setPoison(options.poison);
  if (Outcome outcome = run.run(); !outcome)
    return outcome;
  output = run.takeOutput();
  return {};
}

static Outcome runAll(const RunOptions &options, const Artefact &artefact,
                      RankSet &set, Voice &voice, HostTensor &output) {
  if (options.bench || options.calibrate)
    return Outcome::failed(
        std::string(options.bench ? "--bench" : "--calibrate") +
        ": expected an artefact for one rank: ranks that share this machine's "
        "cores say nothing about ranks that have their own");
  if (Outcome outcome = set.create(options, artefact); !outcome)
    return outcome;
  if (options.shrink)
    if (Outcome outcome = checkShrinkable(artefact.descriptor(), set.layout());
        !outcome)
      return outcome;
  if (!set.isLead())
    voice.mute();
  if (options.eplbStepInterval)
    if (Outcome outcome = checkBalanceable(artefact, set.layout()); !outcome)
      return outcome;
  RankRun run(set, artefact);
  if (Outcome outcome = run.prepare(); !outcome)
    return outcome;
  run.setPoison(options.poison);
  if (Outcome outcome = run.run(); !outcome)
    return outcome;
  printHeader(artefact, set, run);
  if (options.traffic)
    if (Outcome outcome = printTraffic(set); !outcome)
      return outcome;
  if (Outcome outcome = write(options, set, run); !outcome)
    return outcome;
  if (options.eplbStepInterval) {
    if (Outcome outcome = runBalanced(options, artefact, set, run); !outcome)
      return outcome;
  } else if (Outcome outcome = repeat(options, artefact, set, run); !outcome) {
    return outcome;
  }
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
  Voice voice;
  Outcome outcome = runAll(options, artefact, set, voice, output);
  if (!outcome && options.shrink && set.isProcess() && set.numHere() > 0)
    outcome = goOn(options, artefact, set, voice, outcome, output);
  if (outcome && set.isProcess()) {
    const bool isLead = set.isLead();
    set.leave();
    // With steps, each was checked.
    if (isLead && !options.eplbStepInterval)
      outcome = check(options, artefact, set, output);
  }
  return outcome.withPrefix(set.prefix());
}
