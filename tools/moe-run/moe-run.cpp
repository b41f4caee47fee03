//===- moe-run.cpp - Runs a Mixture-of-Experts layer ----------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Compile.h"
#include "Processes.h"
#include "Session.h"
#include "Support/Device.h"
#include "moe-mlir/Run/Context.h"

#include <cstdio>
#include <exception>
#include <new>

using namespace moe;
using namespace moe::run;
using namespace moe::tools;

/// What is known before anything is compiled or loaded.
static Status checkRanks(const RunOptions &options) {
  if (!options.ranks || options.kind != SourceKind::Config)
    return {};
  // A factor may be as large as it likes: the product stops past the number.
  const ParallelConfig &parallel = options.compile.parallel;
  int64_t ranks = 1;
  for (int64_t size : {parallel.tensorParallelSize, parallel.dataParallelSize,
                       parallel.prefillContextParallelSize})
    if (ranks <= *options.ranks)
      ranks *= size;
  if (ranks == *options.ranks)
    return {};
  return badInput("--ranks: expected tensor-parallel, data-parallel and "
                  "prefill-context-parallel sizes whose product is " +
                  std::to_string(*options.ranks) + " but it is " +
                  (ranks > *options.ranks ? "larger" : std::to_string(ranks)));
}

/// On GPUs every one of several ranks is a process: this one, if a launcher has
/// started it, or one of those that are started here.
static Status runRanks(const RunOptions &options, const Artefact &artefact,
                       char **arguments) {
  const Descriptor &descriptor = artefact.descriptor();
  if (descriptor.numRanks == 1 || !isForGPU(descriptor.target) ||
      isRankProcess())
    return runArtefact(options, artefact);
  // That there is none, one process says best.
  if (countGPUs() == 0)
    return Context().create(descriptor.target, options.threads);
  std::optional<int64_t> grace;
  if (!options.shrink)
    grace = 2 * options.timeoutMilliseconds();
  return launchRanks(arguments, descriptor.numRanks, grace);
}

static Status runSource(const RunOptions &options, char **arguments) {
  const bool compiles = options.kind != SourceKind::Artefact;
  if (compiles && (!options.explain.empty() || !options.emit.empty()))
    return passThrough(options);
  Artefact artefact;
  if (!compiles && !options.explain.empty()) {
    MOE_TRY(artefact.load(options.source, options.source));
    return explain(artefact, options);
  }
  MOE_TRY(checkRanks(options));
  const std::string schedule = options.compareSchedules.empty()
                                   ? options.compile.ruleSet
                                   : options.compareSchedules[0];
  MOE_TRY(compiles ? compileArtefact(options, schedule, artefact)
                   : artefact.load(options.source, options.source));
  MOE_TRY(checkRunnable(options, artefact.descriptor()));
  return runRanks(options, artefact, arguments);
}

int main(int argc, char **argv) {
  RunOptions options;
  if (std::optional<int> code = parseOptions(argc, argv, options))
    return *code;
  try {
    Status status = runSource(options, argv);
    std::fflush(stdout);
    return report(status);
  } catch (const std::bad_alloc &) {
    return report(failed("out of memory"));
  } catch (const std::exception &error) {
    return report(failed(error.what()));
  }
}
