//===- Tokens.h - How many tokens a run has ---------------------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_TOOLS_MOERUN_TOKENS_H
#define MOE_MLIR_TOOLS_MOERUN_TOKENS_H

#include "Options.h"
#include "moe-mlir/Run/RankLayout.h"

namespace moe::tools {

/// The tokens of each rank, by --tokens-per-rank, --num-tokens (so many on each
/// rank), the rows of the file of --input, which are dealt out evenly, or what
/// the artefact serves.
Status findTokens(const RunOptions &options, const run::Descriptor &descriptor,
                  const run::RankLayout &layout,
                  std::optional<int64_t> fileRows,
                  std::vector<int64_t> &tokens);

} // namespace moe::tools

#endif // MOE_MLIR_TOOLS_MOERUN_TOKENS_H
