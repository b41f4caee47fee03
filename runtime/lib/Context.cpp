//===- Context.cpp - A context: streams, helpers, errors ------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Context.h"

#include <algorithm>

#if defined(__linux__)
#include <sched.h>
#endif

using namespace moert;

static constexpr int32_t maxThreads = 1024;

/// The cores that this process may use.
static int32_t numCores() {
#if defined(__linux__)
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof(set), &set) == 0)
    return CPU_COUNT(&set);
#endif
  return std::max(1u, std::thread::hardware_concurrency());
}

// A launch is worked on by its stream's worker and by the helpers, so one
// busy stream keeps exactly `numThreads` threads busy.
moert_context::moert_context(int32_t numThreads, int32_t rank, int32_t numRanks)
    : rank(rank), numRanks(numRanks), helpers(numThreads - 1) {
  stream(MOERT_STREAM_COMPUTE);
  stream(MOERT_STREAM_AUX);
}

Stream *moert_context::existingStream(int32_t number) {
  return number >= 0 && number < maxStreams ? streams[number].get() : nullptr;
}

Stream *moert_context::stream(int32_t number) {
  if (number < 0 || number >= maxStreams)
    return nullptr;
  if (!streams[number]) {
    streams[number] = std::make_unique<Stream>(number, helpers, traceSwitch);
    helpers.add(streams[number]->blocks());
  }
  return streams[number].get();
}

void moert_context::drain() {
  for (std::unique_ptr<Stream> &stream : streams)
    if (stream)
      stream->awaitCompleted(stream->numEnqueued());
}

void moert_context::recordError(moert_status status, std::string message) {
  if (recordedStatus != MOERT_SUCCESS)
    return;
  recordedStatus = status;
  recordedMessage = std::move(message);
}

moert_status moert_context::takeError() {
  moert_status status = recordedStatus;
  if (status != MOERT_SUCCESS)
    lastError = std::move(recordedMessage);
  recordedStatus = MOERT_SUCCESS;
  recordedMessage.clear();
  return status;
}

void moert_context_options_init(moert_context_options *options) {
  if (options)
    *options = {MOERT_ABI_VERSION, /*num_threads=*/0, /*rank=*/0,
                /*num_ranks=*/1};
}

/// Returns "" for options that a context can have.
static std::string findFault(const moert_context_options &options) {
  if (options.abi != MOERT_ABI_VERSION)
    return format("the context's options have ABI version %u, expected %u",
                  options.abi, MOERT_ABI_VERSION);
  if (options.num_threads < 0 || options.num_threads > maxThreads)
    return format("num_threads is %d, expected 0 to %d", options.num_threads,
                  maxThreads);
  if (options.num_ranks < 1)
    return format("num_ranks is %d, expected at least 1", options.num_ranks);
  if (options.rank < 0 || options.rank >= options.num_ranks)
    return format("rank is %d, expected 0 to %d", options.rank,
                  options.num_ranks - 1);
  return "";
}

moert_status moert_context_create(const moert_context_options *options,
                                  moert_context **context) {
  std::string &error = threadError();
  return guarded(error, [&] {
    if (!context)
      return fail(error, MOERT_INVALID_ARGUMENT,
                  "the place for the context is null");
    *context = nullptr;
    moert_context_options given;
    moert_context_options_init(&given);
    if (options)
      given = *options;
    std::string fault = findFault(given);
    if (!fault.empty())
      return fail(error, MOERT_INVALID_ARGUMENT, std::move(fault));
    int32_t numThreads = given.num_threads ? given.num_threads
                                           : std::min(numCores(), maxThreads);
    *context = new moert_context(numThreads, given.rank, given.num_ranks);
    return MOERT_SUCCESS;
  });
}

void moert_context_destroy(moert_context *context) { delete context; }

const char *moert_last_error(const moert_context *context) {
  return context ? context->lastError.c_str() : threadError().c_str();
}

moert_status moert_context_synchronize(moert_context *context) {
  if (!context)
    return guarded(threadError(), [] {
      return fail(threadError(), MOERT_INVALID_ARGUMENT, "the context is null");
    });
  Stream *compute = context->existingStream(MOERT_STREAM_COMPUTE);
  compute->awaitCompleted(compute->numEnqueued());
  return context->takeError();
}
