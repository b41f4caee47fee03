//===- DeviceFunctions.cpp - Memory, streams, graphs, times ---------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Context.h"
#include "Transfer.h"

using namespace moert;

/// Refuses a place or a range that is null but must not be.
static moert_status refuseNull(moert_context *context, const char *what) {
  return fail(context->lastError, MOERT_INVALID_ARGUMENT,
              format("%s is null", what));
}

moert_status moert_memory_allocate(moert_context *context, size_t bytes,
                                   void **memory) {
  return withContext(context, [&] {
    if (!memory)
      return refuseNull(context, "the place for the memory");
    *memory = nullptr;
    return context->device->allocate(bytes, *memory, context->lastError);
  });
}

moert_status moert_memory_free(moert_context *context, void *memory) {
  return withContext(context, [&] {
    return memory ? context->device->free(memory, context->lastError)
                  : MOERT_SUCCESS;
  });
}

moert_status moert_memory_copy(moert_context *context, void *stream, void *to,
                               const void *from, size_t bytes,
                               moert_copy_kind kind) {
  return withContext(context, [&] {
    if (kind != MOERT_COPY_TO_DEVICE && kind != MOERT_COPY_TO_HOST &&
        kind != MOERT_COPY_ON_DEVICE)
      return fail(context->lastError, MOERT_INVALID_ARGUMENT,
                  format("the kind of copy is %d, expected %d to %d", int(kind),
                         MOERT_COPY_TO_DEVICE, MOERT_COPY_ON_DEVICE));
    if (bytes == 0)
      return MOERT_SUCCESS;
    if (!to || !from)
      return refuseNull(context, to ? "what is copied" : "where to copy to");
    return context->device->copy(stream, to, from, bytes, kind,
                                 context->lastError);
  });
}

moert_status moert_memory_fill(moert_context *context, void *stream,
                               void *memory, uint8_t byte, size_t bytes) {
  return withContext(context, [&] {
    if (bytes == 0)
      return MOERT_SUCCESS;
    if (!memory)
      return refuseNull(context, "the memory to fill");
    return context->device->fill(stream, memory, byte, bytes,
                                 context->lastError);
  });
}

moert_status moert_stream_create(moert_context *context, void **stream) {
  return withContext(context, [&] {
    if (!stream)
      return refuseNull(context, "the place for the stream");
    *stream = nullptr;
    return context->device->createStream(*stream, context->lastError);
  });
}

moert_status moert_stream_destroy(moert_context *context, void *stream) {
  return withContext(context, [&] {
    return stream ? context->device->destroyStream(stream, context->lastError)
                  : MOERT_SUCCESS;
  });
}

moert_status moert_capture_begin(moert_context *context, void *stream) {
  return withContext(context, [&] {
    return context->device->beginCapture(stream, context->lastError);
  });
}

moert_status moert_capture_end(moert_context *context, void *stream,
                               moert_graph **graph) {
  return withContext(context, [&] {
    if (!graph)
      return refuseNull(context, "the place for the graph");
    *graph = nullptr;
    return context->device->endCapture(stream, *graph, context->lastError);
  });
}

moert_status moert_graph_launch(moert_context *context, moert_graph *graph,
                                void *stream) {
  return withContext(context, [&] {
    if (!graph)
      return refuseNull(context, "the graph");
    return context->device->launchGraph(*graph, stream, context->lastError);
  });
}

moert_status moert_graph_destroy(moert_context *context, moert_graph *graph) {
  return withContext(context, [&] {
    return graph ? context->device->destroyGraph(*graph, context->lastError)
                 : MOERT_SUCCESS;
  });
}

moert_status moert_mark(moert_context *context, void *stream, int32_t index) {
  return withContext(context, [&] {
    return context->device->mark(stream, index, context->lastError);
  });
}

moert_status moert_mark_elapsed(moert_context *context, int32_t from,
                                int32_t to, int64_t *nanoseconds) {
  return withContext(context, [&] {
    if (!nanoseconds)
      return refuseNull(context, "the place for the time");
    return context->device->elapsed(from, to, *nanoseconds, context->lastError);
  });
}

moert_status moert_transfer_enqueue(moert_context *context, void *stream,
                                    const moert_transfer *transfers,
                                    int64_t count) {
  return withContext(context, [&] {
    std::string &error = context->lastError;
    if (count < 0 || (count > 0 && !transfers))
      return fail(error, MOERT_INVALID_ARGUMENT,
                  format("there are %lld transfers%s, expected 0 or more",
                         static_cast<long long>(count),
                         transfers ? "" : " in a list that is null"));
    if (!context->hasJoined)
      return fail(error, MOERT_INVALID_ARGUMENT,
                  "transfers need the other ranks, but the context has joined "
                  "no group (moert_context_join)");
    std::string fault =
        findTransferFault(transfers, count, context->rank, context->numRanks);
    if (!fault.empty())
      return fail(error, MOERT_INVALID_ARGUMENT, std::move(fault));
    return context->device->enqueueTransfers(stream, transfers, count, error);
  });
}
