//===- RankRun.h - Ranks as threads -----------------------------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_TOOLS_MOERUN_RANKRUN_H
#define MOE_MLIR_TOOLS_MOERUN_RANKRUN_H

#include "Artefact.h"
#include "Options.h"

namespace moe::tools {

/// All that is asked of an artefact for several ranks: they run as threads of
/// this process, each with a context and its share of tokens and weights.
Outcome runRanks(const RunOptions &options, const Artefact &artefact);

} // namespace moe::tools

#endif // MOE_MLIR_TOOLS_MOERUN_RANKRUN_H
