//===- Context.h - A context: streams, helpers, errors ----------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOERT_LIB_CONTEXT_H
#define MOERT_LIB_CONTEXT_H

#include "CallCheck.h"
#include "Error.h"
#include "HelperPool.h"
#include "Stream.h"
#include "Trace.h"

#include "moert/moert.h"

#include <array>
#include <memory>
#include <string>
#include <vector>

/// All state of the runtime, apart from the threads' last errors. Everything
/// but the streams' insides belongs to the one caller.
struct moert_context {
  moert_context(int32_t numThreads, int32_t rank, int32_t numRanks);
  ~moert_context() { drain(); }

  /// The stream of that number, which is created if it is a communicator's and
  /// is used for the first time; null where there can be no such stream.
  moert::Stream *stream(int32_t number);

  /// As `stream`, but never creates one.
  moert::Stream *existingStream(int32_t number);

  /// Waits for all work of all streams.
  void drain();

  /// Keeps the first error of the current call until somebody asks.
  void recordError(moert_status status, std::string message);

  /// Hands back and forgets the recorded error.
  moert_status takeError();

  const int32_t rank;
  const int32_t numRanks;

  std::string lastError;
  moert::CallSizes sizes; // Of the current call.
  moert_status recordedStatus = MOERT_SUCCESS;
  std::string recordedMessage;

  moert::TraceSwitch traceSwitch;
  int64_t traceOrigin = 0; // By `moert::traceClock`.
  std::vector<moert_trace_span> traceSpans;

private:
  // The helpers look at the streams' blocks, so they end first.
  std::array<std::unique_ptr<moert::Stream>, moert::maxStreams> streams;
  moert::HelperPool helpers;
};

#endif // MOERT_LIB_CONTEXT_H
