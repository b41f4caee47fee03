//===- Process.h - Programs that a tool runs --------------------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_TOOLS_SUPPORT_PROCESS_H
#define MOE_MLIR_TOOLS_SUPPORT_PROCESS_H

#include "moe-mlir/Support/Result.h"

#include <optional>
#include <string>
#include <vector>

namespace moe::tools {

/// The folder of the running program, or "" where the system does not tell.
std::string findOwnFolder();

/// The program `name` beside the running one, else on the PATH.
std::optional<std::string> findProgram(const std::string &name);

/// Runs `program` with `arguments` and waits for it; an interruption from the
/// keyboard ends the child and is reported here. With `outputToStderr` what it
/// writes to standard output goes to standard error, so that a tool's own
/// output stays its own. Returns its exit code, or 128 + the signal that ended
/// it; nothing with `error` set if it cannot be started.
std::optional<int> runProgram(const std::string &program,
                              const std::vector<std::string> &arguments,
                              bool outputToStderr, std::string &error);

/// A folder for temporary files that goes, with all in it, when this does.
class TemporaryFolder {
public:
  TemporaryFolder() = default;
  ~TemporaryFolder();
  TemporaryFolder(const TemporaryFolder &) = delete;
  TemporaryFolder &operator=(const TemporaryFolder &) = delete;

  /// Makes the folder, in $TMPDIR or /tmp, unless it is there already.
  Status create();

  std::string file(const std::string &name) const { return path + "/" + name; }

private:
  std::string path;
};

} // namespace moe::tools

#endif // MOE_MLIR_TOOLS_SUPPORT_PROCESS_H
