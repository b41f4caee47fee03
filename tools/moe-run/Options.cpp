//===- Options.cpp - The command line of moe-run --------------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Options.h"
#include "moe-mlir/Policy/RuleSet.h"

#include "Support/Version.h"

#include <CLI/CLI.hpp>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <iostream>

using namespace moe;
using namespace moe::run;
using namespace moe::tools;

static bool endsWith(const std::string &text, const std::string &end) {
  return text.size() >= end.size() &&
         text.compare(text.size() - end.size(), end.size(), end) == 0;
}

/// Names decide, and for other names the magic of ELF files does.
static Status classify(const std::string &path, SourceKind &kind) {
  errno = 0;
  std::ifstream file(path, std::ios::binary);
  char magic[4] = {};
  if (!file || (!file.read(magic, sizeof(magic)) && file.bad()))
    return badInput("cannot read '" + path +
                    "': " + std::strerror(errno ? errno : EIO));
  if (endsWith(path, ".json"))
    kind = SourceKind::Config;
  else if (endsWith(path, ".mlir"))
    kind = SourceKind::IR;
  else if (endsWith(path, ".so") || std::memcmp(magic, "\177ELF", 4) == 0)
    kind = SourceKind::Artefact;
  else
    return badInput("expected an artefact (.so), a model's config "
                    "(.json) or a layer (.mlir) but got '" +
                    path + "'");
  return {};
}

static Status splitSchedules(const std::string &list,
                             std::vector<std::string> &names) {
  std::istringstream stream(list + ",");
  std::string schedule, error;
  while (std::getline(stream, schedule, ',')) {
    if (!policy::findRuleSet(schedule, error))
      return badInput("--compare-schedules: " + error);
    names.push_back(schedule);
  }
  if (names.size() < 2)
    return badInput("--compare-schedules: expected at least two rule "
                    "sets, separated by commas, but got '" +
                    list + "'");
  return {};
}

int moe::tools::report(const Status &status) {
  if (!status.error().empty())
    std::cerr << "moe-run: " << status.error() << "\n";
  return getExitCode(status);
}

/// The options that say how a layer is compiled, which a compiled one refuses.
static std::vector<CLI::Option *> addCompileFlags(CLI::App &app,
                                                  CompileFlags &flags) {
  std::vector<const CLI::Option *> before;
  for (const CLI::Option *option : app.get_options())
    before.push_back(option);
  flags.add(app);
  std::vector<CLI::Option *> added;
  for (CLI::Option *option :
       app.get_options([](CLI::Option *) { return true; }))
    if (std::find(before.begin(), before.end(), option) == before.end())
      added.push_back(option);
  return added;
}

static void addRunFlags(CLI::App &app, RunOptions &options,
                        std::string &compareSchedules) {
  const CLI::Range counts(int64_t(1), int64_t(1) << 30);
  const char *group = "Inputs and output";
  app.add_option("--num-tokens", options.numTokens,
                 "Rows of the run (default: those of --input, else 16)")
      ->group(group)
      ->check(CLI::Range(int64_t(0), int64_t(1) << 30));
  app.add_option("--seed", options.inputs.seed,
                 "Seed of what is random: all inputs that no file gives")
      ->group(group)
      ->capture_default_str();
  app.add_option("--routing-skew", options.inputs.routingSkew,
                 "Make random routing uneven: the r-th popular expert's logit "
                 "is lower by this times ln(r), as Zipf's law has it")
      ->group(group)
      ->check(CLI::Range(0.0, 100.0));
  app.add_option("--weights", options.inputs.weights,
                 "Weights: a safetensors file, a model's folder or its "
                 "model.safetensors.index.json")
      ->group(group);
  app.add_option("--input", options.input,
                 "A safetensors file with 'hidden_states' [T, H] and, where "
                 "the routing is given, 'topk_ids' and 'topk_weights' [T, k]")
      ->group(group);
  app.add_option(
         "--output", options.output,
         "Write 'output' [T, H], and 'expert_load' where it is recorded, "
         "to this safetensors file")
      ->group(group);
  app.add_flag("--convert-dtype", options.inputs.convertDType,
               "Convert tensors of --weights and --input from other "
               "floating-point dtypes")
      ->group(group);

  group = "Checking";
  app.add_flag("--check", options.check,
               "Compare with the reference in float64; exit code 1 past the "
               "tolerance")
      ->group(group);
  app.add_option("--check-rows", options.checkRows,
                 "With --check: evaluate only this many rows, evenly spaced")
      ->group(group)
      ->check(counts);
  app.add_option("--repeat", options.repeat,
                 "Run N times and require bitwise equal outputs (with "
                 "--eplb-step-interval: N steps, each with other tokens)")
      ->group(group)
      ->check(counts);
  app.add_flag("--graph", options.graph,
               "With --repeat: capture the call in a CUDA graph and repeat "
               "that")
      ->group(group);
  app.add_option("--compare-schedules", compareSchedules,
                 "Compile with each of these rule sets (a,b,...) and require "
                 "bitwise equal outputs")
      ->group(group);
  app.add_flag("--poison,!--no-poison", options.poison,
               "Fill output and workspace with NaNs before each run (default: "
               "with --check, --repeat and --compare-schedules)")
      ->group(group);

  group = "Measuring";
  app.add_flag("--bench", options.bench, "Measure the time of a run")
      ->group(group);
  app.add_option("-n", options.benchRuns, "With --bench: the number of runs")
      ->group(group)
      ->capture_default_str()
      ->check(CLI::Range(int64_t(1), int64_t(1000000)));
  app.add_option("--trace", options.trace,
                 "Write a trace of one run, which Perfetto opens, and print "
                 "its timeline")
      ->group(group);
  app.add_flag("--traffic", options.traffic,
               "Print how many bytes ranks got from each other in one run")
      ->group(group);
  app.add_flag("--timeline", options.timeline,
               "Print what ran when on every stream, in one run")
      ->group(group);
  app.add_flag("--calibrate", options.calibrateFile,
               "Measure this machine's ceilings and write them as JSON, to "
               "=FILE or to a file in $MOE_CACHE_DIR or ~/.cache/moe-mlir")
      ->group(group);

  group = "Running";
  app.add_option("--threads", options.threads,
                 "Threads that work on one launch (default: one per core)")
      ->group(group)
      ->check(CLI::Range(1, 4096));
  app.add_option("--ranks", options.ranks,
                 "Ranks that run together: threads on the CPU, processes on "
                 "GPUs, which this program starts unless torchrun, mpirun or "
                 "srun has (default, and only choice: those that the layer is "
                 "compiled for)")
      ->group(group)
      ->check(CLI::Range(int64_t(1), policy::maxParallelSize));
  app.add_option("--tokens-per-rank", options.tokensPerRank,
                 "Tokens of every rank, such as 5,0,17 (default: --num-tokens "
                 "on each)")
      ->group(group)
      ->delimiter(',')
      ->check(CLI::Range(int64_t(0), int64_t(1) << 30));
  app.add_flag("--decodes", options.inputs.decodes,
               "Say that every token is a decode: --dbo-decode-token-threshold "
               "counts")
      ->group(group);
  app.add_option_function<std::string>(
         "--on-lost-rank",
         [&](const std::string &what) { options.shrink = what == "shrink"; },
         "What the other processes do when one is lost: fail, or shrink to "
         "those that are left, which run once more")
      ->group(group)
      ->check(CLI::IsMember({"fail", "shrink"}));
  app.add_option("--timeout", options.timeout,
                 "Seconds that ranks wait for each other")
      ->group(group)
      ->capture_default_str()
      ->check(CLI::Range(0.1, 1e6));
  app.add_option("--eplb-step-interval", options.eplbStepInterval,
                 "Rebalance the experts of ranks with --enable-eplb after "
                 "every N steps of --repeat")
      ->group(group)
      ->check(counts);
  app.add_option("--eplb-window-size", options.eplbWindowSize,
                 "With --eplb-step-interval: by the loads of the last N steps")
      ->group(group)
      ->capture_default_str()
      ->check(counts);
  app.add_flag("--explain{text}", options.explain,
               "Print when the shared experts run and why, as =text or =json, "
               "and end")
      ->group(group)
      ->check(CLI::IsMember({"text", "json"}));
  app.add_option("--emit", options.emit,
                 "Hand this form of the layer out of moe-compile, and end")
      ->group(group);
}

/// What flags demand of each other and of the source.
static Status checkCombination(const CLI::App &app, const RunOptions &options,
                               const std::vector<CLI::Option *> &compiling) {
  auto given = [&](const char *flag) { return app.count(flag) > 0; };
  auto needs = [&](const char *flag, const char *other) -> Status {
    if (!given(flag) || given(other))
      return {};
    return badInput(std::string(flag) + ": expected " + other + " too");
  };
  MOE_TRY(needs("-n", "--bench"));
  MOE_TRY(needs("--check-rows", "--check"));
  if (given("--graph") && options.repeat < 2)
    return badInput("--graph: expected --repeat with 2 or more too");
  MOE_TRY(needs("--eplb-window-size", "--eplb-step-interval"));
  if (options.shrink && options.eplbStepInterval)
    return badInput("expected --on-lost-rank=shrink or "
                    "--eplb-step-interval but got both");
  if (given("--tokens-per-rank") && given("--num-tokens"))
    return badInput("expected --num-tokens or --tokens-per-rank but got both");
  if (options.kind == SourceKind::Artefact) {
    const std::string compiled = ": '" + options.source +
                                 "' is compiled already; give the config.json "
                                 "or layer.mlir to compile it otherwise";
    for (const CLI::Option *option : compiling)
      if (option->count())
        return badInput(option->get_name() + compiled);
    for (const char *flag : {"--emit", "--compare-schedules"})
      if (given(flag))
        return badInput(flag + compiled);
    return {};
  }
  if (given("--compare-schedules") && given("--schedule"))
    return badInput("expected --schedule or --compare-schedules but got both");
  if (given("--eplb-step-interval") && !options.compile.parallel.enableEplb &&
      options.kind == SourceKind::Config)
    return badInput("--eplb-step-interval: expected --enable-eplb too");
  if (given("--explain") && given("--emit"))
    return badInput("expected --explain or --emit but got both");
  return {};
}

std::optional<int> moe::tools::parseOptions(int argc, char **argv,
                                            RunOptions &options) {
  CLI::App app("Runs a Mixture-of-Experts layer: a compiled artefact, or one "
               "that moe-compile makes of a model's config.json or a layer in "
               "MLIR on the way.",
               "moe-run");
  app.set_version_flag(
      "--version", [] { return describeVersion("moe-run", {}); },
      "Say which version this is, and which artefacts it runs");
  app.add_option("source", options.source,
                 "An artefact (.so), a model's config (.json) or a layer "
                 "(.mlir)")
      ->required();
  std::string compareSchedules;
  addRunFlags(app, options, compareSchedules);
  std::vector<CLI::Option *> compiling = addCompileFlags(app, options.compile);
  if (std::optional<int> code = parse(app, argc, argv))
    return code;

  auto check = [&]() -> Status {
    if (std::string error = options.compile.finish(); !error.empty())
      return badInput(error);
    MOE_TRY(classify(options.source, options.kind));
    if (app.count("--compare-schedules"))
      MOE_TRY(splitSchedules(compareSchedules, options.compareSchedules));
    return checkCombination(app, options, compiling);
  };
  if (Status status = check(); !status)
    return report(status);
  if (options.eplbStepInterval && options.kind == SourceKind::Config)
    options.compile.recordExpertLoad = true;
  // A flag without a value reads as "true".
  options.calibrate = app.count("--calibrate");
  if (options.calibrateFile == "true")
    options.calibrateFile.clear();
  if (!app.count("--poison"))
    options.poison = options.check || options.repeat > 1 ||
                     !options.compareSchedules.empty();
  return std::nullopt;
}
