//===- Context.h - The device that calls run on -----------------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_RUN_CONTEXT_H
#define MOE_MLIR_RUN_CONTEXT_H

#include "moe-mlir/Support/Result.h"
#include "moert/moert.h"

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace moe::run {

/// A launch in a trace; times in nanoseconds.
struct Span {
  std::string label;
  int32_t stream;
  int64_t begin;
  int64_t end;
};

/// "compute", "aux", "comm0", ...
std::string streamName(int32_t stream);

/// Whether code for this target runs on a GPU: "cuda" or "cuda:sm_90a".
bool isForGPU(const std::string &target);

/// The device, threads and streams that calls run on.
class Context {
public:
  Context() = default;
  Context(const Context &) = delete;
  Context &operator=(const Context &) = delete;
  ~Context();

  /// For artefacts of `target`, with so many threads on a CPU.
  Status create(const std::string &target, int32_t threads, int32_t rank = 0,
                int32_t numRanks = 1, int32_t device = 0);

  moert_context *get() const { return handle; }
  DLDevice device() const { return where; }
  /// What calls have as their stream.
  void *stream() const { return compute; }
  /// Whether memory of the device is memory of this process.
  bool sharesMemory() const { return where.device_type == kDLCPU; }

  Status copy(void *to, const void *from, int64_t bytes, moert_copy_kind kind);
  Status fill(void *memory, uint8_t byte, int64_t bytes);
  /// With the other ranks, which pass the same list.
  Status transfer(const std::vector<moert_transfer> &transfers);
  Status synchronize();

  /// Notes the device's time, and reads nanoseconds between two notes.
  Status mark(int32_t index);
  Status elapsed(int32_t from, int32_t to, double &nanoseconds);

  /// Starts recording of launches, and stops it and hands them out, ordered by
  /// begin and counted from the first one's begin.
  Status startTrace();
  Status takeTrace(std::vector<Span> &spans);

  /// Writes what the last recording has as a file that Perfetto opens.
  Status writeTrace(const std::string &path);

  Failure error() const { return failed(moert_last_error(get())); }
  /// The error, unless there is none.
  Status check(moert_status status) const {
    return status == MOERT_SUCCESS ? Status() : Status(error());
  }

private:
  moert_context *handle = nullptr;
  DLDevice where = {kDLCPU, 0};
  void *compute = nullptr;
};

/// Memory of a context's device, aligned to 256 bytes.
class Buffer {
public:
  Status allocate(Context &context, int64_t bytes);
  /// Null if nothing, or 0 bytes, was allocated.
  void *data() const { return memory.get(); }

private:
  struct Free {
    moert_context *context;
    void operator()(void *pointer) const {
      moert_memory_free(context, pointer);
    }
  };
  std::unique_ptr<void, Free> memory{nullptr, Free{nullptr}};
};

/// What was enqueued on a context's stream, to be enqueued again.
class Graph {
public:
  /// Begins and ends the capture; `end` also where what was to be captured has
  /// failed.
  Status begin(Context &context);
  Status end(Context &context);
  Status launch(Context &context) const;

private:
  struct Destroy {
    moert_context *context;
    void operator()(moert_graph *graph) const {
      moert_graph_destroy(context, graph);
    }
  };
  std::unique_ptr<moert_graph, Destroy> graph{nullptr, Destroy{nullptr}};
};

} // namespace moe::run

#endif // MOE_MLIR_RUN_CONTEXT_H
