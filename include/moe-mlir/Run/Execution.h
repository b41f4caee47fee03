//===- Execution.h - Calls of an artefact -----------------------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_RUN_EXECUTION_H
#define MOE_MLIR_RUN_EXECUTION_H

#include "moe-mlir/Run/Artefact.h"
#include "moe-mlir/Run/Context.h"
#include "moe-mlir/Run/Inputs.h"

#include <map>

namespace moe::run {

/// Inputs where the device reads them: in copies of its own, or where they are
/// if it shares this process' memory.
class DeviceInputs {
public:
  /// The inputs are kept by reference.
  Status create(Context &context, const Inputs &inputs);

  /// Copies an input anew that has changed where it was given.
  Status update(Context &context, const std::string &name);

  const Inputs &host() const { return *inputs; }
  void *data(const std::string &name) const { return addresses.at(name); }

private:
  const Inputs *inputs = nullptr;
  std::vector<Buffer> buffers;
  std::map<std::string, void *> addresses;
};

/// One artefact bound to its tensors; runs it any number of times.
class Execution {
public:
  /// All are kept by reference. `inputs` has every input of the artefact.
  Execution(Context &context, const Artefact &artefact,
            const DeviceInputs &inputs);

  /// Allocates outputs and workspace, before anything else is done.
  Status prepare();

  /// Fills outputs and workspace with bytes that are NaNs in every dtype before
  /// each of the next runs.
  void setPoison(bool enable) { poison = enable; }

  /// From now on `run` replays a graph that one more call is captured in.
  Status capture();

  /// Runs the layer to its end.
  Status run();
  /// Of the last run, from the call until all its work is complete.
  int64_t nanoseconds() const { return duration; }

  /// Enqueues a run that leaves its outputs on the device.
  Status enqueue();

  /// Of the last run.
  const HostTensor &output() const { return results.front(); }
  /// Of the last run, if the artefact records it; else null.
  const HostTensor *expertLoad() const;
  int64_t workspaceBytes() const { return workspaceSize; }

private:
  void bind(const HostTensor &tensor, void *data);

  Context &context;
  const Artefact &artefact;
  const DeviceInputs &inputs;
  std::vector<HostTensor> results;
  int64_t workspaceSize;
  Buffer workspace;
  /// Nothing where the device writes to `results` themselves.
  std::vector<Buffer> deviceResults;
  /// Inputs, then outputs; shapes are lent to them.
  std::vector<std::vector<int64_t>> shapes;
  std::vector<DLTensor> tensors;
  std::vector<const DLTensor *> inputPointers;
  std::vector<DLTensor *> outputPointers;
  Graph graph;
  bool hasGraph = false;
  bool poison = false;
  int64_t duration = 0;
};

} // namespace moe::run

#endif // MOE_MLIR_RUN_EXECUTION_H
