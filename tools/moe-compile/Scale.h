//===- Scale.h - A layer on many ranks, explained ---------------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_TOOLS_MOECOMPILE_SCALE_H
#define MOE_MLIR_TOOLS_MOECOMPILE_SCALE_H

#include "Support/CompileFlags.h"
#include "moe-mlir/Artefact/Compile.h"
#include "moe-mlir/Simulate/Scale.h"
#include "moe-mlir/Support/Result.h"

namespace moe::tools {

/// What --machine adds to an explanation.
struct Scale {
  policy::ClusterModel cluster;
  int64_t numRanks = 1;
  int64_t tokens = 0;
  simulate::MemoryReport memory;
  /// Of the rank that is explained, with the kernels' scratch.
  std::optional<int64_t> workspaceBytes;
  /// Uniform routing, and what --routing says.
  std::vector<simulate::RoutingReport> routings;
};

/// Predicts what all ranks do with `tokens` rows each. `module` is at level 1.
Status predictScale(mlir::ModuleOp module, const CompileFlags &flags,
                    const ArtefactOptions &options, int64_t tokens,
                    Scale &scale);

std::string printScale(const Scale &scale);

/// The object `scale` of --explain=json, put into `explanation`, which is one
/// JSON object.
std::string addScale(const std::string &explanation, const Scale &scale);

} // namespace moe::tools

#endif // MOE_MLIR_TOOLS_MOECOMPILE_SCALE_H
