//===- Compile.cpp - What moe-compile does for moe-run --------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Compile.h"

#include "Support/Process.h"
#include "Support/Progress.h"
#include "moe-mlir/Run/Context.h"
#include "moe-mlir/Support/Format.h"

#include <filesystem>

using namespace moe;
using namespace moe::run;
using namespace moe::tools;

static Status findCompiler(const RunOptions &options, std::string &compiler) {
  std::optional<std::string> found = findProgram("moe-compile");
  if (!found)
    return failed("expected moe-compile in '" + findOwnFolder() +
                  "' or on the PATH, to compile '" + options.source +
                  "'; an artefact that is compiled already needs none");
  compiler = *found;
  return {};
}

/// A compiler that fails has said why, and its kind of failure is ours.
static Status judgeExit(const std::string &compiler, int code) {
  if (code == Done)
    return {};
  if (code > 128)
    return failed(
        format("'%s' was ended by signal %d", compiler.c_str(), code - 128));
  return Failure{"", code == BadUsage ? FailureKind::BadInput
                                      : FailureKind::Failed};
}

Status moe::tools::compileArtefact(const RunOptions &options,
                                   const std::string &schedule,
                                   Artefact &artefact) {
  std::string compiler, error;
  MOE_TRY(findCompiler(options, compiler));
  TemporaryFolder folder;
  MOE_TRY(folder.create());
  const std::string path = folder.file("layer.moe.so");
  CompileFlags flags = options.compile;
  flags.ruleSet = schedule;
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
    return failed(error);
  MOE_TRY(judgeExit(compiler, *code));
  if (!std::filesystem::exists(path))
    return failed("'" + compiler + "' wrote no artefact for '" +
                  options.source + "'");
  return artefact.load(path, options.source);
}

Status moe::tools::passThrough(const RunOptions &options) {
  std::string compiler, error;
  MOE_TRY(findCompiler(options, compiler));
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
    return failed(error);
  return judgeExit(compiler, *code);
}

Status moe::tools::checkRunnable(const RunOptions &options,
                                 const Descriptor &descriptor) {
  const std::string &shownAs = options.source;
  if (descriptor.target != "cpu" && !isForGPU(descriptor.target))
    return failed("'" + shownAs + "' was compiled for target '" +
                  descriptor.target +
                  "': it needs a device that this moe-run has no "
                  "runtime for; it runs targets 'cpu' and 'cuda'");
  if (options.ranks && *options.ranks != descriptor.numRanks)
    return badInput(
        format("--ranks: expected %lld, which '%s' was compiled for, but got "
               "%lld",
               static_cast<long long>(descriptor.numRanks), shownAs.c_str(),
               static_cast<long long>(*options.ranks)));
  if (options.graph && !isForGPU(descriptor.target))
    return badInput("--graph: expected an artefact for target 'cuda' "
                    "but '" +
                    shownAs + "' is one for '" + descriptor.target + "'");
  const std::pair<const char *, bool> ofRanks[] = {
      {"--tokens-per-rank", !options.tokensPerRank.empty()},
      {"--traffic", options.traffic},
      {"--eplb-step-interval", options.eplbStepInterval.has_value()}};
  for (auto [flag, isGiven] : ofRanks)
    if (descriptor.numRanks == 1 && isGiven)
      return badInput(std::string(flag) +
                      ": expected an artefact for several ranks but "
                      "'" +
                      shownAs + "' is one for 1");
  return {};
}
