//===- moe-run.cpp - Runs a Mixture-of-Experts layer ----------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Bench.h"
#include "Calibrate.h"
#include "Check.h"
#include "Files.h"
#include "Launch.h"
#include "RankRun.h"
#include "Support/Device.h"
#include "Support/Format.h"
#include "Timeline.h"

#include <cstdio>
#include <exception>
#include <new>

using namespace moe;
using namespace moe::tools;

/// What is known before anything is compiled or loaded.
static Outcome checkRanks(const RunOptions &options) {
  if (!options.ranks || options.kind != SourceKind::Config)
    return {};
  // A factor may be as large as it likes: the product stops past the number.
  const policy::ParallelConfig &parallel = options.compile.parallel;
  int64_t ranks = 1;
  for (int64_t size : {parallel.tensorParallelSize, parallel.dataParallelSize,
                       parallel.prefillContextParallelSize})
    if (ranks <= *options.ranks)
      ranks *= size;
  if (ranks == *options.ranks)
    return {};
  return Outcome::badInput(
      "--ranks: expected tensor-parallel, data-parallel and "
      "prefill-context-parallel sizes whose product is " +
      std::to_string(*options.ranks) + " but it is " +
      (ranks > *options.ranks ? "larger" : std::to_string(ranks)));
}

static void printHeader(const RunOptions &options, const Artefact &artefact,
                        const Inputs &inputs, const Execution &execution) {
  const Descriptor &descriptor = artefact.descriptor();
  std::string text = formatField(
      "layer", descriptor.name + ", " + dtypeName(descriptor.layer.dtype) +
                   ", target " + descriptor.target + " (" +
                   descriptor.instructionSet + ")");
  text +=
      formatField("rows", count(inputs.T, "token") + ", " + inputs.rowsFrom);
  text += formatField("weights", inputs.weightsFrom);
  for (const std::string &note : inputs.notes)
    text += formatField("  note", note);
  text += formatField("order", artefact.orderAt(inputs.T));
  text +=
      formatField("workspace", formatBytes(double(execution.workspaceBytes())));
  text +=
      formatField("run", formatMilliseconds(double(execution.nanoseconds())) +
                             " ms (first run)");
  std::fputs(text.c_str(), stdout);
  std::fflush(stdout);
}

/// Runs the artefacts of the other rule sets on the same inputs.
static Outcome compareSchedules(const RunOptions &options, Context &context,
                                const DeviceInputs &inputs,
                                const Artefact &artefact,
                                const Execution &execution) {
  const int64_t T = inputs.host().T;
  Table table("lll");
  table.add({"schedule", "order", "output"});
  table.add({options.compareSchedules[0], artefact.orderAt(T), "first"});
  std::vector<std::string> different;
  for (size_t i = 1; i < options.compareSchedules.size(); ++i) {
    Artefact other;
    if (Outcome outcome =
            compileArtefact(options, options.compareSchedules[i], other);
        !outcome)
      return outcome;
    if (Outcome outcome = checkRunnable(options, other.descriptor()); !outcome)
      return outcome;
    Execution otherExecution(context, other, inputs);
    otherExecution.setPoison(options.poison);
    if (Outcome outcome = otherExecution.prepare(); !outcome)
      return outcome;
    if (Outcome outcome = otherExecution.run(); !outcome)
      return outcome;
    std::string verdict = "bitwise equal", difference;
    if (!isBitwiseEqual(execution.output(), otherExecution.output(),
                        difference)) {
      verdict = difference;
      different.push_back(options.compareSchedules[i]);
    }
    table.add({options.compareSchedules[i], other.orderAt(T), verdict});
  }
  std::printf("\n%s", table.print(2).c_str());
  if (different.empty())
    return {};
  std::string names;
  for (const std::string &name : different)
    names += (names.empty() ? "'" : ", '") + name + "'";
  return Outcome::failed(
      "expected bitwise equal outputs of all schedules but " + names +
      " differ from '" + options.compareSchedules[0] + "'");
}

/// Traces one run of a warm layer: a first run after a pause shows threads that
/// wake up.
static Outcome traceOnce(const RunOptions &options, Context &context,
                         Execution &execution) {
  for (int i = 0; i < 3; ++i)
    if (Outcome outcome = execution.run(); !outcome)
      return outcome;
  if (Outcome outcome = context.startTrace(); !outcome)
    return outcome;
  if (Outcome outcome = execution.run(); !outcome)
    return outcome;
  std::vector<Span> spans;
  if (Outcome outcome = context.takeTrace(spans); !outcome)
    return outcome;
  std::printf("\n%s", drawTimeline(spans, getWidth()).c_str());
  if (options.trace.empty())
    return {};
  if (moert_trace_write(context.get(), options.trace.c_str()) != MOERT_SUCCESS)
    return context.error();
  std::printf("\n%s", formatField("trace", options.trace).c_str());
  return {};
}

/// All that is asked of a loaded artefact.
static Outcome runArtefact(const RunOptions &options,
                           const Artefact &artefact) {
  const std::string &target = artefact.descriptor().target;
  if (options.calibrate && isForGPU(target))
    return Outcome::badInput("--calibrate: expected an artefact for target "
                             "'cpu' but got one for '" +
                             target + "'");
  // A device that is not there is known before inputs are made for it.
  Context context;
  if (Outcome outcome = context.create(target, options.threads); !outcome)
    return outcome;
  Inputs inputs;
  if (Outcome outcome = makeInputs(options, artefact, inputs); !outcome)
    return outcome;
  DeviceInputs deviceInputs;
  if (Outcome outcome = deviceInputs.create(context, inputs); !outcome)
    return outcome;
  Execution execution(context, artefact, deviceInputs);
  if (Outcome outcome = execution.prepare(); !outcome)
    return outcome;
  execution.setPoison(options.poison);
  if (Outcome outcome = execution.run(); !outcome)
    return outcome;
  printHeader(options, artefact, inputs, execution);
  if (!options.output.empty())
    if (Outcome outcome = writeOutput(options.output, execution.output(),
                                      execution.expertLoad());
        !outcome)
      return outcome;
  if (options.check)
    if (Outcome outcome = checkOutput(options, artefact.descriptor().layer,
                                      inputs, execution.output());
        !outcome)
      return outcome;
  if (options.graph)
    if (Outcome outcome = execution.capture(); !outcome)
      return outcome;
  if (options.repeat > 1)
    if (Outcome outcome = checkRepeats([&] { return execution.run(); },
                                       execution.output(), options.repeat - 1);
        !outcome)
      return outcome;
  if (!options.compareSchedules.empty())
    if (Outcome outcome = compareSchedules(options, context, deviceInputs,
                                           artefact, execution);
        !outcome)
      return outcome;
  // Filling memory before a run is for finding faults, not for measuring.
  execution.setPoison(false);
  if (options.bench)
    if (Outcome outcome = bench(options, artefact, inputs, context, execution);
        !outcome)
      return outcome;
  if (!options.trace.empty() || options.timeline)
    if (Outcome outcome = traceOnce(options, context, execution); !outcome)
      return outcome;
  if (options.calibrate)
    return calibrate(options, artefact, inputs, context, execution);
  return {};
}

/// On GPUs every rank is a process: this one, if a launcher has started it, or
/// one of those that are started here.
static Outcome runAllRanks(const RunOptions &options, const Artefact &artefact,
                           char **arguments) {
  const Descriptor &descriptor = artefact.descriptor();
  if (!isForGPU(descriptor.target) || isRankProcess())
    return runRanks(options, artefact);
  // That there is none, one process says best.
  if (countGPUs() == 0)
    return Context().create(descriptor.target, options.threads);
  std::optional<int64_t> grace;
  if (!options.shrink)
    grace = 2 * options.timeoutMilliseconds();
  return launchRanks(arguments, descriptor.numRanks, grace);
}

static Outcome run(const RunOptions &options, char **arguments) {
  const bool compiles = options.kind != SourceKind::Artefact;
  if (compiles && (!options.explain.empty() || !options.emit.empty()))
    return passThrough(options);
  Artefact artefact;
  if (!compiles && !options.explain.empty()) {
    if (Outcome outcome = artefact.load(options.source, options.source);
        !outcome)
      return outcome;
    return explain(artefact, options);
  }
  if (Outcome outcome = checkRanks(options); !outcome)
    return outcome;
  const std::string schedule = options.compareSchedules.empty()
                                   ? options.compile.schedule
                                   : options.compareSchedules[0];
  Outcome loaded = compiles ? compileArtefact(options, schedule, artefact)
                            : artefact.load(options.source, options.source);
  if (!loaded)
    return loaded;
  if (Outcome outcome = checkRunnable(options, artefact.descriptor()); !outcome)
    return outcome;
  return artefact.descriptor().numRanks > 1
             ? runAllRanks(options, artefact, arguments)
             : runArtefact(options, artefact);
}

int main(int argc, char **argv) {
  RunOptions options;
  if (std::optional<int> code = parseOptions(argc, argv, options))
    return *code;
  try {
    Outcome outcome = run(options, argv);
    std::fflush(stdout);
    return report(outcome);
  } catch (const std::bad_alloc &) {
    return report(Outcome::failed("out of memory"));
  } catch (const std::exception &error) {
    return report(Outcome::failed(error.what()));
  }
}
