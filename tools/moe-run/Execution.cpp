//===- Execution.cpp - Calls of an artefact -------------------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Execution.h"

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <new>

using namespace moe;
using namespace moe::tools;

std::string moe::tools::streamName(int32_t stream) {
  if (stream == MOERT_STREAM_COMPUTE)
    return "compute";
  if (stream == MOERT_STREAM_AUX)
    return "aux";
  return "comm" + std::to_string(stream - MOERT_STREAM_COMM);
}

Outcome Context::create(int32_t threads) {
  moert_context_options options;
  moert_context_options_init(&options);
  options.num_threads = threads;
  moert_context *context = nullptr;
  if (moert_context_create(&options, &context) != MOERT_SUCCESS)
    return Outcome::failed(moert_last_error(nullptr));
  handle.reset(context);
  return {};
}

Outcome Context::startTrace() {
  return moert_trace_start(get()) == MOERT_SUCCESS ? Outcome() : error();
}

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

static DLDataType toDLPack(DType dtype) {
  switch (dtype) {
  case DType::F32:
    return {kDLFloat, 32, 1};
  case DType::BF16:
    return {kDLBfloat, 16, 1};
  case DType::F16:
    return {kDLFloat, 16, 1};
  case DType::I32:
    break;
  }
  return {kDLInt, 32, 1};
}

void Execution::Free::operator()(void *pointer) const { std::free(pointer); }

void Execution::bind(const HostTensor &tensor) {
  shapes.push_back(tensor.shape());
  DLTensor view = {};
  view.data = const_cast<void *>(tensor.data());
  view.device.device_type = kDLCPU;
  view.ndim = static_cast<int32_t>(shapes.back().size());
  view.dtype = toDLPack(tensor.dtype());
  view.shape = shapes.back().data();
  tensors.push_back(view);
}

Execution::Execution(Context &context, const Artefact &artefact,
                     const Inputs &inputs)
    : context(context), artefact(artefact),
      result("output", artefact.descriptor().layer.dtype,
             {inputs.T, artefact.descriptor().layer.hiddenSize}),
      workspaceSize(artefact.workspaceBytes(inputs.T)) {
  if (workspaceSize) {
    constexpr size_t page = 4096;
    const size_t bytes = static_cast<size_t>(workspaceSize);
    workspace.reset(std::aligned_alloc(page, (bytes + page - 1) / page * page));
    if (!workspace)
      throw std::bad_alloc();
  }
  for (const TensorSpec &input : artefact.descriptor().inputs)
    bind(*inputs.find(input.name));
  bind(result);
  // Only now do the tensors stay where they are.
  for (size_t i = 0; i + 1 < tensors.size(); ++i)
    inputPointers.push_back(&tensors[i]);
  outputPointers.push_back(&tensors.back());
}

Outcome Execution::run() {
  if (poison) {
    // All bits set is a NaN in float32, bfloat16 and float16.
    std::memset(result.data(), 0xff, static_cast<size_t>(result.numBytes()));
    if (workspace)
      std::memset(workspace.get(), 0xff, static_cast<size_t>(workspaceSize));
  }
  moert_call call = {};
  call.abi = MOERT_ABI_VERSION;
  call.context = context.get();
  call.inputs = inputPointers.data();
  call.outputs = outputPointers.data();
  call.num_inputs = static_cast<int64_t>(inputPointers.size());
  call.num_outputs = 1;
  call.workspace = workspace.get();
  call.workspace_bytes = static_cast<size_t>(workspaceSize);

  const auto begin = std::chrono::steady_clock::now();
  moert_status status = moert_program_run(artefact.program(), &call);
  if (status == MOERT_SUCCESS)
    status = moert_context_synchronize(context.get());
  const auto end = std::chrono::steady_clock::now();
  duration =
      std::chrono::duration_cast<std::chrono::nanoseconds>(end - begin).count();
  return status == MOERT_SUCCESS ? Outcome() : context.error();
}
