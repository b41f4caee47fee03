//===- Session.cpp - All that is asked of an artefact ---------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Session.h"

#include "Bench.h"
#include "Calibrate.h"
#include "Compile.h"
#include "Memory.h"
#include "Processes.h"
#include "Report.h"
#include "Steps.h"
#include "Support/Device.h"
#include "Support/Progress.h"
#include "Timeline.h"
#include "Tokens.h"
#include "moe-mlir/Run/Files.h"
#include "moe-mlir/Support/Format.h"

#include <cstdio>
#include <fcntl.h>
#include <filesystem>
#include <unistd.h>
#include <utility>

using namespace moe;
using namespace moe::run;
using namespace moe::tools;

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

namespace {
/// An artefact's ranks and what is done with them.
class Session {
public:
  Session(const RunOptions &options, const Artefact &artefact)
      : options(options), artefact(artefact) {}

  Status run();

private:
  bool hasOneRank() const { return artefact.descriptor().numRanks == 1; }

  /// Makes the ranks and their inputs.
  Status open();
  Status createRanks();
  Status makeInputs(const RankLayout &layout, Inputs &inputs);

  /// What is asked of a run, while the ranks are there.
  Status runAll();
  /// Runs once more, with the ranks that are left after `failure`; hands that
  /// back where no rank is lost.
  Status goOn(const Status &failure);
  Status prepare(RankRun &run);
  Status write(RankRun &run);
  Status check(const HostTensor &output) const;
  Status repeat(RankRun &run);
  Status compareSchedules(const RankRun &first);
  Status trace(RankRun &run);

  const RunOptions &options;
  const Artefact &artefact;
  RankSet set;
  std::string place = "threads of this process";
  Voice voice;
  /// Of the last run of ranks that are processes, which has the bits of the
  /// first.
  HostTensor output;
};
} // namespace

//===----------------------------------------------------------------------===//
// Ranks and inputs
//===----------------------------------------------------------------------===//

Status Session::createRanks() {
  const Descriptor &descriptor = artefact.descriptor();
  Result<RankLayout> layout = readLayout(descriptor);
  if (!layout)
    return layout.failure();
  if (options.shrink)
    MOE_TRY(checkShrinkable(descriptor, *layout)
                .withPrefix("--on-lost-rank=shrink: "));
  if (options.eplbStepInterval)
    MOE_TRY(checkBalanceable(descriptor, *layout)
                .withPrefix("--eplb-step-interval: "));
  RankOptions how;
  how.threads = options.threads;
  how.timeoutMs = options.timeoutMilliseconds();
  if (isForGPU(descriptor.target) && !hasOneRank()) {
    MOE_TRY(readProcess(descriptor, how.process.emplace()));
    const int devices = std::max(1, countGPUs());
    place = shareGPUs(*how.process, devices);
    how.device = how.process->local_rank % devices;
  }
  return set.create(descriptor, *layout, how);
}

Status Session::makeInputs(const RankLayout &layout, Inputs &inputs) {
  const Descriptor &descriptor = artefact.descriptor();
  MOE_TRY(checkSignature(descriptor));
  RowFile file;
  if (!options.input.empty())
    MOE_TRY(file.open(options.input, descriptor.layer,
                      options.inputs.convertDType));
  std::vector<int64_t> tokens;
  MOE_TRY(findTokens(options, descriptor, layout, file.numRows(), tokens));
  const int64_t T = countRows(layout, tokens);
  MOE_TRY(checkMemory(options, artefact, T, tokens));
  InputOptions how = options.inputs;
  how.onProgress = [](const std::string &what) {
    return std::make_shared<Progress>(what);
  };
  return run::makeInputs(descriptor, T, tokens, how,
                         options.input.empty() ? nullptr : &file, inputs);
}

Status Session::open() {
  // A device that is not there is known before inputs are made for it.
  MOE_TRY(createRanks());
  Inputs inputs;
  MOE_TRY(makeInputs(set.layout(), inputs));
  MOE_TRY(set.start(std::move(inputs)));
  if (!set.isLead())
    voice.mute();
  return {};
}

//===----------------------------------------------------------------------===//
// What is asked of a run
//===----------------------------------------------------------------------===//

Status Session::prepare(RankRun &run) {
  MOE_TRY(run.prepare());
  run.setPoison(options.poison);
  return run.run();
}

Status Session::check(const HostTensor &output) const {
  if (!options.check)
    return {};
  std::unique_ptr<Progress> progress =
      std::make_unique<Progress>("evaluating the reference in float64");
  Result<CheckReport> report = checkOutput(
      artefact.descriptor().layer, set.whole(), output, options.checkRows);
  if (!report)
    return report.failure();
  progress.reset();
  printCheck(*report);
  std::string complaint = report->complaint();
  return complaint.empty() ? Status() : failed(complaint);
}

Status Session::write(RankRun &run) {
  if (options.output.empty())
    return {};
  std::optional<HostTensor> loads;
  MOE_TRY(run.collectExpertLoads(loads));
  return set.isLead() ? writeOutput(options.output, run.output(),
                                    loads ? &*loads : nullptr)
                      : Status();
}

Status Session::repeat(RankRun &run) {
  // Other processes would wait meanwhile: there it comes last.
  if (!set.isProcess())
    MOE_TRY(check(run.output()));
  if (options.graph)
    MOE_TRY(run.capture());
  if (options.repeat == 1)
    return {};
  {
    Progress progress("running " + count(options.repeat - 1, "more time"));
    MOE_TRY(checkRepeats([&] { return run.run(); }, run.output(),
                         options.repeat - 1));
  }
  std::fputs(formatField("repeat", std::to_string(options.repeat) +
                                       " runs, bitwise equal outputs")
                 .c_str(),
             stdout);
  return {};
}

/// Runs the artefacts of the other rule sets on the same inputs.
Status Session::compareSchedules(const RankRun &first) {
  const std::vector<std::string> &schedules = options.compareSchedules;
  if (schedules.empty())
    return {};
  Table table("lll");
  table.add({"schedule", "order", "output"});
  table.add({schedules[0], listOrders(artefact, set.tokens()), "first"});
  std::string different;
  for (size_t i = 1; i < schedules.size(); ++i) {
    Artefact other;
    MOE_TRY(compileArtefact(options, schedules[i], other));
    MOE_TRY(checkRunnable(options, other.descriptor()));
    RankRun run(set, other);
    MOE_TRY(prepare(run));
    std::string verdict = "bitwise equal", difference;
    if (!isBitwiseEqual(first.output(), run.output(), difference)) {
      verdict = difference;
      different += (different.empty() ? "'" : ", '") + schedules[i] + "'";
    }
    table.add({schedules[i], listOrders(other, set.tokens()), verdict});
  }
  std::printf("\n%s", table.print(2).c_str());
  if (different.empty())
    return {};
  return failed("expected bitwise equal outputs of all schedules but " +
                different + " differ from '" + schedules[0] + "'");
}

/// The file of one rank's trace: "out.json" becomes "out.rank0.json".
static std::string nameTrace(const std::string &path, int64_t rank) {
  std::filesystem::path file(path);
  std::string extension = file.extension().string();
  return (file.parent_path() / file.stem()).string() + ".rank" +
         std::to_string(rank) + extension;
}

/// Traces one run of a warm layer: a first run after a pause shows threads that
/// wake up.
Status Session::trace(RankRun &run) {
  if (options.trace.empty() && !options.timeline)
    return {};
  for (int i = 0; i < 3; ++i)
    MOE_TRY(run.run());
  for (int64_t index = 0; index < set.numHere(); ++index)
    MOE_TRY(set[index].context.startTrace());
  MOE_TRY(set.meet());
  MOE_TRY(run.run());
  for (int64_t index = 0; index < set.numHere(); ++index) {
    Context &context = set[index].context;
    const int64_t rank = set[index].number;
    std::vector<Span> spans;
    MOE_TRY(context.takeTrace(spans));
    std::printf("\n%s%s",
                hasOneRank() ? ""
                             : ("rank " + std::to_string(rank) + "\n").c_str(),
                drawTimeline(spans, getWidth()).c_str());
    if (options.trace.empty())
      continue;
    const std::string path =
        hasOneRank() ? options.trace : nameTrace(options.trace, rank);
    MOE_TRY(context.writeTrace(path));
    std::printf("\n%s", formatField("trace", path).c_str());
  }
  return {};
}

Status Session::runAll() {
  if ((options.bench || options.calibrate) && !hasOneRank())
    return failed(
        std::string(options.bench ? "--bench" : "--calibrate") +
        ": expected an artefact for one rank: ranks that share this machine's "
        "cores say nothing about ranks that have their own");
  const std::string &target = artefact.descriptor().target;
  if (options.calibrate && isForGPU(target))
    return badInput("--calibrate: expected an artefact for target 'cpu' but "
                    "got one for '" +
                    target + "'");
  MOE_TRY(open());
  RankRun run(set, artefact);
  MOE_TRY(prepare(run));
  printHeader(artefact, set, place, run);
  if (options.traffic) {
    std::vector<int64_t> bytes;
    MOE_TRY(set.collectTraffic(bytes));
    printTraffic(bytes, set.layout().numRanks());
  }
  MOE_TRY(write(run));
  MOE_TRY(options.eplbStepInterval ? runSteps(options, set, run) : repeat(run));
  MOE_TRY(compareSchedules(run));
  // Filling memory before a run is for finding faults, not for measuring.
  run.setPoison(false);
  if (options.bench)
    MOE_TRY(bench(options, artefact, set.whole(), set[0].context,
                  run.execution(0)));
  MOE_TRY(trace(run));
  if (options.calibrate)
    MOE_TRY(calibrate(options, artefact, set.whole(), set[0].context,
                      run.execution(0)));
  if (set.isProcess())
    output = run.takeOutput();
  return {};
}

Status Session::goOn(const Status &failure) {
  const LayerSpec &layer = artefact.descriptor().layer;
  std::vector<int64_t> ranks, experts;
  if (!set.shrink(ranks, experts))
    return failure;
  if (set.isLead())
    voice.raise();
  std::printf("%s", formatField("lost", failure.error()).c_str());
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
  MOE_TRY(prepare(run));
  output = run.takeOutput();
  return {};
}

Status Session::run() {
  Status status = runAll();
  if (!status && options.shrink && set.isProcess() && set.numHere() > 0)
    status = goOn(status);
  if (status && set.isProcess()) {
    const bool isLead = set.isLead();
    set.leave();
    // With steps, each was checked.
    if (isLead && !options.eplbStepInterval)
      status = check(output);
  }
  return status.withPrefix(set.prefix());
}

Status moe::tools::runArtefact(const RunOptions &options,
                               const Artefact &artefact) {
  return Session(options, artefact).run();
}
