//===- Inputs.cpp - The tensors of a run ----------------------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moe-mlir/Run/Inputs.h"

#include "moe-mlir/Import/RandomInputs.h"
#include "moe-mlir/Run/Files.h"
#include "moe-mlir/Support/Format.h"

#include <algorithm>
#include <numeric>

using namespace moe;
using namespace moe::run;

const HostTensor *Inputs::find(const std::string &name) const {
  for (const HostTensor &tensor : tensors)
    if (tensor.name() == name)
      return &tensor;
  return nullptr;
}

std::vector<TensorView> Inputs::views() const {
  std::vector<TensorView> views;
  for (const HostTensor &tensor : tensors)
    views.push_back(tensor.view());
  return views;
}

/// Bytes of a tensor in a run of T rows; a double, as what is asked for may be
/// beyond all integers.
static double bytesOf(const TensorSpec &tensor, int64_t T) {
  double bytes = static_cast<double>(dtypeBytes(tensor.dtype));
  for (int64_t dim : tensor.shape)
    bytes *= static_cast<double>(dim == -1 ? T : dim);
  return bytes;
}

bool moe::run::isRowInput(const std::string &name) {
  const TensorInfo *info = findTensor(name);
  return info && info->isPerToken();
}

static double weightBytes(const LayerSpec &layer) {
  double bytes = 0;
  for (const TensorSpec &input : layerInputs(layer))
    bytes += isRowInput(input.name) ? 0 : bytesOf(input, 0);
  return bytes;
}

MemoryNeed moe::run::estimateMemory(const Artefact &artefact, int64_t T,
                                    const std::vector<int64_t> &tokensPerRank) {
  const LayerSpec &layer = artefact.descriptor().layer;
  MemoryNeed need;
  // Ranks have their shares beside the whole; what all of them have is small.
  need.weights = weightBytes(layer) * (tokensPerRank.size() > 1 ? 2.0 : 1.0);
  need.total = need.weights + bytesOf(layerOutput(layer), T);
  const int64_t total =
      std::accumulate(tokensPerRank.begin(), tokensPerRank.end(), int64_t(0));
  for (int64_t tokens : tokensPerRank)
    need.total += static_cast<double>(artefact.workspaceBytes(tokens, total));
  for (const TensorSpec &input : layerInputs(layer))
    need.total += isRowInput(input.name) ? bytesOf(input, T) : 0;
  return need;
}

/// Ranks have shares of the layer's inputs, and EPLB's maps.
Status moe::run::checkSignature(const Descriptor &descriptor) {
  const bool isShared = descriptor.numRanks > 1;
  const std::vector<TensorSpec> known = layerInputs(descriptor.layer);
  for (const TensorSpec &input : descriptor.inputs) {
    auto same = std::find_if(known.begin(), known.end(), [&](const auto &spec) {
      return spec.name == input.name;
    });
    const TensorInfo *info = findTensor(input.name);
    if (isShared && info && info->content == TensorContent::Placement)
      continue;
    if (same == known.end())
      return failed("'" + descriptor.name + "' needs an input '" + input.name +
                    "', which moe-run cannot make");
    if (same->dtype != input.dtype)
      return badInput("descriptor of '" + descriptor.name + "': expected '" +
                      input.name + "' of dtype " + dtypeName(same->dtype) +
                      " but got " + dtypeName(input.dtype));
    if (isShared)
      continue;
    bool fits = same->shape.size() == input.shape.size();
    for (size_t i = 0; fits && i < input.shape.size(); ++i)
      fits = input.shape[i] == same->shape[i] || same->shape[i] == -1;
    if (!fits)
      return badInput("descriptor of '" + descriptor.name + "': expected '" +
                      input.name + "' of shape " + shapeText(same->shape) +
                      " but got " + shapeText(input.shape));
  }
  const TensorSpec output = layerOutput(descriptor.layer);
  const bool hasLoad =
      descriptor.outputs.size() == 2 &&
      descriptor.outputs[1].name == getName(TensorId::ExpertLoad) &&
      descriptor.outputs[1].dtype == DType::I32;
  if ((descriptor.outputs.size() != 1 && !hasLoad) ||
      descriptor.outputs[0].dtype != output.dtype ||
      descriptor.outputs[0].shape.size() != 2 ||
      descriptor.outputs[0].shape[1] != output.shape[1])
    return badInput("descriptor of '" + descriptor.name +
                    "': expected an output of shape " +
                    shapeText(output.shape) + " and dtype " +
                    dtypeName(output.dtype) +
                    ", and no other than 'expert_load' of int32");
  return {};
}

HostTensor moe::run::makeRandomRows(const InputOptions &options,
                                    const LayerSpec &layer, int64_t T,
                                    uint64_t seed) {
  const TensorSpec input = getTensorSpec(TensorId::HiddenStates, layer);
  HostTensor rows = randomInput(layer, input, T, seed);
  if (options.routingSkew)
    skewHiddenStates(rows);
  return rows;
}

/// Both inputs that the skew changes have to be random.
static Status skewRouting(const InputOptions &options,
                          const std::vector<TensorSpec> &random,
                          std::vector<HostTensor> &tensors) {
  for (TensorId id : {TensorId::HiddenStates, TensorId::RouterWeight}) {
    const char *name = getName(id);
    auto isNamed = [&](const auto &tensor) { return tensor.name == name; };
    if (std::none_of(random.begin(), random.end(), isNamed))
      return badInput(std::string("--routing-skew: expected a layer "
                                  "with a router, and random '") +
                      name + "' rather than given ones");
  }
  for (HostTensor &tensor : tensors) {
    if (tensor.name() == getName(TensorId::HiddenStates))
      skewHiddenStates(tensor);
    if (tensor.name() == getName(TensorId::RouterWeight))
      skewRouter(tensor, *options.routingSkew, options.seed);
  }
  return {};
}

Status moe::run::makeInputs(const Descriptor &descriptor, int64_t T,
                            const std::vector<int64_t> &tokensPerRank,
                            const InputOptions &options, const RowFile *rows,
                            Inputs &inputs) {
  const LayerSpec &layer = descriptor.layer;
  MOE_TRY(checkSignature(descriptor));
  inputs.T = T;
  inputs.tokensPerRank = tokensPerRank;
  inputs.decodes = options.decodes;
  const std::string random = "random, seed " + std::to_string(options.seed);
  auto begin = [&](const std::string &what) {
    return options.onProgress ? options.onProgress(what) : nullptr;
  };

  std::vector<HostTensor> given;
  if (rows)
    MOE_TRY(rows->read(given, inputs.notes));
  inputs.rowsFrom = rows ? rows->name() : random;
  const std::string size = formatBytes(weightBytes(layer));
  inputs.weightsFrom =
      size + ", " + (options.weights.empty() ? random : options.weights);
  if (!options.weights.empty()) {
    std::shared_ptr<void> progress = begin("reading " + size + " of weights");
    MOE_TRY(readWeights(options.weights, descriptor, options.convertDType,
                        given, inputs.notes));
  }

  // What no file gave is random; the layer's inputs come in canonical order.
  std::vector<TensorSpec> missing;
  for (const TensorSpec &input : layerInputs(layer))
    if (std::none_of(given.begin(), given.end(), [&](const HostTensor &tensor) {
          return tensor.name() == input.name;
        }))
      missing.push_back(input);
  if (!missing.empty()) {
    double bytes = 0;
    for (const TensorSpec &input : missing)
      bytes += bytesOf(input, inputs.T);
    std::shared_ptr<void> progress =
        begin("filling " + formatBytes(bytes) + " of random inputs");
    for (const TensorSpec &input : missing)
      given.push_back(randomInput(layer, input, inputs.T, options.seed));
  }
  if (options.routingSkew)
    MOE_TRY(skewRouting(options, missing, given));
  for (const TensorSpec &input : layerInputs(layer))
    for (HostTensor &tensor : given)
      if (tensor.name() == input.name)
        inputs.tensors.push_back(std::move(tensor));
  return {};
}
