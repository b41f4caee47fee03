//===- Stream.cpp - A CPU stream: a worker with a ring of work ------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Stream.h"

#include "HelperPool.h"

#include <cstring>

using namespace moert;

Stream::Stream(int32_t number, HelperPool &helpers,
               const TraceSwitch &traceSwitch,
               const std::atomic<bool> &hasFailed)
    : number(number), queue(helpers), traceSwitch(traceSwitch),
      hasFailed(hasFailed), ring(new Entry[capacity]),
      worker([this] { work(); }) {}

Stream::~Stream() {
  stopping.store(true);
  arrival.notifyAll();
  worker.join();
}

Stream::Entry &Stream::nextEntry() {
  uint64_t next = enqueued.load(std::memory_order_relaxed);
  if (next >= capacity)
    awaitCompleted(next - capacity + 1);
  return ring[next % capacity];
}

void Stream::publish() {
  enqueued.store(enqueued.load(std::memory_order_relaxed) + 1);
  arrival.notifyAll();
}

void Stream::launch(Kernel kernel, const char *label, const void *arguments,
                    int64_t argumentBytes, int64_t grid) {
  Entry &entry = nextEntry();
  entry.kernel = kernel;
  entry.label = label;
  entry.grid = grid;
  if (argumentBytes > 0)
    std::memcpy(entry.arguments, arguments, argumentBytes);
  publish();
}

void Stream::waitFor(Stream &other, uint64_t count) {
  if (&other == this || other.numCompleted() >= count)
    return;
  Entry &entry = nextEntry();
  entry.kernel = nullptr;
  entry.awaited = &other;
  entry.awaitedCount = count;
  publish();
}

void Stream::awaitCompleted(uint64_t count) {
  completion.await([&] { return completed.load() >= count; });
}

void Stream::work() {
  nameThisThread(("moert " + streamName(number)).c_str());
  for (uint64_t next = 0;; ++next) {
    arrival.await([&] { return enqueued.load() != next || stopping.load(); });
    // Work that was enqueued before the end is done before the end.
    if (enqueued.load() == next)
      return;
    execute(ring[next % capacity]);
    completed.store(next + 1);
    completion.notifyAll();
  }
}

void Stream::execute(const Entry &entry) {
  if (!entry.kernel) {
    entry.awaited->awaitCompleted(entry.awaitedCount);
    return;
  }
  if (hasFailed.load(std::memory_order_relaxed))
    return;
  if (!traceSwitch.isOn()) {
    queue.run(entry.kernel, entry.arguments, entry.grid);
    return;
  }
  int64_t begin = traceClock();
  queue.run(entry.kernel, entry.arguments, entry.grid);
  spans.add(entry.label, begin, traceClock());
}
