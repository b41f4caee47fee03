//===- CompileFlags.cpp - The flags of moe-compile and moe-run ------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Support/CompileFlags.h"

#include "Support/CacheFolder.h"
#include "Support/Device.h"

#include <CLI/CLI.hpp>
#include <iostream>

using namespace moe;
using namespace moe::tools;

static std::string listRuleSets() {
  std::string names;
  for (const policy::RuleSet &set : policy::getBuiltinRuleSets())
    names += (names.empty() ? "" : ", ") + set.name;
  return names;
}

static std::string listBackends() {
  std::string names;
  for (const policy::BackendInfo &info : policy::getBackendTable())
    names += (names.empty() ? "" : ", ") + std::string(info.name);
  return names;
}

static const CLI::Range counts(int64_t(0), int64_t(1) << 40);

void CompileFlags::add(CLI::App &app) {
  addModelLayer(app);
  addTarget(app);
  addSchedule(app);
  addParallel(app);
  addMachine(app);
  addCache(app);
}

void CompileFlags::addLayer(CLI::App &app) {
  addModelLayer(app);
  addParallel(app);
}

void CompileFlags::addModelLayer(CLI::App &app) {
  app.add_option("--layer", layer,
                 "Index of the layer in the model (default: the first MoE "
                 "layer)")
      ->group("Layer")
      ->check(counts);
  app.add_option("--experts", numExperts,
                 "A smaller layer: N routed experts instead of the config's")
      ->group("Layer")
      ->check(CLI::Range(int64_t(1), int64_t(1) << 20));
  app.add_option("--dtype", dtype,
                 "bfloat16, float16 or float32 (default: the config's)")
      ->group("Layer")
      ->check(CLI::IsMember({"bfloat16", "float16", "float32"}));
}

void CompileFlags::addTarget(CLI::App &app) {
  app.add_option("--target", target,
                 "cpu, or cuda[:sm_90a] (default: cuda if a GPU answers, else "
                 "cpu)")
      ->group("Target");
  app.add_option("--cpu", cpu,
                 "Instruction set of target cpu: host, or LLVM's name of a "
                 "CPU, such as x86-64-v3")
      ->group("Target")
      ->capture_default_str();
  app.add_option("--max-num-tokens", maxNumTokens,
                 "The most tokens per rank that a call may have")
      ->group("Target")
      ->check(CLI::Range(int64_t(1), int64_t(1) << 40));
  app.add_option(
         "--gemm-tile", gemmTiles,
         "Tiles of a matrix product on a GPU instead of chosen ones, as "
         "PRODUCT=FIELDS, such as experts.up=rows=64,row_step=32,"
         "weights=256,stages=4,consumers=2 (may be repeated)")
      ->group("Target")
      ->allow_extra_args(false);
  app.add_option("--static-num-tokens", staticNumTokens,
                 "Compile for this number of tokens only (default: any)")
      ->group("Target")
      ->check(counts);
}

void CompileFlags::addSchedule(CLI::App &app) {
  app.add_option("--schedule", schedule,
                 "Rules that choose the order: " + listRuleSets())
      ->group("Schedule")
      ->capture_default_str();
  app.add_option("--shared-experts-stream-token-threshold", threshold,
                 "The most tokens that overlap on the auxiliary stream")
      ->group("Schedule")
      ->capture_default_str()
      ->check(counts);
  app.add_flag("--disable-shared-experts-stream", disableSharedExpertsStream,
               "Never use the auxiliary stream")
      ->group("Schedule");
  app.add_flag("--monolithic-kernel", monolithicKernel,
               "Router, dispatch, experts and combine are one kernel")
      ->group("Schedule");
}

void CompileFlags::addParallel(CLI::App &app) {
  const CLI::Range sizes(int64_t(1), policy::maxParallelSize);
  app.add_option("--tensor-parallel-size", parallel.tensorParallelSize,
                 "Tensor-parallel ranks")
      ->group("Parallel configuration")
      ->capture_default_str()
      ->check(sizes);
  app.add_option("--data-parallel-size", parallel.dataParallelSize,
                 "Data-parallel ranks")
      ->group("Parallel configuration")
      ->capture_default_str()
      ->check(sizes);
  app.add_option("--prefill-context-parallel-size",
                 parallel.prefillContextParallelSize,
                 "Prefill-context-parallel ranks")
      ->group("Parallel configuration")
      ->capture_default_str()
      ->check(sizes);
  app.add_option("--rank", parallel.rank, "The rank that is explained")
      ->group("Parallel configuration")
      ->capture_default_str()
      ->check(counts);
  app.add_flag("--enable-expert-parallel", parallel.enableExpertParallel,
               "Ranks own whole experts")
      ->group("Parallel configuration");
  app.add_option("--all2all-backend", parallel.all2allBackend,
                 "How tokens reach their experts: " + listBackends())
      ->group("Parallel configuration")
      ->capture_default_str();
  app.add_flag("--enable-eplb", parallel.enableEplb,
               "Expert-parallel load balancing")
      ->group("Parallel configuration");
  app.add_option("--num-redundant-experts", parallel.numRedundantExperts,
                 "Replicas of experts, for load balancing")
      ->group("Parallel configuration")
      ->capture_default_str()
      ->check(counts);
  app.add_flag("--record-expert-load", recordExpertLoad,
               "A second output 'expert_load' [physical experts] int32: how "
               "often a call's router chose each, for load balancing")
      ->group("Parallel configuration");
  app.add_option("--expert-placement-strategy", expertPlacement,
                 "linear or round_robin")
      ->group("Parallel configuration")
      ->capture_default_str()
      ->check(CLI::IsMember({"linear", "round_robin"}));
  app.add_option("--sequence-parallel", sequenceParallel, "auto, on or off")
      ->group("Parallel configuration")
      ->capture_default_str()
      ->check(CLI::IsMember({"auto", "on", "off"}));
  app.add_flag("--enable-dbo", parallel.enableDbo,
               "Two-batch overlap: split the tokens of a call into two "
               "batches, of which one communicates while the other computes")
      ->group("Parallel configuration");
  app.add_option("--dbo-decode-token-threshold",
                 parallel.dboDecodeTokenThreshold,
                 "The least tokens of the rank with most that are split, in "
                 "calls with decodes alone")
      ->group("Parallel configuration")
      ->capture_default_str()
      ->check(counts);
  app.add_option("--dbo-prefill-token-threshold",
                 parallel.dboPrefillTokenThreshold, "The same in other calls")
      ->group("Parallel configuration")
      ->capture_default_str()
      ->check(counts);
  app.add_flag("--shard-shared-experts", parallel.shardSharedExperts,
               "Shard the shared experts over sequence-parallel ranks")
      ->group("Parallel configuration");
}

void CompileFlags::addMachine(CLI::App &app) {
  app.add_option("--machine", machine,
                 "A JSON file that describes GPUs and the links between them: "
                 "--schedule=auto decides for it, and --explain predicts what "
                 "all ranks do there")
      ->group("Machine");
  app.add_option("--routing", routing,
                 "With --machine and --explain, how tokens are spread over "
                 "experts, beside evenly: zipf:EXPONENT, or a JSON file with "
                 "the tokens of each expert")
      ->group("Machine")
      ->capture_default_str();
  app.add_option("--simulate-trace", simulateTrace,
                 "With --machine and --explain, write the timeline of all "
                 "ranks under --routing, which Perfetto opens")
      ->group("Machine");
}

void CompileFlags::addCache(CLI::App &app) {
  app.add_option("--cache-dir", cacheDir,
                 "Where compiled layers are kept, to be taken from there the "
                 "next time (default: $MOE_CACHE_DIR, "
                 "$XDG_CACHE_HOME/moe-mlir or ~/.cache/moe-mlir)")
      ->group("Cache");
  app.add_flag("--no-cache", noCache,
               "Compile even what is in the cache, and keep nothing there")
      ->group("Cache");
}

std::string CompileFlags::finish() {
  parallel.expertPlacementStrategy =
      *policy::parseExpertPlacementStrategy(expertPlacement);
  parallel.sequenceParallel =
      *policy::parseSequenceParallelMode(sequenceParallel);
  std::string error;
  if (!policy::findRuleSet(schedule, error))
    return "--schedule: " + error;
  if (!policy::parseAll2AllBackend(parallel.all2allBackend, error))
    return "--all2all-backend: " + error;
  if (target != "" && target != "cpu" && target != "cuda" &&
      target != "cuda:sm_90a")
    return "--target: expected cpu, cuda or cuda:sm_90a but got '" + target +
           "'";
  if (!gemmTiles.empty() && getTarget() != "cuda")
    return "--gemm-tile: expected --target cuda but got '" + getTarget() + "'";
  if (machine.empty())
    for (auto [flag, given] : {std::pair("--routing", routing != "zipf:1"),
                               {"--simulate-trace", !simulateTrace.empty()}})
      if (given)
        return std::string(flag) + ": expected --machine too";
  if (noCache && !cacheDir.empty())
    return "expected --cache-dir or --no-cache but got both";
  if (staticNumTokens && maxNumTokens && *staticNumTokens > *maxNumTokens)
    return "--static-num-tokens: expected at most --max-num-tokens = " +
           std::to_string(*maxNumTokens) + " but got " +
           std::to_string(*staticNumTokens);
  return "";
}

std::string CompileFlags::getArtefactFolder() const {
  if (noCache)
    return "";
  return cacheDir.empty() ? getCacheFolder() : cacheDir;
}

std::string CompileFlags::getTarget() const {
  if (target.empty())
    return countGPUs() ? "cuda" : "cpu";
  return target.substr(0, target.find(':'));
}

ModelConfigOptions CompileFlags::getModelConfigOptions() const {
  ModelConfigOptions options;
  options.layer = layer;
  options.numExperts = numExperts;
  if (!dtype.empty())
    options.dtype = *parseDType(dtype);
  return options;
}

std::vector<std::string> CompileFlags::toArguments() const {
  std::vector<std::string> arguments;
  const CompileFlags defaults;
  auto text = [&](const char *flag, const std::string &value,
                  const std::string &absent) {
    if (value != absent)
      arguments.insert(arguments.end(), {flag, value});
  };
  auto number = [&](const char *flag, int64_t value, int64_t absent) {
    if (value != absent)
      arguments.insert(arguments.end(), {flag, std::to_string(value)});
  };
  auto optional = [&](const char *flag, const std::optional<int64_t> &value) {
    if (value)
      arguments.insert(arguments.end(), {flag, std::to_string(*value)});
  };
  auto boolean = [&](const char *flag, bool value) {
    if (value)
      arguments.push_back(flag);
  };
  optional("--layer", layer);
  optional("--experts", numExperts);
  text("--dtype", dtype, defaults.dtype);
  text("--target", target, defaults.target);
  text("--cpu", cpu, defaults.cpu);
  optional("--max-num-tokens", maxNumTokens);
  optional("--static-num-tokens", staticNumTokens);
  for (const std::string &tile : gemmTiles)
    text("--gemm-tile", tile, "");
  text("--schedule", schedule, defaults.schedule);
  number("--shared-experts-stream-token-threshold", threshold,
         defaults.threshold);
  boolean("--disable-shared-experts-stream", disableSharedExpertsStream);
  boolean("--monolithic-kernel", monolithicKernel);
  number("--tensor-parallel-size", parallel.tensorParallelSize, 1);
  number("--data-parallel-size", parallel.dataParallelSize, 1);
  number("--prefill-context-parallel-size", parallel.prefillContextParallelSize,
         1);
  number("--rank", parallel.rank, 0);
  boolean("--enable-expert-parallel", parallel.enableExpertParallel);
  text("--all2all-backend", parallel.all2allBackend,
       defaults.parallel.all2allBackend);
  boolean("--enable-eplb", parallel.enableEplb);
  number("--num-redundant-experts", parallel.numRedundantExperts, 0);
  boolean("--record-expert-load", recordExpertLoad);
  text("--expert-placement-strategy", expertPlacement,
       defaults.expertPlacement);
  text("--sequence-parallel", sequenceParallel, defaults.sequenceParallel);
  boolean("--shard-shared-experts", parallel.shardSharedExperts);
  boolean("--enable-dbo", parallel.enableDbo);
  number("--dbo-decode-token-threshold", parallel.dboDecodeTokenThreshold,
         defaults.parallel.dboDecodeTokenThreshold);
  number("--dbo-prefill-token-threshold", parallel.dboPrefillTokenThreshold,
         defaults.parallel.dboPrefillTokenThreshold);
  text("--machine", machine, defaults.machine);
  text("--routing", routing, defaults.routing);
  text("--simulate-trace", simulateTrace, defaults.simulateTrace);
  text("--cache-dir", cacheDir, defaults.cacheDir);
  boolean("--no-cache", noCache);
  return arguments;
}

std::optional<int> moe::tools::parse(CLI::App &app, int argc, char **argv) {
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError &error) {
    if (error.get_exit_code() == static_cast<int>(CLI::ExitCodes::Success)) {
      app.exit(error, std::cout, std::cerr);
      return Done;
    }
    std::cerr << app.get_name() << ": " << error.what() << "\n"
              << "run '" << app.get_name() << " --help' for the flags\n";
    return BadUsage;
  }
  return std::nullopt;
}
