//===- Trace.h - Spans of launches ------------------------------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOERT_LIB_TRACE_H
#define MOERT_LIB_TRACE_H

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

namespace moert {

/// Nanoseconds of the clock that spans are measured with.
inline int64_t traceClock() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

/// Whether launches are recorded: all that a launch pays when they are not is
/// the load of this flag.
class TraceSwitch {
public:
  bool isOn() const { return on.load(std::memory_order_relaxed); }
  void set(bool value) { on.store(value, std::memory_order_relaxed); }

private:
  std::atomic<bool> on{false};
};

/// The recorded launches of one stream. The worker adds; readers may come at
/// any time.
class StreamTrace {
public:
  struct Span {
    const char *label;
    int64_t begin; // By `traceClock`.
    int64_t end;
  };

  /// Keeps a span. Past `maxSpans`, or without memory, it is only counted.
  void add(const char *label, int64_t begin, int64_t end);

  void clear();

  /// Calls `visit` for every span.
  template <typename Visitor> void forEach(Visitor visit) const {
    std::lock_guard<std::mutex> lock(mutex);
    for (int64_t i = 0; i < count; ++i)
      visit((*chunks[i / chunkSize])[i % chunkSize]);
  }

  int64_t numDropped() const;

private:
  static constexpr int64_t chunkSize = 1024;
  static constexpr int64_t maxSpans = 1 << 20;
  using Chunk = std::array<Span, chunkSize>;

  mutable std::mutex mutex;
  // Chunks never move, so that a full one costs an allocation and no copy.
  std::vector<std::unique_ptr<Chunk>> chunks;
  int64_t count = 0;
  int64_t dropped = 0;
};

} // namespace moert

#endif // MOERT_LIB_TRACE_H
