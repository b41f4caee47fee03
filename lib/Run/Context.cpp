//===- Context.cpp - The device that calls run on -------------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moe-mlir/Run/Context.h"

using namespace moe;
using namespace moe::run;

std::string moe::run::streamName(int32_t stream) {
  if (stream == MOERT_STREAM_COMPUTE)
    return "compute";
  if (stream == MOERT_STREAM_AUX)
    return "aux";
  return "comm" + std::to_string(stream - MOERT_STREAM_COMM);
}

bool moe::run::isForGPU(const std::string &target) {
  return target.substr(0, target.find(':')) == "cuda";
}

Context::~Context() {
  if (handle)
    (void)moert_stream_destroy(handle, compute);
  moert_context_destroy(handle);
}

Status Context::create(const std::string &target, int32_t threads, int32_t rank,
                       int32_t numRanks, int32_t device) {
  moert_context_options options;
  moert_context_options_init(&options);
  options.num_threads = threads;
  options.rank = rank;
  options.num_ranks = numRanks;
  if (isForGPU(target))
    options.device_type = kDLCUDA;
  options.device_id = device;
  if (moert_context_create(&options, &handle) != MOERT_SUCCESS)
    return failed(moert_last_error(nullptr));
  where = {DLDeviceType(options.device_type), device};
  return check(moert_stream_create(handle, &compute));
}

Status Context::copy(void *to, const void *from, int64_t bytes,
                     moert_copy_kind kind) {
  return check(
      moert_memory_copy(handle, compute, to, from, size_t(bytes), kind));
}

Status Context::fill(void *memory, uint8_t byte, int64_t bytes) {
  return check(moert_memory_fill(handle, compute, memory, byte, size_t(bytes)));
}

Status Context::transfer(const std::vector<moert_transfer> &transfers) {
  return check(moert_transfer_enqueue(get(), stream(), transfers.data(),
                                      int64_t(transfers.size())));
}

Status Context::synchronize() {
  return check(moert_context_synchronize(handle));
}

Status Context::mark(int32_t index) {
  return check(moert_mark(handle, compute, index));
}

Status Context::elapsed(int32_t from, int32_t to, double &nanoseconds) {
  int64_t found = 0;
  Status status = check(moert_mark_elapsed(handle, from, to, &found));
  nanoseconds = double(found);
  return status;
}

Status Context::startTrace() { return check(moert_trace_start(handle)); }

Status Context::takeTrace(std::vector<Span> &spans) {
  const moert_trace_span *recorded = nullptr;
  int64_t count = 0;
  if (moert_trace_stop(get()) != MOERT_SUCCESS ||
      moert_trace_spans(get(), &recorded, &count) != MOERT_SUCCESS)
    return error();
  if (int64_t dropped = moert_trace_dropped(get()))
    return failed("the trace is incomplete: " + std::to_string(dropped) +
                  " launches were dropped");
  spans.clear();
  for (const moert_trace_span *span = recorded; span != recorded + count;
       ++span)
    spans.push_back({span->label ? span->label : "", span->stream,
                     span->begin_ns - recorded->begin_ns,
                     span->end_ns - recorded->begin_ns});
  return {};
}

Status Context::writeTrace(const std::string &path) {
  return check(moert_trace_write(handle, path.c_str()));
}

Status Buffer::allocate(Context &context, int64_t bytes) {
  memory = {nullptr, Free{context.get()}};
  if (bytes == 0)
    return {};
  void *allocated = nullptr;
  Status status = context.check(
      moert_memory_allocate(context.get(), size_t(bytes), &allocated));
  memory.reset(allocated);
  return status;
}

Status Graph::begin(Context &context) {
  return context.check(moert_capture_begin(context.get(), context.stream()));
}

Status Graph::end(Context &context) {
  moert_graph *captured = nullptr;
  Status status = context.check(
      moert_capture_end(context.get(), context.stream(), &captured));
  graph = {captured, Destroy{context.get()}};
  return status;
}

Status Graph::launch(Context &context) const {
  return context.check(
      moert_graph_launch(context.get(), graph.get(), context.stream()));
}
