//===- EventRing.h - Tickets for points in streams --------------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOERT_CUDA_EVENTRING_H
#define MOERT_CUDA_EVENTRING_H

#include "Driver.h"

#include <array>

namespace moert {

/// Events that are used one after the other, again and again. A ticket counts
/// what was recorded, from 1, so that a ticket whose event is used for another
/// point by now is known as such. To record an event anew leaves the waits for
/// its earlier points as they are, in a capture too.
class EventRing {
public:
  static constexpr int64_t capacity = 256;

  explicit EventRing(const Driver &driver) : driver(driver) {}
  EventRing(const EventRing &) = delete;
  EventRing &operator=(const EventRing &) = delete;
  ~EventRing();

  /// Creates the events in the current context.
  CUresult create();

  /// Records a point in `stream`, which messages and waits know as `number`.
  CUresult record(CUstream stream, int32_t number, int64_t &ticket);

  /// The number of the stream of a ticket, or -1 where its event is lost or was
  /// never recorded.
  int32_t streamOf(int64_t ticket) const;

  /// The event of a ticket that has a stream.
  CUevent eventOf(int64_t ticket) const {
    return entries[ticket % capacity].event;
  }

private:
  struct Entry {
    CUevent event = nullptr;
    int32_t stream = -1;
  };

  const Driver &driver;
  std::array<Entry, capacity> entries;
  int64_t numRecorded = 0;
};

} // namespace moert

#endif // MOERT_CUDA_EVENTRING_H
