//===- Memory.h - What the machine has room for -----------------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_TOOLS_MOERUN_MEMORY_H
#define MOE_MLIR_TOOLS_MOERUN_MEMORY_H

#include "Options.h"
#include "moe-mlir/Run/Artefact.h"

namespace moe::tools {

/// Bytes that this process may still allocate: what the system calls available
/// or what the control group leaves, whichever is less; nothing where neither
/// is known.
std::optional<int64_t> getAvailableMemory();

/// Whether there is room for what a run with `T` rows on all ranks needs,
/// before anything is allocated.
Status checkMemory(const RunOptions &options, const run::Artefact &artefact,
                   int64_t T, const std::vector<int64_t> &tokensPerRank);

} // namespace moe::tools

#endif // MOE_MLIR_TOOLS_MOERUN_MEMORY_H
