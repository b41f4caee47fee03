//===- Session.h - All that is asked of an artefact -------------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_TOOLS_MOERUN_SESSION_H
#define MOE_MLIR_TOOLS_MOERUN_SESSION_H

#include "Options.h"
#include "moe-mlir/Run/Artefact.h"

namespace moe::tools {

/// Runs the artefact's ranks and does what the command line asks of them, in
/// the order in which it is printed. On the CPU all ranks are threads of this
/// process; on GPUs this process is one of several, or has the only one.
Status runArtefact(const RunOptions &options, const run::Artefact &artefact);

} // namespace moe::tools

#endif // MOE_MLIR_TOOLS_MOERUN_SESSION_H
