//===- Context.h - A context: its device and its errors ---------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOERT_LIB_CONTEXT_H
#define MOERT_LIB_CONTEXT_H

#include "../common/Device.h"
#include "../common/Error.h"
#include "CallCheck.h"

#include "moert/moert.h"

#include <memory>
#include <string>
#include <vector>

/// All state of the runtime, apart from the threads' last errors. Everything
/// but the device's insides belongs to the one caller.
struct moert_context {
  moert_context(std::unique_ptr<moert::Device> device, int32_t rank,
                int32_t numRanks)
      : device(std::move(device)), rank(rank), numRanks(numRanks) {}

  /// Keeps the first error of the current call until somebody asks.
  void recordError(moert_status status, std::string message);

  /// Hands back and forgets the recorded error.
  moert_status takeError();

  const std::unique_ptr<moert::Device> device;
  const int32_t rank;
  const int32_t numRanks;

  /// Whether the device has joined a group of ranks.
  bool hasJoined = false;

  std::string lastError;
  /// Of the current call.
  const moert_signature *signature = nullptr;
  moert::CallSizes sizes; // Of the current call.
  moert_status recordedStatus = MOERT_SUCCESS;
  std::string recordedMessage;

  /// How many programs this process had loaded when the device heard of it.
  uint64_t seenPrograms = 0;
  std::vector<moert_trace_span> traceSpans;
};

namespace moert {

/// Runs the body of a function of the C ABI that needs a context.
template <typename Body>
moert_status withContext(moert_context *context, Body body) {
  if (context)
    return guarded(context->lastError, body);
  return guarded(threadError(), [] {
    return fail(threadError(), MOERT_INVALID_ARGUMENT, "the context is null");
  });
}

} // namespace moert

#endif // MOERT_LIB_CONTEXT_H
