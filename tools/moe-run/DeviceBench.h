//===- DeviceBench.h - Times by the clock of a device -----------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_TOOLS_MOERUN_DEVICEBENCH_H
#define MOE_MLIR_TOOLS_MOERUN_DEVICEBENCH_H

#include "Options.h"
#include "moe-mlir/Run/Execution.h"
#include "moe-mlir/Run/Work.h"

namespace moe::tools {

/// Times in nanoseconds, one of every run.
struct DeviceTimes {
  /// On the device, of calls that follow each other.
  std::vector<double> enqueued;
  /// On the device, of graphs of a call each; empty where calls cannot be
  /// captured.
  std::vector<double> replayed;
  /// Of the host, to enqueue a call.
  std::vector<double> host;
  /// How many copies of the inputs took turns.
  int64_t numSets = 1;
  /// Why there is no graph.
  std::string noGraph;
};

/// Measures `options.benchRuns` warm calls in each way. A layer whose weights
/// fit into the caches would find them there, which in a model of many layers
/// it does not: several copies of the inputs take turns.
Status measureOnDevice(const RunOptions &options, const run::Artefact &artefact,
                       const run::Inputs &inputs, const run::LayerWork &work,
                       run::Context &context, run::Execution &execution,
                       DeviceTimes &times);

} // namespace moe::tools

#endif // MOE_MLIR_TOOLS_MOERUN_DEVICEBENCH_H
