//===- EventRing.cpp - Tickets for points in streams ----------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "EventRing.h"

using namespace moert;

EventRing::~EventRing() {
  for (Entry &entry : entries)
    if (entry.event)
      driver.cuEventDestroy(entry.event);
}

CUresult EventRing::create() {
  for (Entry &entry : entries)
    if (CUresult result =
            driver.cuEventCreate(&entry.event, CU_EVENT_DISABLE_TIMING))
      return result;
  return CUDA_SUCCESS;
}

CUresult EventRing::record(CUstream stream, int32_t number, int64_t &ticket) {
  Entry &entry = entries[(numRecorded + 1) % capacity];
  if (CUresult result = driver.cuEventRecord(entry.event, stream)) {
    // The event's earlier point may be lost.
    entry.stream = -1;
    return result;
  }
  entry.stream = number;
  ticket = ++numRecorded;
  return CUDA_SUCCESS;
}

int32_t EventRing::streamOf(int64_t ticket) const {
  if (ticket <= 0 || ticket > numRecorded || numRecorded - ticket >= capacity)
    return -1;
  return entries[ticket % capacity].stream;
}
