//===- CallFixture.h - A call that is right in all points -------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOERT_UNITTESTS_CALLFIXTURE_H
#define MOERT_UNITTESTS_CALLFIXTURE_H

#include "Support.h"

#include <deque>
#include <vector>

namespace moert::test {

/// A DLTensor with shape, strides and memory of its own.
struct OwnedTensor {
  OwnedTensor(std::vector<int64_t> dims, DLDataType dtype)
      : shape(std::move(dims)) {
    int64_t elements = 1;
    for (int64_t dim : shape)
      elements *= dim;
    memory.resize(size_t(elements) * dtype.bits / 8 / sizeof(uint64_t) + 2);
    tensor.data = memory.data();
    tensor.device = {kDLCPU, 0};
    tensor.ndim = int(shape.size());
    tensor.dtype = dtype;
    tensor.shape = shape.data();
    tensor.strides = nullptr;
    tensor.byte_offset = 0;
  }
  OwnedTensor(const OwnedTensor &) = delete;

  void setShape(std::vector<int64_t> dims) {
    shape = std::move(dims);
    tensor.shape = shape.data();
    tensor.ndim = int(shape.size());
  }
  void setStrides(std::vector<int64_t> values) {
    strides = std::move(values);
    tensor.strides = strides.data();
  }

  std::vector<int64_t> shape;
  std::vector<int64_t> strides;
  std::vector<uint64_t> memory;
  DLTensor tensor{};
};

inline constexpr DLDataType float32{kDLFloat, 32, 1};
inline constexpr DLDataType bfloat16{kDLBfloat, 16, 1};
inline constexpr DLDataType int32{kDLInt, 32, 1};

/// A call with 16 tokens and 3 local experts of a layer with hidden size 8, as
/// its signature wants it. Tests spoil it.
struct CallArguments {
  explicit CallArguments(int32_t numRanks = 1, int32_t rank = 0)
      : context(makeContext(2, rank, numRanks)) {
    signature.num_ranks = numRanks;
    for (OwnedTensor *tensor : {&hidden, &weights, &bias, &ids})
      inputs.push_back(&tensor->tensor);
    for (OwnedTensor *tensor : {&output, &load})
      outputs.push_back(&tensor->tensor);
  }

  moert_call call() {
    moert_call call = makeCall(context.get());
    call.inputs = inputs.data();
    call.outputs = outputs.data();
    call.num_inputs = int64_t(inputs.size());
    call.num_outputs = int64_t(outputs.size());
    call.tokens_per_rank =
        tokensPerRank.empty() ? nullptr : tokensPerRank.data();
    call.workspace = workspace;
    call.workspace_bytes = workspaceBytes;
    return call;
  }

  static constexpr int64_t hiddenDims[] = {MOERT_DIM_TOKENS, 8};
  static constexpr int64_t weightDims[] = {MOERT_DIM_AXIS(0), 8, 4};
  static constexpr int64_t biasDims[] = {MOERT_DIM_AXIS(0)};
  static constexpr int64_t idDims[] = {MOERT_DIM_TOKENS, 2};
  static constexpr int64_t loadDims[] = {MOERT_DIM_AXIS(0)};
  static constexpr const char *axisNames[] = {"L"};
  moert_tensor_signature inputSignatures[4] = {
      {"hidden_states", kDLFloat, 32, 1, 2, hiddenDims},
      {"w13", kDLBfloat, 16, 1, 3, weightDims},
      {"bias", kDLFloat, 32, 1, 1, biasDims},
      {"topk_ids", kDLInt, 32, 1, 2, idDims}};
  moert_tensor_signature outputSignatures[2] = {
      {"output", kDLFloat, 32, 1, 2, hiddenDims},
      {"load", kDLInt, 32, 1, 1, loadDims}};
  moert_signature signature{
      MOERT_ABI_VERSION,
      kDLCPU,
      "deepseek_v2",
      4,
      inputSignatures,
      2,
      outputSignatures,
      64,
      1,
      [](int64_t tokens, int64_t total) { return size_t(tokens + total) * 16; },
      nullptr,
      1,
      axisNames};

  ContextPointer context;
  OwnedTensor hidden{{16, 8}, float32};
  OwnedTensor weights{{3, 8, 4}, bfloat16};
  OwnedTensor bias{{3}, float32};
  OwnedTensor ids{{16, 2}, int32};
  OwnedTensor output{{16, 8}, float32};
  OwnedTensor load{{3}, int32};
  std::vector<const DLTensor *> inputs;
  std::vector<DLTensor *> outputs;
  std::vector<int64_t> tokensPerRank;
  alignas(256) unsigned char workspaceMemory[4096] = {};
  void *workspace = workspaceMemory;
  size_t workspaceBytes = 1024;
};

} // namespace moert::test

#endif // MOERT_UNITTESTS_CALLFIXTURE_H
