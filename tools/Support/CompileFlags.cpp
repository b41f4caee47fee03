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
#include "moe-mlir/Policy/RuleSet.h"

#include <CLI/CLI.hpp>
#include <iostream>

using namespace moe;
using namespace moe::tools;

//===----------------------------------------------------------------------===//
// What values are allowed
//===----------------------------------------------------------------------===//

namespace {
/// The values of a flag: a check of one of them, and names to list in --help.
struct Values {
  CLI::Validator check;
  std::string names = {};
};
} // namespace

static Values range(int64_t least, int64_t most) {
  return {CLI::Range(least, most)};
}
static Values names(const std::vector<std::string> &allowed) {
  return {CLI::IsMember(allowed)};
}
/// Checked by finish(), whose messages say more.
template <typename Table> static Values list(const Table &table) {
  std::string names;
  for (const auto &entry : table)
    names += (names.empty() ? "" : ", ") + std::string(entry.name);
  return {CLI::Validator(), names};
}

namespace values {
static Values any() { return {}; }
static Values counts() { return range(0, int64_t(1) << 40); }
static Values positive() { return range(1, int64_t(1) << 40); }
static Values experts() { return range(1, int64_t(1) << 20); }
static Values sizes() { return range(1, policy::maxParallelSize); }
static Values dtypes() { return names({"bfloat16", "float16", "float32"}); }
static Values ruleSets() { return list(policy::getBuiltinRuleSets()); }
static Values backends() { return list(LayerEnum<All2AllBackend>::cases); }
} // namespace values

//===----------------------------------------------------------------------===//
// The rows as flags
//===----------------------------------------------------------------------===//

/// Adds one flag that sets `member`.
template <typename T>
static void addFlag(CLI::App &app, T &member, const std::string &flag,
                    const char *group, Values values, std::string help) {
  if (flag.empty())
    return;
  if (!values.names.empty())
    help += ": " + values.names;
  if constexpr (std::is_same_v<T, bool>) {
    app.add_flag("--" + flag, member, help)->group(group);
  } else if constexpr (std::is_enum_v<T>) {
    std::vector<std::string> allowed;
    for (const auto &known : LayerEnum<T>::cases)
      allowed.push_back(known.name);
    app.add_option_function<std::string>(
           "--" + flag,
           [&member](const std::string &text) { member = *parseName<T>(text); },
           help)
        ->group(group)
        ->check(CLI::IsMember(allowed))
        ->default_str(name(member));
  } else {
    CLI::Option *option =
        app.add_option("--" + flag, member, help)->group(group);
    option->check(values.check);
    if constexpr (std::is_same_v<T, std::vector<std::string>>)
      option->allow_extra_args(false);
    else if constexpr (std::is_same_v<T, int64_t>)
      option->capture_default_str();
    else if constexpr (std::is_same_v<T, std::string>)
      if (!member.empty())
        option->capture_default_str();
  }
}

void CompileFlags::add(CLI::App &app) {
#define MOE_PASS_OPTION(NAME, TYPE, DEFAULT, PIPELINE, FLAG, GROUP, VALUES,    \
                        HELP)                                                  \
  addFlag(app, NAME, FLAG, GROUP, values::VALUES(), HELP);
#define MOE_DRIVER_OPTION(NAME, TYPE, DEFAULT, FLAG, GROUP, VALUES, HELP)      \
  addFlag(app, NAME, FLAG, GROUP, values::VALUES(), HELP);
#define MOE_LAYER_FLAG(MEMBER, FLAG, GROUP, VALUES, HELP)                      \
  addFlag(app, MEMBER, FLAG, GROUP, values::VALUES(), HELP);
#define MOE_TOOL_FLAG(MEMBER, FLAG, GROUP, VALUES, HELP)                       \
  addFlag(app, MEMBER, FLAG, GROUP, values::VALUES(), HELP);
#include "moe-mlir/Support/CompileOptions.def"
}

void CompileFlags::addLayer(CLI::App &app) {
#define MOE_LAYER_FLAG(MEMBER, FLAG, GROUP, VALUES, HELP)                      \
  addFlag(app, MEMBER, FLAG, GROUP, values::VALUES(), HELP);
#include "moe-mlir/Support/CompileOptions.def"
}

/// Appends the arguments that set a member to `value`.
template <typename T>
static void append(std::vector<std::string> &arguments, const std::string &flag,
                   const T &value, const T &absent) {
  if (flag.empty() || value == absent)
    return;
  if constexpr (std::is_same_v<T, bool>)
    arguments.push_back("--" + flag);
  else if constexpr (std::is_same_v<T, std::string>)
    arguments.insert(arguments.end(), {"--" + flag, value});
  else if constexpr (std::is_enum_v<T>)
    arguments.insert(arguments.end(), {"--" + flag, name(value)});
  else if constexpr (std::is_same_v<T, int64_t>)
    arguments.insert(arguments.end(), {"--" + flag, std::to_string(value)});
  else if constexpr (std::is_same_v<T, std::optional<int64_t>>)
    arguments.insert(arguments.end(), {"--" + flag, std::to_string(*value)});
  else
    for (const std::string &each : value)
      arguments.insert(arguments.end(), {"--" + flag, each});
}

std::vector<std::string> CompileFlags::toArguments() const {
  std::vector<std::string> arguments;
  const CompileFlags defaults;
#define MOE_PASS_OPTION(NAME, TYPE, DEFAULT, PIPELINE, FLAG, GROUP, VALUES,    \
                        HELP)                                                  \
  append(arguments, FLAG, NAME, defaults.NAME);
#define MOE_DRIVER_OPTION(NAME, TYPE, DEFAULT, FLAG, GROUP, VALUES, HELP)      \
  append(arguments, FLAG, NAME, defaults.NAME);
#define MOE_LAYER_FLAG(MEMBER, FLAG, GROUP, VALUES, HELP)                      \
  append(arguments, FLAG, MEMBER, defaults.MEMBER);
#define MOE_TOOL_FLAG(MEMBER, FLAG, GROUP, VALUES, HELP)                       \
  append(arguments, FLAG, MEMBER, defaults.MEMBER);
#include "moe-mlir/Support/CompileOptions.def"
  return arguments;
}

//===----------------------------------------------------------------------===//
// What they say
//===----------------------------------------------------------------------===//

std::string CompileFlags::finish() {
  std::string error;
  if (!policy::findRuleSet(ruleSet, error))
    return "--schedule: " + error;
  std::optional<policy::ParsedBackend> backend =
      policy::parseAll2AllBackend(all2allBackend, error);
  if (!backend)
    return "--all2all-backend: " + error;
  parallel.all2allBackend = backend->backend;
  if (!backend->warning.empty())
    warnings.push_back(backend->warning);
  const std::string withChip = "cuda:" + CompileOptions().chip;
  if (target != "" && target != "cpu" && target != "cuda" && target != withChip)
    return "--target: expected cpu, cuda or " + withChip + " but got '" +
           target + "'";
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

CompileOptions CompileFlags::getCompileOptions() const {
  CompileOptions options = *this;
  options.target = getTarget();
  if (size_t colon = target.find(':'); colon != std::string::npos)
    options.chip = target.substr(colon + 1);
  return options;
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
