//===- TraceFunctions.cpp - Traces that embedders read and write ----------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Context.h"

#include "../common/AtomicFile.h"

#include <algorithm>
#include <nlohmann/json.hpp>

using namespace moert;

/// Collects the spans of all streams, ordered by begin.
static moert_status collect(moert_context &context) {
  std::vector<moert_trace_span> &spans = context.traceSpans;
  spans.clear();
  moert_status status = context.device->collectSpans(spans, context.lastError);
  std::stable_sort(spans.begin(), spans.end(),
                   [](const moert_trace_span &a, const moert_trace_span &b) {
                     return a.begin_ns < b.begin_ns;
                   });
  return status;
}

moert_status moert_trace_start(moert_context *context) {
  return withContext(context, [&] {
    context->traceSpans.clear();
    return context->device->startTrace(context->lastError);
  });
}

moert_status moert_trace_stop(moert_context *context) {
  return withContext(context, [&] {
    context->device->stopTrace();
    return MOERT_SUCCESS;
  });
}

moert_status moert_trace_spans(moert_context *context,
                               const moert_trace_span **spans, int64_t *count) {
  return withContext(context, [&] {
    if (!spans || !count)
      return fail(context->lastError, MOERT_INVALID_ARGUMENT,
                  "the place for the spans is null");
    moert_status status = collect(*context);
    *spans = context->traceSpans.data();
    *count = int64_t(context->traceSpans.size());
    return status;
  });
}

int64_t moert_trace_dropped(moert_context *context) {
  return context ? context->device->numDroppedSpans() : 0;
}

/// A JSON string of ASCII, whatever bytes the text has.
static std::string quoted(const std::string &text) {
  return nlohmann::json(text).dump(-1, ' ', /*ensure_ascii=*/true,
                                   nlohmann::json::error_handler_t::replace);
}

/// Chrome traces count in microseconds; three decimals keep the nanoseconds.
static std::string microseconds(int64_t nanoseconds) {
  return format("%lld.%03lld", static_cast<long long>(nanoseconds / 1000),
                static_cast<long long>(nanoseconds % 1000));
}

/// A metadata event that names a process or a thread.
static std::string nameEvent(const char *kind, int32_t process, int32_t thread,
                             const std::string &name) {
  return format(R"({"ph":"M","pid":%d,"tid":%d,"name":"%s",)"
                R"("args":{"name":%s}})",
                process, thread, kind, quoted(name).c_str());
}

moert_status moert_trace_write(moert_context *context, const char *path) {
  return withContext(context, [&] {
    if (!path)
      return fail(context->lastError, MOERT_INVALID_ARGUMENT,
                  "the path of the trace is null");
    if (moert_status status = collect(*context))
      return status;
    int32_t rank = context->rank;
    AtomicFile file(path);
    file.write(format(R"({"displayTimeUnit":"ns",)"
                      R"("otherData":{"dropped_spans":%lld},"traceEvents":[)",
                      static_cast<long long>(moert_trace_dropped(context))));
    file.write("\n" + nameEvent("process_name", rank, 0,
                                "rank " + std::to_string(rank)));
    for (int32_t i = 0; i < maxStreams; ++i)
      if (context->device->hasStream(i))
        file.write(",\n" + nameEvent("thread_name", rank, i, streamName(i)));
    for (const moert_trace_span &span : context->traceSpans)
      file.write(format(",\n"
                        R"({"ph":"X","pid":%d,"tid":%d,"cat":"launch",)"
                        R"("name":%s,"ts":%s,"dur":%s})",
                        rank, span.stream, quoted(span.label).c_str(),
                        microseconds(span.begin_ns).c_str(),
                        microseconds(span.end_ns - span.begin_ns).c_str()));
    file.write("\n]}\n");
    std::string error = file.commit();
    if (!error.empty())
      return fail(context->lastError, MOERT_IO_ERROR, std::move(error));
    return MOERT_SUCCESS;
  });
}
