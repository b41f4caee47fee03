//===- Progress.h - A line on what takes long -------------------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_TOOLS_SUPPORT_PROGRESS_H
#define MOE_MLIR_TOOLS_SUPPORT_PROGRESS_H

#include <condition_variable>
#include <mutex>
#include <string>
#include <thread>

namespace moe::tools {

/// Says on standard error what the tool is doing while this lives. On a
/// terminal the line appears at once and goes with the work; in a log it is
/// written where the work takes longer than two seconds, and stays.
class Progress {
public:
  /// `what` is such as "filling 1.1 GB of random weights". Where a child writes
  /// to standard error too, `shared`, a terminal is treated as a log.
  explicit Progress(std::string what, bool shared = false);
  ~Progress();
  Progress(const Progress &) = delete;
  Progress &operator=(const Progress &) = delete;

private:
  std::string line;
  bool terminal;
  bool done = false;
  std::mutex mutex;
  std::condition_variable finished;
  std::thread waiter;
};

} // namespace moe::tools

#endif // MOE_MLIR_TOOLS_SUPPORT_PROGRESS_H
