//===- BlockQueue.h - One launch's blocks, shared by threads ----*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOERT_LIB_BLOCKQUEUE_H
#define MOERT_LIB_BLOCKQUEUE_H

#include "Gate.h"

#include <atomic>
#include <cstdint>

namespace moert {

class HelperPool;

using Kernel = void (*)(const void *arguments, int64_t block);

/// Runs the launches of one stream, one after the other: the stream's worker
/// calls `run`, and idle helpers join it through `help`.
class BlockQueue {
public:
  explicit BlockQueue(HelperPool &helpers) : helpers(helpers) {}

  /// Runs `grid` blocks and returns when all are complete.
  void run(Kernel kernel, const void *arguments, int64_t grid);

  /// Runs blocks of the current launch until none is left to claim.
  void help();

  /// Whether there are blocks to claim.
  bool isOpen() const { return door.load() & open; }

  /// The helpers at work on the current launch.
  uint32_t numVisitors() const {
    return door.load(std::memory_order_relaxed) & ~open;
  }

private:
  /// Claims and runs blocks until all are claimed. Whoever claims the last one
  /// closes the door, so that idle helpers do not call for nothing.
  void runBlocks();

  static constexpr uint32_t open = 1u << 31;

  HelperPool &helpers;

  // The current launch. The worker writes it while the door is closed and
  // nobody visits; helpers read it only while they visit.
  Kernel kernel = nullptr;
  const void *arguments = nullptr;
  int64_t grid = 0;
  int64_t numThreads = 1;

  alignas(64) std::atomic<int64_t> nextBlock{0};
  /// The `open` bit, and below it the number of visiting helpers.
  alignas(64) std::atomic<uint32_t> door{0};
  Gate visitorsLeft;
};

} // namespace moert

#endif // MOERT_LIB_BLOCKQUEUE_H
