//===- Trace.cpp - Timelines for Perfetto ---------------------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moe-mlir/Simulate/Engine.h"

#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/JSON.h"
#include "llvm/Support/raw_ostream.h"

using namespace moe::simulate;

/// A metadata event that names a process or a thread.
static void writeName(llvm::raw_ostream &os, const char *kind, size_t rank,
                      size_t stream, const std::string &text) {
  os << llvm::formatv(
      R"({{"ph":"M","pid":{0},"tid":{1},"name":"{2}","args":{{"name":{3}}})",
      rank, stream, kind, llvm::json::Value(text));
}

std::string moe::simulate::printTrace(const Program &program,
                                      const Timeline &timeline) {
  std::string text;
  llvm::raw_string_ostream os(text);
  os << R"({"displayTimeUnit":"ns","traceEvents":[)";
  const char *separator = "\n";
  for (size_t rank = 0; rank < program.tasks.size(); ++rank) {
    os << separator;
    separator = ",\n";
    writeName(os, "process_name", rank, 0, "rank " + std::to_string(rank));
    for (size_t stream = 0; stream < program.streams.size(); ++stream) {
      os << separator;
      writeName(os, "thread_name", rank, stream, program.streams[stream]);
    }
  }
  constexpr double microsecond = 1e-6;
  for (const Span &span : timeline.spans)
    if (span.end > span.begin)
      os << separator
         << llvm::formatv(R"({{"ph":"X","pid":{0},"tid":{1},"cat":"run",)"
                          R"("name":{2},"ts":{3:F3},"dur":{4:F3}})",
                          span.rank, span.stream,
                          llvm::json::Value(program.labels[span.label]),
                          span.begin / microsecond,
                          (span.end - span.begin) / microsecond);
  os << "\n]}\n";
  return text;
}
