//===- LaunchTrace.h - Spans of launches, from events -----------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOERT_CUDA_LAUNCHTRACE_H
#define MOERT_CUDA_LAUNCHTRACE_H

#include "Driver.h"

#include <deque>
#include <vector>

namespace moert {

/// Two events around every launch, which become spans once they are complete.
/// All times count from one event at the start. The context is current in all
/// of it.
class LaunchTrace {
public:
  explicit LaunchTrace(const Driver &driver) : driver(driver) {}
  LaunchTrace(const LaunchTrace &) = delete;
  LaunchTrace &operator=(const LaunchTrace &) = delete;
  ~LaunchTrace();

  /// Forgets all spans and starts to count time.
  CUresult start();
  void stop() { on = false; }
  bool isOn() const { return on; }

  /// Records the begin and the end of a launch. Without events to spare, which
  /// thousands of unread launches need, the launch is only counted.
  CUresult begin(CUstream stream, int32_t number, const char *label);
  CUresult end(CUstream stream);

  /// Turns what is complete into spans.
  CUresult collect();

  const std::vector<moert_trace_span> &spans() const { return recorded; }
  int64_t numDropped() const { return dropped; }

private:
  static constexpr size_t maxEvents = 1 << 15;
  static constexpr size_t maxSpans = 1 << 20;

  struct Launch {
    CUevent begin;
    CUevent end;
    const char *label;
    int32_t stream;
  };

  /// An event with a time, or null where there are too many.
  CUresult takeEvent(CUevent &event);
  CUresult readSpan(Launch &launch, moert_trace_span &span);

  const Driver &driver;
  bool on = false;
  /// Whether `pending` ends with a launch that has begun only.
  bool isOpen = false;
  std::deque<Launch> pending;
  std::vector<CUevent> spare;
  size_t numEvents = 0;
  /// A point in time, and how long after the start it was. It moves along:
  /// differences are measured in float, and so they have to be short.
  CUevent base = nullptr;
  int64_t baseTime = 0;
  std::vector<moert_trace_span> recorded;
  int64_t dropped = 0;
};

} // namespace moert

#endif // MOERT_CUDA_LAUNCHTRACE_H
