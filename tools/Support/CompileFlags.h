//===- CompileFlags.h - The flags of moe-compile and moe-run ----*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The flags that say what is compiled, of which CompileOptions.def is the
// table. `moe-compile` compiles by them; `moe-run` takes the same ones and
// hands them to `moe-compile`.
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_TOOLS_SUPPORT_COMPILEFLAGS_H
#define MOE_MLIR_TOOLS_SUPPORT_COMPILEFLAGS_H

#include "moe-mlir/Import/ModelConfig.h"
#include "moe-mlir/Policy/ParallelConfig.h"
#include "moe-mlir/Support/CompileOptions.h"
#include "moe-mlir/Support/Result.h"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace CLI {
class App;
} // namespace CLI

namespace moe::tools {

/// Exit codes of the tools.
enum ExitCode { Done = 0, Failed = 1, BadUsage = 2 };

/// What a tool that ends so ends with.
inline int getExitCode(const Status &status) {
  if (status)
    return Done;
  return status.failure().kind == FailureKind::BadInput ? BadUsage : Failed;
}

/// The flags of CompileOptions.def.
struct CompileFlags : CompileOptions {
  // The target is a flag's value: "", "cpu", "cuda" or "cuda:sm_90a"; "": cuda
  // if a GPU answers, else cpu. The machine is "" for what was measured here,
  // or the target's default.
  CompileFlags() { target = ""; }

  std::optional<int64_t> layer;
  std::optional<int64_t> numExperts;
  std::string dtype;
  ParallelConfig parallel;
  bool recordExpertLoad = false;
  /// A backend's name, or another name of it.
  std::string all2allBackend = name(ParallelConfig().all2allBackend);
  /// The distribution that is explained beside the uniform one.
  std::string routing = "zipf:1";
  /// Where the timeline of all ranks goes; "": nowhere.
  std::string simulateTrace;
  /// Where compiled layers are kept; "": getCacheFolder().
  std::string cacheDir;
  bool noCache = false;

  /// Adds the flags to `app`, in groups.
  void add(CLI::App &app);

  /// Adds those of them that say what the layer is, not how it is compiled.
  void addLayer(CLI::App &app);

  /// What finish() has to say about flags that mean something else than they
  /// used to.
  std::vector<std::string> warnings;

  /// Checks what single flags cannot and fills in the backend of `parallel`;
  /// call it after parsing. A message, or "".
  std::string finish();

  /// The folder of compiled layers; "" where none is to be used.
  std::string getArtefactFolder() const;

  /// "cpu" or "cuda": what `target` says, or what this machine has.
  std::string getTarget() const;

  /// What the compiler needs of them, with this machine's target.
  CompileOptions getCompileOptions() const;

  /// What the importer needs of them.
  ModelConfigOptions getModelConfigOptions() const;

  /// The flags that differ from their defaults, as arguments that parse to the
  /// same values.
  std::vector<std::string> toArguments() const;
};

/// Parses a command line. Returns an exit code if the program is to end at
/// once: after help (on standard output) or a usage error (on standard error).
std::optional<int> parse(CLI::App &app, int argc, char **argv);

} // namespace moe::tools

#endif // MOE_MLIR_TOOLS_SUPPORT_COMPILEFLAGS_H
