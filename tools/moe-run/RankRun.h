//===- RankRun.h - Runs of several ranks --------------------------*- C++
//-*-===//
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

/// All that is asked of an artefact for several ranks, each with a context and
/// its share of tokens and weights: on the CPU they are threads of this
/// process, on GPUs this process is one of them.
Outcome runRanks(const RunOptions &options, const Artefact &artefact);

} // namespace moe::tools

#endif // MOE_MLIR_TOOLS_MOERUN_RANKRUN_H
