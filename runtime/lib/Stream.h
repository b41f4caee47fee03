//===- Stream.h - A CPU stream: a worker with a ring of work ----*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOERT_LIB_STREAM_H
#define MOERT_LIB_STREAM_H

#include "BlockQueue.h"
#include "Gate.h"
#include "Trace.h"

#include "moert/moert.h"

#include <atomic>
#include <memory>
#include <thread>

namespace moert {

/// Work in order, executed by a thread of its own. One thread at a time
/// enqueues. Entries are counted; a count names a point in the stream's work.
class Stream {
public:
  /// Launches are skipped while `hasFailed` is set.
  Stream(int32_t number, HelperPool &helpers, const TraceSwitch &traceSwitch,
         const std::atomic<bool> &hasFailed);

  /// Completes all work and ends the worker.
  ~Stream();

  /// Enqueues `grid` blocks; copies the arguments. Waits while the ring is
  /// full.
  void launch(Kernel kernel, const char *label, const void *arguments,
              int64_t argumentBytes, int64_t grid);

  /// Orders later work after the first `count` entries of `other`, which must
  /// have been enqueued; so waits cannot form a cycle.
  void waitFor(Stream &other, uint64_t count);

  uint64_t numEnqueued() const { return enqueued.load(); }
  uint64_t numCompleted() const { return completed.load(); }

  /// Blocks the calling thread until the first `count` entries are complete.
  void awaitCompleted(uint64_t count);

  BlockQueue &blocks() { return queue; }
  StreamTrace &trace() { return spans; }

private:
  struct alignas(64) Entry {
    Kernel kernel; // Null: a wait for `awaited`.
    const char *label;
    int64_t grid;
    Stream *awaited;
    uint64_t awaitedCount;
    alignas(64) unsigned char arguments[MOERT_MAX_ARGUMENT_BYTES];
  };
  static constexpr uint64_t capacity = 256;

  /// The entry to fill next, once there is room for it.
  Entry &nextEntry();
  void publish();
  void work();
  void execute(const Entry &entry);

  const int32_t number;
  BlockQueue queue;
  const TraceSwitch &traceSwitch;
  const std::atomic<bool> &hasFailed;
  StreamTrace spans;
  std::unique_ptr<Entry[]> ring;

  /// Entries published by the enqueuing thread, and completed by the worker.
  alignas(64) std::atomic<uint64_t> enqueued{0};
  std::atomic<bool> stopping{false};
  Gate arrival;
  alignas(64) std::atomic<uint64_t> completed{0};
  Gate completion;

  // Last, so that it starts when all else is there.
  std::thread worker;
};

} // namespace moert

#endif // MOERT_LIB_STREAM_H
