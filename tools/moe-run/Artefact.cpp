//===- Artefact.cpp - Compiling and loading of artefacts ------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Artefact.h"

#include "Context.h"
#include "Support/Format.h"
#include "Support/Progress.h"

#include <filesystem>

using namespace moe;
using namespace moe::tools;

Artefact::Artefact(Artefact &&other)
    : handle(std::exchange(other.handle, nullptr)),
      description(std::move(other.description)) {}

Artefact::~Artefact() { moert_program_unload(handle); }

Outcome Artefact::load(const std::string &path, const std::string &shownAs) {
  if (moert_program_load(path.c_str(), &handle) != MOERT_SUCCESS)
    return Outcome::badInput(moert_last_error(nullptr));
  return readDescriptor(moert_program_descriptor(handle), shownAs, description);
}

std::string Artefact::orderAt(int64_t T) const {
  const nlohmann::ordered_json &decision = description.decision;
  auto text = [&](const char *key) {
    auto field = decision.find(key);
    return field != decision.end() && field->is_string()
               ? field->get<std::string>()
               : std::string();
  };
  auto threshold = decision.find("threshold");
  if (threshold == decision.end() || !threshold->is_number_integer())
    return text("order");
  return text(T <= threshold->get<int64_t>() ? "order_at_or_below_threshold"
                                             : "order_above_threshold");
}

int64_t Artefact::workspaceBytes(int64_t T, int64_t allRows) const {
  return static_cast<int64_t>(moert_program_workspace_size(handle, T, allRows));
}

static Outcome findCompiler(const RunOptions &options, std::string &compiler) {
  std::optional<std::string> found = findProgram("moe-compile");
  if (!found)
    return Outcome::failed(
        "expected moe-compile in '" + findOwnFolder() +
        "' or on the PATH, to compile '" + options.source +
        "'; an artefact that is compiled already needs none");
  compiler = *found;
  return {};
}

/// A compiler that fails has said why, and its kind of failure is ours.
static Outcome judgeExit(const std::string &compiler, int code) {
  if (code == Done)
    return {};
  if (code > 128)
    return Outcome::failed(
        format("'%s' was ended by signal %d", compiler.c_str(), code - 128));
  return Outcome::passedOn(code == BadUsage ? BadUsage : Failed);
}

Outcome moe::tools::compileArtefact(const RunOptions &options,
                                    const std::string &schedule,
                                    Artefact &artefact) {
  std::string compiler, error;
  if (Outcome outcome = findCompiler(options, compiler); !outcome)
    return outcome;
  TemporaryFolder folder;
  if (Outcome outcome = folder.create(); !outcome)
    return outcome;
  const std::string path = folder.file("layer.moe.so");
  CompileFlags flags = options.compile;
  flags.schedule = schedule;
  std::vector<std::string> arguments = {options.source, "--quiet", "-o", path};
  // Of several artefacts one says so for all.
  if (!flags.noCache && (options.compareSchedules.empty() ||
                         schedule == options.compareSchedules.front()))
    arguments.push_back("--report-cache");
  for (std::string &argument : flags.toArguments())
    arguments.push_back(std::move(argument));
  std::optional<int> code;
  {
    Progress progress("compiling " + options.source, /*shared=*/true);
    code = runProgram(compiler, arguments, /*outputToStderr=*/true, error);
  }
  if (!code)
    return Outcome::failed(error);
  if (Outcome outcome = judgeExit(compiler, *code); !outcome)
    return outcome;
  if (!std::filesystem::exists(path))
    return Outcome::failed("'" + compiler + "' wrote no artefact for '" +
                           options.source + "'");
  return artefact.load(path, options.source);
}

Outcome moe::tools::passThrough(const RunOptions &options) {
  std::string compiler, error;
  if (Outcome outcome = findCompiler(options, compiler); !outcome)
    return outcome;
  std::vector<std::string> arguments = {options.source};
  for (std::string &argument : options.compile.toArguments())
    arguments.push_back(std::move(argument));
  if (options.numTokens)
    arguments.insert(arguments.end(),
                     {"--num-tokens", std::to_string(*options.numTokens)});
  if (!options.explain.empty())
    arguments.push_back("--explain=" + options.explain);
  if (!options.emit.empty())
    arguments.insert(arguments.end(), {"--emit", options.emit});
  std::optional<int> code =
      runProgram(compiler, arguments, /*outputToStderr=*/false, error);
  if (!code)
    return Outcome::failed(error);
  return judgeExit(compiler, *code);
}

Outcome moe::tools::checkRunnable(const RunOptions &options,
                                  const Descriptor &descriptor) {
  const std::string &shownAs = options.source;
  if (descriptor.target != "cpu" && !isForGPU(descriptor.target))
    return Outcome::failed("'" + shownAs + "' was compiled for target '" +
                           descriptor.target +
                           "': it needs a device that this moe-run has no "
                           "runtime for; it runs targets 'cpu' and 'cuda'");
  if (options.ranks && *options.ranks != descriptor.numRanks)
    return Outcome::badInput(
        format("--ranks: expected %lld, which '%s' was compiled for, but got "
               "%lld",
               static_cast<long long>(descriptor.numRanks), shownAs.c_str(),
               static_cast<long long>(*options.ranks)));
  if (options.graph && !isForGPU(descriptor.target))
    return Outcome::badInput("--graph: expected an artefact for target 'cuda' "
                             "but '" +
                             shownAs + "' is one for '" + descriptor.target +
                             "'");
  const std::pair<const char *, bool> ofRanks[] = {
      {"--tokens-per-rank", !options.tokensPerRank.empty()},
      {"--traffic", options.traffic},
      {"--eplb-step-interval", options.eplbStepInterval.has_value()}};
  for (auto [flag, isGiven] : ofRanks)
    if (descriptor.numRanks == 1 && isGiven)
      return Outcome::badInput(std::string(flag) +
                               ": expected an artefact for several ranks but "
                               "'" +
                               shownAs + "' is one for 1");
  return {};
}
