//===- Bench.h - Times of a run ---------------------------------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_TOOLS_MOERUN_BENCH_H
#define MOE_MLIR_TOOLS_MOERUN_BENCH_H

#include "Options.h"
#include "moe-mlir/Run/Execution.h"
#include "moe-mlir/Run/Work.h"

namespace moe::tools {

/// The value below which `share` (0 to 1) of the values lie; not empty.
double quantile(std::vector<double> values, double share);

/// Runs the layer, warm, `options.benchRuns` times and prints times, rates and,
/// from as many traced runs up to ten, the times of all launches. On the CPU a
/// time is from the call until its work is complete; on a device it is the
/// device's.
Status bench(const RunOptions &options, const run::Artefact &artefact,
             const run::Inputs &inputs, run::Context &context,
             run::Execution &execution);

} // namespace moe::tools

#endif // MOE_MLIR_TOOLS_MOERUN_BENCH_H
