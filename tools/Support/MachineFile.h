//===- MachineFile.h - Where a machine's ceilings are kept ------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_TOOLS_SUPPORT_MACHINEFILE_H
#define MOE_MLIR_TOOLS_SUPPORT_MACHINEFILE_H

#include <string>

namespace moe::tools {

/// The file of policy::saveMachine for a kind of device ("cpu", "cuda"):
/// <device>.json in $MOE_MLIR_CACHE, in $XDG_CACHE_HOME/moe-mlir or in
/// $HOME/.cache/moe-mlir; "" where none of these is set.
std::string getMachineFile(const std::string &device);

} // namespace moe::tools

#endif // MOE_MLIR_TOOLS_SUPPORT_MACHINEFILE_H
