//===- Version.h - What the tools say of themselves -------------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_TOOLS_SUPPORT_VERSION_H
#define MOE_MLIR_TOOLS_SUPPORT_VERSION_H

#include <string>
#include <utility>
#include <vector>

namespace moe::tools {

/// What `--version` prints, without the last line's end: the tool, the version,
/// the commit that it was built from where that is known, the ABI of artefacts,
/// and a line for each of `parts`, which are names and versions.
std::string
describeVersion(const std::string &tool,
                const std::vector<std::pair<std::string, std::string>> &parts);

} // namespace moe::tools

#endif // MOE_MLIR_TOOLS_SUPPORT_VERSION_H
