//===- Compiler.h - What tools on MLIR have in common -----------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_TOOLS_SUPPORT_COMPILER_H
#define MOE_MLIR_TOOLS_SUPPORT_COMPILER_H

#include <string>

namespace moe::tools {

/// What `--version` prints, without the last line's end: the tool, LLVM, and
/// which ptxas kernels for GPUs are assembled with.
std::string describeCompilerVersion(const std::string &tool);

/// The first thing that a tool does. From here on a crash of the process prints
/// its stack on standard error, and what a report of it needs; where LLVM
/// parses the command line, `--version` prints `describeCompilerVersion(tool)`.
void initialize(const char *tool, const char *program);

} // namespace moe::tools

#endif // MOE_MLIR_TOOLS_SUPPORT_COMPILER_H
