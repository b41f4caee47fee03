//===- GeneratedCode.cpp - What generated code calls ----------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moert/GeneratedCode.h"

#include "Context.h"

using namespace moert;

/// An event is the number of a stream and a count of its entries.
static constexpr int eventCountBits = 48;

static moert_context &contextOf(const void *call) {
  return *static_cast<const moert_call *>(call)->context;
}

/// Runs `body`, which may create a stream, and records what goes wrong.
template <typename Body>
static void guardedInCall(moert_context &context, Body body) noexcept {
  std::string error;
  moert_status status = guarded(error, [&] {
    body();
    return MOERT_SUCCESS;
  });
  if (status != MOERT_SUCCESS)
    context.recordError(status, std::move(error));
}

/// The stream of that number, or null with an error recorded.
static Stream *findStream(moert_context &context, int32_t number) {
  Stream *stream = context.stream(number);
  if (!stream)
    context.recordError(MOERT_INVALID_ARGUMENT,
                        format("there is no stream %d, expected 0 to %d",
                               number, maxStreams - 1));
  return stream;
}

/// Refuses a call whose context cannot take the message.
static moert_status refuseInThread(const moert_call *call) {
  std::string &error = threadError();
  return guarded(error, [&] {
    if (!call)
      return fail(error, MOERT_INVALID_ARGUMENT, "the call is null");
    if (call->abi != MOERT_ABI_VERSION)
      return fail(error, MOERT_INVALID_ARGUMENT,
                  format("the call has ABI version %u, expected %u", call->abi,
                         MOERT_ABI_VERSION));
    return fail(error, MOERT_INVALID_ARGUMENT, "the call's context is null");
  });
}

moert_status moert_call_begin(const void *callPointer,
                              const void *signaturePointer) {
  const auto *call = static_cast<const moert_call *>(callPointer);
  const auto *signature =
      static_cast<const moert_signature *>(signaturePointer);
  if (!call || call->abi != MOERT_ABI_VERSION || !call->context)
    return refuseInThread(call);
  moert_context &context = *call->context;
  std::string &error = context.lastError;
  return guarded(error, [&] {
    if (!signature)
      return fail(error, MOERT_INVALID_ARGUMENT, "the signature is null");
    if (signature->abi != MOERT_ABI_VERSION)
      return fail(error, MOERT_INVALID_ARGUMENT,
                  format("the signature has ABI version %u, expected %u",
                         signature->abi, MOERT_ABI_VERSION));
    return checkCall(*call, *signature, context.rank, context.numRanks,
                     context.sizes, error);
  });
}

moert_status moert_call_end(const void *call) {
  moert_context &context = contextOf(call);
  // The caller of a failed call may free its tensors at once.
  if (context.recordedStatus != MOERT_SUCCESS)
    context.drain();
  return context.takeError();
}

int64_t moert_call_total_tokens(const void *call) {
  return contextOf(call).sizes.totalTokens;
}

int32_t moert_call_rank(const void *call) { return contextOf(call).rank; }

int64_t moert_event_record(const void *call, int32_t number) {
  moert_context &context = contextOf(call);
  int64_t event = 0;
  guardedInCall(context, [&] {
    if (Stream *stream = findStream(context, number))
      event =
          int64_t(uint64_t(number) << eventCountBits | stream->numEnqueued());
  });
  return event;
}

void moert_stream_wait(const void *call, int32_t number, int64_t event) {
  moert_context &context = contextOf(call);
  guardedInCall(context, [&] {
    Stream *stream = findStream(context, number);
    if (!stream)
      return;
    uint64_t count = uint64_t(event) & ((uint64_t(1) << eventCountBits) - 1);
    Stream *other =
        context.existingStream(int32_t(uint64_t(event) >> eventCountBits));
    if (!other || count > other->numEnqueued())
      return context.recordError(
          MOERT_INVALID_ARGUMENT,
          format("stream '%s' waits for event %#llx, expected an event that "
                 "was recorded in this context",
                 Stream::name(number).c_str(),
                 static_cast<unsigned long long>(event)));
    stream->waitFor(*other, count);
  });
}

/// Returns "" for a launch that can be enqueued.
static std::string findFault(const void *kernel, const void *arguments,
                             int64_t argumentBytes, int64_t grid) {
  if (!kernel)
    return "has a null kernel";
  if (argumentBytes < 0 || argumentBytes > MOERT_MAX_ARGUMENT_BYTES)
    return format("has %lld bytes of arguments, expected 0 to %d",
                  static_cast<long long>(argumentBytes),
                  MOERT_MAX_ARGUMENT_BYTES);
  if (argumentBytes > 0 && !arguments)
    return format("has null arguments, expected %lld bytes",
                  static_cast<long long>(argumentBytes));
  if (grid < 0)
    return format("has %lld blocks, expected 0 or more",
                  static_cast<long long>(grid));
  return "";
}

void moert_launch(const void *call, int32_t number, const void *kernel,
                  const void *labelPointer, const void *arguments,
                  int64_t argumentBytes, int64_t grid) {
  moert_context &context = contextOf(call);
  // After a failure, what this launch would read may not have been written.
  if (context.recordedStatus != MOERT_SUCCESS)
    return;
  const char *label =
      labelPointer ? static_cast<const char *>(labelPointer) : "";
  guardedInCall(context, [&] {
    Stream *stream = findStream(context, number);
    if (!stream)
      return;
    std::string fault = findFault(kernel, arguments, argumentBytes, grid);
    if (!fault.empty())
      return context.recordError(MOERT_INVALID_ARGUMENT,
                                 format("launch '%s' on stream '%s' %s", label,
                                        Stream::name(number).c_str(),
                                        fault.c_str()));
    stream->launch(
        reinterpret_cast<Kernel>(reinterpret_cast<uintptr_t>(kernel)), label,
        arguments, argumentBytes, grid);
  });
}
