//===- Context.cpp - The device that calls run on -------------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Context.h"

using namespace moe;
using namespace moe::tools;

std::string moe::tools::streamName(int32_t stream) {
  if (stream == MOERT_STREAM_COMPUTE)
    return "compute";
  if (stream == MOERT_STREAM_AUX)
    return "aux";
  return "comm" + std::to_string(stream - MOERT_STREAM_COMM);
}

bool moe::tools::isForGPU(const std::string &target) {
  return target.substr(0, target.find(':')) == "cuda";
}

Context::~Context() {
  if (handle)
    (void)moert_stream_destroy(handle, compute);
  moert_context_destroy(handle);
}

Outcome Context::create(const std::string &target, int32_t threads,
                        int32_t rank, int32_t numRanks, int32_t device) {
  moert_context_options options;
  moert_context_options_init(&options);
  options.num_threads = threads;
  options.rank = rank;
  options.num_ranks = numRanks;
  if (isForGPU(target))
    options.device_type = kDLCUDA;
  options.device_id = device;
  if (moert_context_create(&options, &handle) != MOERT_SUCCESS)
    return Outcome::failed(moert_last_error(nullptr));
  where = {DLDeviceType(options.device_type), device};
  return check(moert_stream_create(handle, &compute));
}

Outcome Context::copy(void *to, const void *from, int64_t bytes,
                      moert_copy_kind kind) {
  return check(
      moert_memory_copy(handle, compute, to, from, size_t(bytes), kind));
}

Outcome Context::fill(void *memory, uint8_t byte, int64_t bytes) {
  return check(moert_memory_fill(handle, compute, memory, byte, size_t(bytes)));
}

Outcome Context::transfer(const std::vector<moert_transfer> &transfers) {
  return check(moert_transfer_enqueue(get(), stream(), transfers.data(),
                                      int64_t(transfers.size())));
}

Outcome Context::synchronize() {
  return check(moert_context_synchronize(handle));
}

Outcome Context::mark(int32_t index) {
  return check(moert_mark(handle, compute, index));
}

Outcome Context::elapsed(int32_t from, int32_t to, double &nanoseconds) {
  int64_t found = 0;
  Outcome outcome = check(moert_mark_elapsed(handle, from, to, &found));
  nanoseconds = double(found);
  return outcome;
}

Outcome Context::startTrace() { return check(moert_trace_start(handle)); }

Outcome Context::takeTrace(std::vector<Span> &spans) {
  const moert_trace_span *recorded = nullptr;
  int64_t count = 0;
  if (moert_trace_stop(get()) != MOERT_SUCCESS ||
      moert_trace_spans(get(), &recorded, &count) != MOERT_SUCCESS)
    return error();
  if (int64_t dropped = moert_trace_dropped(get()))
    return Outcome::failed("the trace is incomplete: " +
                           std::to_string(dropped) + " launches were dropped");
  spans.clear();
  for (const moert_trace_span *span = recorded; span != recorded + count;
       ++span)
    spans.push_back({span->label ? span->label : "", span->stream,
                     span->begin_ns - recorded->begin_ns,
                     span->end_ns - recorded->begin_ns});
  return {};
}

Outcome Buffer::allocate(Context &context, int64_t bytes) {
  memory = {nullptr, Free{context.get()}};
  if (bytes == 0)
    return {};
  void *allocated = nullptr;
  Outcome outcome = context.check(
      moert_memory_allocate(context.get(), size_t(bytes), &allocated));
  memory.reset(allocated);
  return outcome;
}

Outcome Graph::begin(Context &context) {
  return context.check(moert_capture_begin(context.get(), context.stream()));
}

Outcome Graph::end(Context &context) {
  moert_graph *captured = nullptr;
  Outcome outcome = context.check(
      moert_capture_end(context.get(), context.stream(), &captured));
  graph = {captured, Destroy{context.get()}};
  return outcome;
}

Outcome Graph::launch(Context &context) const {
  return context.check(
      moert_graph_launch(context.get(), graph.get(), context.stream()));
}
