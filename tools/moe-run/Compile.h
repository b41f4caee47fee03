//===- Compile.h - What moe-compile does for moe-run ------------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_TOOLS_MOERUN_COMPILE_H
#define MOE_MLIR_TOOLS_MOERUN_COMPILE_H

#include "Options.h"
#include "moe-mlir/Run/Artefact.h"

namespace moe::tools {

/// Compiles the source of `options` with the rules `schedule` and loads the
/// result, whose file goes at once.
Status compileArtefact(const RunOptions &options, const std::string &schedule,
                       run::Artefact &artefact);

/// Runs moe-compile for --explain or --emit; it prints, and its exit code is
/// passed on.
Status passThrough(const RunOptions &options);

/// Whether this program can run the artefact, with these options.
Status checkRunnable(const RunOptions &options,
                     const run::Descriptor &descriptor);

/// Prints why the artefact runs the shared experts when it does, for a number
/// of tokens that it takes.
Status explain(const run::Artefact &artefact, const RunOptions &options);

} // namespace moe::tools

#endif // MOE_MLIR_TOOLS_MOERUN_COMPILE_H
