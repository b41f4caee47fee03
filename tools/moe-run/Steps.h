//===- Steps.h - Steps with rebalancing of experts --------------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_TOOLS_MOERUN_STEPS_H
#define MOE_MLIR_TOOLS_MOERUN_STEPS_H

#include "Options.h"
#include "moe-mlir/Run/RankSet.h"

namespace moe::tools {

/// Runs the steps after the first, which has run: each with other tokens, and
/// checked if that is asked for. Experts are rebalanced after every interval,
/// and after the first step if that is one.
Status runSteps(const RunOptions &options, run::RankSet &set,
                run::RankRun &run);

} // namespace moe::tools

#endif // MOE_MLIR_TOOLS_MOERUN_STEPS_H
