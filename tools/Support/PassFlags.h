//===- PassFlags.h - Looking into the passes of a compilation ---*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_TOOLS_SUPPORT_PASSFLAGS_H
#define MOE_MLIR_TOOLS_SUPPORT_PASSFLAGS_H

#include "mlir/Pass/PassManager.h"
#include <functional>
#include <string>
#include <vector>

namespace CLI {
class App;
} // namespace CLI

namespace moe::tools {

/// Those flags of MLIR's pass managers that a tool takes beside its own, by the
/// names that they have in moe-opt.
class PassFlags {
public:
  /// Adds the flags to `app`, in a group.
  void add(CLI::App &app);

  /// Whether one was given: then passes must run.
  bool given() const { return !arguments.empty(); }

  /// Hands what was given to MLIR, once in a process. What is wrong with it
  /// MLIR prints, and ends the process. Returns what to do with each pass
  /// manager, or null if no flag was given.
  std::function<mlir::LogicalResult(mlir::PassManager &)>
  apply(const std::string &tool) const;

private:
  std::vector<std::string> arguments;
};

} // namespace moe::tools

#endif // MOE_MLIR_TOOLS_SUPPORT_PASSFLAGS_H
