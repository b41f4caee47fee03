//===- Options.h - The command line of moe-run ------------------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_TOOLS_MOERUN_OPTIONS_H
#define MOE_MLIR_TOOLS_MOERUN_OPTIONS_H

#include "Support/CompileFlags.h"
#include "moe-mlir/Run/Inputs.h"

namespace moe::tools {

/// What the positional argument is.
enum class SourceKind { Artefact, Config, IR };

struct RunOptions {
  std::string source;
  SourceKind kind = SourceKind::Artefact;
  CompileFlags compile;
  /// Where --compare-schedules is given, its rule sets; else empty.
  std::vector<std::string> compareSchedules;

  std::optional<int64_t> numTokens;
  run::InputOptions inputs;
  /// The file of rows, and that of the output; "": none.
  std::string input;
  std::string output;

  bool check = false;
  std::optional<int64_t> checkRows;
  int64_t repeat = 1;
  /// Repeat from a graph.
  bool graph = false;
  /// Fill outputs and workspace with NaNs before a run.
  bool poison = false;

  bool bench = false;
  int64_t benchRuns = 30;
  std::string trace;
  bool timeline = false;
  bool calibrate = false;
  /// Where the machine's ceilings go; "": the default place.
  std::string calibrateFile;

  /// 0: one per core.
  int32_t threads = 0;
  /// Those that the artefact was compiled for.
  std::optional<int64_t> ranks;
  std::vector<int64_t> tokensPerRank;
  /// How long ranks wait for each other, in seconds.
  double timeout = 60;
  /// Print what ranks got from each other.
  bool traffic = false;
  /// Go on without ranks that are lost.
  bool shrink = false;
  /// Rebalance experts after so many steps each, if at all, by the loads of so
  /// many.
  std::optional<int64_t> eplbStepInterval;
  int64_t eplbWindowSize = 1000;
  /// "", "text" or "json".
  std::string explain;
  std::string emit;

  int64_t timeoutMilliseconds() const { return int64_t(timeout * 1000); }
};

/// Parses and checks the command line. An exit code ends the program at once.
std::optional<int> parseOptions(int argc, char **argv, RunOptions &options);

/// Prints a failure's message to standard error; returns its exit code.
int report(const Status &status);

} // namespace moe::tools

#endif // MOE_MLIR_TOOLS_MOERUN_OPTIONS_H
