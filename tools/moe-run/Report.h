//===- Report.h - What moe-run prints of a run ------------------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_TOOLS_MOERUN_REPORT_H
#define MOE_MLIR_TOOLS_MOERUN_REPORT_H

#include "moe-mlir/Run/Checker.h"
#include "moe-mlir/Run/LoadBalancer.h"

namespace moe::tools {

/// The layer, its ranks and inputs, and how the first run went. `place` says
/// where several ranks are.
void printHeader(const run::Artefact &artefact, const run::RankSet &set,
                 const std::string &place, const run::RankRun &run);

/// How far the output is from the reference.
void printCheck(const run::CheckReport &report);

/// A row for each rank that gets, a column for each that gives; `bytes` is
/// [to * numRanks + from].
void printTraffic(const std::vector<int64_t> &bytes, int64_t numRanks);

/// The balance of experts after a step, and where they moved to what that cost.
void printBalance(const run::BalanceReport &report, int64_t step,
                  bool hasMoved);

/// The order of the shared experts on ranks with so many tokens, each once.
std::string listOrders(const run::Artefact &artefact,
                       const std::vector<int64_t> &tokens);

} // namespace moe::tools

#endif // MOE_MLIR_TOOLS_MOERUN_REPORT_H
