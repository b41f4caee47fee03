//===- Work.cpp - The useful work of a run --------------------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moe-mlir/Run/Work.h"

#include "moe-mlir/Reference/Evaluate.h"

using namespace moe;
using namespace moe::run;

/// The ids [T, k] of the chosen experts: what the reference chooses for a layer
/// whose experts are one wide, so that routing is all that takes time.
static Status chooseExperts(const LayerSpec &layer, const Inputs &inputs,
                            std::vector<int32_t> &ids) {
  LayerSpec narrow = layer;
  narrow.intermediateSize = 1;
  narrow.hasExpertBias = false;
  narrow.shared = SharedSpec();
  narrow.latentSize = 0;
  std::vector<HostTensor> experts;
  std::vector<TensorView> views;
  for (const TensorSpec &input : layerInputs(narrow)) {
    if (!findTensor(input.name)->isPerExpert()) {
      views.push_back(inputs.find(input.name)->view());
      continue;
    }
    experts.emplace_back(input.name, input.dtype, input.shape);
    std::memset(experts.back().data(), 0,
                static_cast<size_t>(experts.back().numBytes()));
    views.push_back(experts.back().view());
  }
  Result<reference::Evaluation> routed =
      reference::evaluate(narrow, views, inputs.T);
  if (!routed)
    return failed(routed.error());
  ids = std::move(routed->ids);
  return {};
}

Status moe::run::countWork(const LayerSpec &layer, const Inputs &inputs,
                           LayerWork &work) {
  std::vector<int32_t> ids;
  MOE_TRY(chooseExperts(layer, inputs, ids));
  std::vector<char> hit(layer.numExperts, 0);
  int64_t pairs = 0;
  for (int32_t id : ids)
    // Slots without expert and zero experts multiply nothing.
    if (id >= 0 && id < layer.numExperts) {
      hit[id] = 1;
      ++pairs;
    }
  for (char isHit : hit)
    work.expertsHit += isHit;

  const double T = static_cast<double>(inputs.T);
  for (const HostTensor &tensor : inputs.tensors) {
    const TensorInfo *info = findTensor(tensor.name());
    if (!info || !info->isWeight())
      continue;
    const bool isFactor = info->content == TensorContent::Matrix;
    const double bytes = static_cast<double>(tensor.numBytes());
    const double products = static_cast<double>(tensor.numElements());
    if (info->isPerExpert()) {
      const double experts = static_cast<double>(layer.numExperts);
      work.weightBytes += bytes / experts * double(work.expertsHit);
      if (isFactor)
        work.expertFlops += 2 * double(pairs) * products / experts;
    } else {
      work.weightBytes += bytes;
      if (isFactor)
        work.flops += 2 * T * products;
    }
  }
  work.flops += work.expertFlops;
  return {};
}
