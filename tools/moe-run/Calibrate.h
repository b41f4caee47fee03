//===- Calibrate.h - Ceilings of this machine -------------------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_TOOLS_MOERUN_CALIBRATE_H
#define MOE_MLIR_TOOLS_MOERUN_CALIBRATE_H

#include "Options.h"
#include "moe-mlir/Run/Execution.h"

namespace moe::tools {

/// Measures what the cost model knows of a CPU, on the threads of `context`,
/// and writes it as JSON (policy::saveMachine):
/// - memory bandwidth: launches that read a buffer larger than the caches;
/// - FLOP/s: the layer itself, its useful operations over its median time, so
///   with few rows this is less than the machine can do;
/// - launch gap and event cost: between empty launches on one stream and on
///   two.
/// Members that are not measured keep the values of policy::getCpuMachine, and
/// are listed as such.
Status calibrate(const RunOptions &options, const run::Artefact &artefact,
                 const run::Inputs &inputs, run::Context &context,
                 run::Execution &execution);

} // namespace moe::tools

#endif // MOE_MLIR_TOOLS_MOERUN_CALIBRATE_H
