//===- Trace.cpp - Spans of launches --------------------------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Trace.h"

#include <new>

using namespace moert;

void StreamTrace::add(const char *label, int64_t begin, int64_t end) {
  std::lock_guard<std::mutex> lock(mutex);
  if (count == int64_t(chunks.size()) * chunkSize) {
    // A trace that is full must not end the work that it watches.
    if (count >= maxSpans) {
      ++dropped;
      return;
    }
    try {
      chunks.push_back(std::make_unique<Chunk>());
    } catch (const std::bad_alloc &) {
      ++dropped;
      return;
    }
  }
  (*chunks[count / chunkSize])[count % chunkSize] = {label, begin, end};
  ++count;
}

void StreamTrace::clear() {
  std::lock_guard<std::mutex> lock(mutex);
  chunks.clear();
  count = 0;
  dropped = 0;
}

int64_t StreamTrace::numDropped() const {
  std::lock_guard<std::mutex> lock(mutex);
  return dropped;
}
