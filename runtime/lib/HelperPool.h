//===- HelperPool.h - Threads that help streams -----------------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOERT_LIB_HELPERPOOL_H
#define MOERT_LIB_HELPERPOOL_H

#include "../common/Device.h"
#include "Gate.h"

#include <array>
#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>

namespace moert {

class BlockQueue;

/// Threads that sleep until a stream has blocks to share. Progress never
/// depends on them: each stream's worker can run all of its blocks.
class HelperPool {
public:
  explicit HelperPool(int32_t numHelpers);
  /// Ends the threads; afterwards no queue is touched.
  ~HelperPool();

  int64_t size() const { return numHelpers; }

  /// Makes the blocks of a stream visible to the helpers. The queue must
  /// outlive the pool. One caller at a time, at most `maxStreams` times.
  void add(BlockQueue &queue);

  /// Wakes as many helpers as `blocks` blocks can employ.
  void wake(int64_t blocks) { work.notify(blocks); }

private:
  void help();
  void stop();
  /// The queue with blocks to claim that has the fewest helpers, or null.
  BlockQueue *neediest() const;

  const int32_t numHelpers;
  std::array<std::atomic<BlockQueue *>, maxStreams> queues{};
  std::atomic<int32_t> numQueues{0};
  std::atomic<bool> stopping{false};
  Gate work;
  std::vector<std::thread> threads;
};

/// Names the calling thread for debuggers and profilers; at most 15 characters.
void nameThisThread(const char *name);

} // namespace moert

#endif // MOERT_LIB_HELPERPOOL_H
