//===- CacheFolder.h - Where the tools keep files ---------------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_TOOLS_SUPPORT_CACHEFOLDER_H
#define MOE_MLIR_TOOLS_SUPPORT_CACHEFOLDER_H

#include <string>

namespace moe::tools {

/// $MOE_CACHE_DIR (or $MOE_MLIR_CACHE, its former name),
/// $XDG_CACHE_HOME/moe-mlir or $HOME/.cache/moe-mlir, the first that is set; ""
/// where none is.
std::string getCacheFolder();

/// The file of policy::saveMachine for a kind of device ("cpu", "cuda"):
/// <device>.json in that folder; "" where there is none.
std::string getMachineFile(const std::string &device);

} // namespace moe::tools

#endif // MOE_MLIR_TOOLS_SUPPORT_CACHEFOLDER_H
