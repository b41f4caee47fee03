//===- Execution.cpp - Calls of an artefact -------------------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moe-mlir/Run/Execution.h"

#include <algorithm>
#include <chrono>
#include <numeric>

using namespace moe;
using namespace moe::run;

Status DeviceInputs::create(Context &context, const Inputs &given) {
  inputs = &given;
  for (const HostTensor &tensor : given.tensors) {
    if (context.sharesMemory()) {
      addresses[tensor.name()] = const_cast<void *>(tensor.data());
      continue;
    }
    Buffer &buffer = buffers.emplace_back();
    MOE_TRY(buffer.allocate(context, tensor.numBytes()));
    MOE_TRY(context.copy(buffer.data(), tensor.data(), tensor.numBytes(),
                         MOERT_COPY_TO_DEVICE));
    addresses[tensor.name()] = buffer.data();
  }
  return context.synchronize();
}

Status DeviceInputs::update(Context &context, const std::string &name) {
  const HostTensor &tensor = *inputs->find(name);
  if (context.sharesMemory())
    return {};
  MOE_TRY(context.copy(data(name), tensor.data(), tensor.numBytes(),
                       MOERT_COPY_TO_DEVICE));
  return context.synchronize();
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

void Execution::bind(const HostTensor &tensor, void *data) {
  shapes.push_back(tensor.shape());
  DLTensor view = {};
  view.data = data;
  view.device = context.device();
  view.ndim = static_cast<int32_t>(shapes.back().size());
  view.dtype = toDLPack(tensor.dtype());
  view.shape = shapes.back().data();
  tensors.push_back(view);
}

/// Tokens of all ranks.
static int64_t countAllRows(const Inputs &inputs) {
  return std::accumulate(inputs.tokensPerRank.begin(),
                         inputs.tokensPerRank.end(), int64_t(0));
}

Execution::Execution(Context &context, const Artefact &artefact,
                     const DeviceInputs &inputs)
    : context(context), artefact(artefact), inputs(inputs),
      workspaceSize(artefact.workspaceBytes(inputs.host().T,
                                            countAllRows(inputs.host()))) {
  for (const TensorSpec &output : artefact.descriptor().outputs) {
    std::vector<int64_t> shape = output.shape;
    std::replace(shape.begin(), shape.end(), int64_t(-1), inputs.host().T);
    results.emplace_back(output.name, output.dtype, std::move(shape));
  }
}

const HostTensor *Execution::expertLoad() const {
  for (const HostTensor &result : results)
    if (result.name() == getName(TensorId::ExpertLoad))
      return &result;
  return nullptr;
}

Status Execution::prepare() {
  MOE_TRY(workspace.allocate(context, workspaceSize));
  for (const TensorSpec &input : artefact.descriptor().inputs)
    bind(*inputs.host().find(input.name), inputs.data(input.name));
  const size_t numInputs = tensors.size();
  for (HostTensor &result : results) {
    Buffer &buffer = deviceResults.emplace_back();
    if (!context.sharesMemory())
      MOE_TRY(buffer.allocate(context, result.numBytes()));
    bind(result, context.sharesMemory() ? result.data() : buffer.data());
  }
  // Only now do the tensors stay where they are.
  for (size_t i = 0; i < tensors.size(); ++i)
    if (i < numInputs)
      inputPointers.push_back(&tensors[i]);
    else
      outputPointers.push_back(&tensors[i]);
  return {};
}

Status Execution::enqueue() {
  moert_call call = {};
  call.abi = MOERT_ABI_VERSION;
  const moert_call_value values[] = {{"decodes", inputs.host().decodes}};
  call.num_values = 1;
  call.values = values;
  call.context = context.get();
  call.stream = context.stream();
  call.inputs = inputPointers.data();
  call.outputs = outputPointers.data();
  call.num_inputs = static_cast<int64_t>(inputPointers.size());
  call.num_outputs = static_cast<int64_t>(outputPointers.size());
  call.tokens_per_rank = inputs.host().tokensPerRank.data();
  call.workspace = workspace.data();
  call.workspace_bytes = static_cast<size_t>(workspaceSize);
  return context.check(moert_program_run(artefact.program(), &call));
}

Status Execution::capture() {
  MOE_TRY(graph.begin(context));
  Status enqueued = enqueue();
  Status ended = graph.end(context);
  hasGraph = enqueued && ended;
  return enqueued ? ended : enqueued;
}

Status Execution::run() {
  if (poison) {
    // All bits set is a NaN in float32, bfloat16 and float16, and no count.
    for (size_t i = 0; i < results.size(); ++i)
      MOE_TRY(
          context.fill(outputPointers[i]->data, 0xff, results[i].numBytes()));
    MOE_TRY(context.fill(workspace.data(), 0xff, workspaceSize));
    MOE_TRY(context.synchronize());
  }
  const auto begin = std::chrono::steady_clock::now();
  MOE_TRY(hasGraph ? graph.launch(context) : enqueue());
  MOE_TRY(context.synchronize());
  const auto end = std::chrono::steady_clock::now();
  duration =
      std::chrono::duration_cast<std::chrono::nanoseconds>(end - begin).count();
  if (context.sharesMemory())
    return {};
  for (size_t i = 0; i < results.size(); ++i)
    MOE_TRY(context.copy(results[i].data(), outputPointers[i]->data,
                         results[i].numBytes(), MOERT_COPY_TO_HOST));
  return context.synchronize();
}
