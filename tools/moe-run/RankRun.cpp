//===- RankRun.cpp - Ranks as threads -------------------------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "RankRun.h"

#include "Check.h"
#include "Files.h"
#include "Ranks.h"
#include "Support/Format.h"
#include "Timeline.h"

#include <cstdio>
#include <cstring>
#include <filesystem>
#include <thread>

using namespace moe;
using namespace moe::tools;

namespace {
/// A rank's context and inputs, which serve one artefact after the other.
struct Rank {
  Context context;
  Inputs inputs;
  DeviceInputs deviceInputs;
};

/// The ranks of one run of the tool.
class RankSet {
public:
  ~RankSet() {
    ranks.clear();
    moert_group_destroy(group);
  }

  Outcome create(const RunOptions &options, const Artefact &artefact);

  const RankLayout &layout() const { return shares; }
  const Inputs &whole() const { return inputs; }
  const std::vector<int64_t> &tokens() const { return inputs.tokensPerRank; }
  int64_t size() const { return int64_t(ranks.size()); }
  Rank &operator[](int64_t rank) { return *ranks[rank]; }

  /// Calls `body(rank)` on a thread for each rank; the first failure counts,
  /// with the number of its rank.
  template <typename Body> Outcome forEach(Body body);

private:
  RankLayout shares;
  Inputs inputs;
  moert_group *group = nullptr;
  std::vector<std::unique_ptr<Rank>> ranks;
};

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
  /// Runs all ranks once and collects their rows.
  Outcome run();
  const HostTensor &output() const { return result; }
  int64_t workspaceBytes() const {
    return executions.front()->workspaceBytes();
  }
  int64_t nanoseconds() const { return executions.front()->nanoseconds(); }

private:
  Outcome collect();

  RankSet &set;
  const Artefact &artefact;
  std::vector<std::unique_ptr<Execution>> executions;
  HostTensor result;
};
} // namespace

template <typename Body> Outcome RankSet::forEach(Body body) {
  std::vector<Outcome> outcomes(ranks.size());
  std::vector<std::thread> threads;
  for (int64_t rank = 0; rank < size(); ++rank)
    threads.emplace_back([&, rank] {
      try {
        outcomes[rank] = body(rank);
      } catch (const std::exception &error) {
        outcomes[rank] = Outcome::failed(error.what());
      }
    });
  for (std::thread &thread : threads)
    thread.join();
  for (int64_t rank = 0; rank < size(); ++rank)
    if (!outcomes[rank])
      return Outcome::failed("rank " + std::to_string(rank) + ": " +
                             outcomes[rank].message());
  return {};
}

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
  std::string tokens;
  for (int64_t count : set.tokens())
    tokens += (tokens.empty() ? "" : ", ") + std::to_string(count);
  text += formatField("rows",
                      tokens + " tokens on the ranks, " + set.whole().rowsFrom);
  text += formatField("weights", set.whole().weightsFrom);
  for (const std::string &note : set.whole().notes)
    text += formatField("  note", note);
  std::string orders;
  for (int64_t rank = 0; rank < set.size(); ++rank) {
    std::string order = artefact.orderAt(set.tokens()[rank]);
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
  for (int64_t rank = 0; rank < set.size(); ++rank)
    if (Outcome outcome = set[rank].context.startTrace(); !outcome)
      return outcome;
  if (Outcome outcome = run.run(); !outcome)
    return outcome;
  for (int64_t rank = 0; rank < set.size(); ++rank) {
    Context &context = set[rank].context;
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

Outcome moe::tools::runRanks(const RunOptions &options,
                             const Artefact &artefact) {
  if (options.bench || options.calibrate)
    return Outcome::failed(
        std::string(options.bench ? "--bench" : "--calibrate") +
        ": expected an artefact for one rank: ranks that share this machine's "
        "cores say nothing about ranks that have their own");
  RankSet set;
  if (Outcome outcome = set.create(options, artefact); !outcome)
    return outcome;
  RankRun run(set, artefact);
  if (Outcome outcome = run.prepare(); !outcome)
    return outcome;
  run.setPoison(options.poison);
  if (Outcome outcome = run.run(); !outcome)
    return outcome;
  printHeader(artefact, set, run);
  if (!options.output.empty())
    if (Outcome outcome = writeOutput(options.output, run.output()); !outcome)
      return outcome;
  if (options.check)
    if (Outcome outcome = checkOutput(options, artefact.descriptor().layer,
                                      set.whole(), run.output());
        !outcome)
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
    return trace(options, set, run);
  return {};
}
