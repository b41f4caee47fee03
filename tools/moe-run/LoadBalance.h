//===- LoadBalance.h - Steps with rebalancing between them ------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_TOOLS_MOERUN_LOADBALANCE_H
#define MOE_MLIR_TOOLS_MOERUN_LOADBALANCE_H

#include "RankSet.h"

namespace moe::tools {

/// Whether the artefact's experts can be rebalanced, as --eplb-step-interval
/// asks.
Outcome checkBalanceable(const Artefact &artefact, const RankLayout &layout);

/// Runs the steps after the first, which has run: each with other tokens, and
/// checked if that is asked for. After every interval, and after the first step
/// if that is one, all ranks exchange their loads, find the new placement, move
/// the weights and swap the maps.
Outcome runBalanced(const RunOptions &options, const Artefact &artefact,
                    RankSet &set, RankRun &run);

} // namespace moe::tools

#endif // MOE_MLIR_TOOLS_MOERUN_LOADBALANCE_H
