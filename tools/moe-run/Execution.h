//===- Execution.h - Calls of an artefact -----------------------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_TOOLS_MOERUN_EXECUTION_H
#define MOE_MLIR_TOOLS_MOERUN_EXECUTION_H

#include "Inputs.h"

#include <memory>

namespace moe::tools {

/// A launch in a trace; times in nanoseconds.
struct Span {
  std::string label;
  int32_t stream;
  int64_t begin;
  int64_t end;
};

/// "compute", "aux", "comm0", ...
std::string streamName(int32_t stream);

/// The threads and streams that calls run on.
class Context {
public:
  Outcome create(int32_t threads);

  moert_context *get() const { return handle.get(); }

  /// Starts recording of launches, and stops it and hands them out, ordered by
  /// begin and counted from the first one's begin.
  Outcome startTrace();
  Outcome takeTrace(std::vector<Span> &spans);

  Outcome error() const { return Outcome::failed(moert_last_error(get())); }

private:
  struct Destroy {
    void operator()(moert_context *context) const {
      moert_context_destroy(context);
    }
  };
  std::unique_ptr<moert_context, Destroy> handle;
};

/// One artefact bound to its tensors; runs it any number of times.
class Execution {
public:
  /// All are kept by reference. `inputs` has every input of the artefact.
  Execution(Context &context, const Artefact &artefact, const Inputs &inputs);

  /// Fills output and workspace with bytes that are NaNs in every dtype before
  /// each of the next runs.
  void setPoison(bool enable) { poison = enable; }

  /// Runs the layer to its end.
  Outcome run();
  /// Of the last run, from the call until all its work is complete.
  int64_t nanoseconds() const { return duration; }

  const HostTensor &output() const { return result; }
  int64_t workspaceBytes() const { return workspaceSize; }

private:
  void bind(const HostTensor &tensor);

  Context &context;
  const Artefact &artefact;
  HostTensor result;
  int64_t workspaceSize;
  /// At the start of a page, which is more than the 256 bytes asked for.
  struct Free {
    void operator()(void *pointer) const;
  };
  std::unique_ptr<void, Free> workspace;
  /// Inputs, then the output; shapes are lent to them.
  std::vector<std::vector<int64_t>> shapes;
  std::vector<DLTensor> tensors;
  std::vector<const DLTensor *> inputPointers;
  std::vector<DLTensor *> outputPointers;
  bool poison = false;
  int64_t duration = 0;
};

} // namespace moe::tools

#endif // MOE_MLIR_TOOLS_MOERUN_EXECUTION_H
