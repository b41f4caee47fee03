//===- Inputs.cpp - The tensors of a run ----------------------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Inputs.h"

#include "Files.h"
#include "Memory.h"
#include "Ranks.h"
#include "Support/Format.h"
#include "Support/Progress.h"
#include "moe-mlir/Import/RandomInputs.h"

#include <algorithm>
#include <numeric>

using namespace moe;
using namespace moe::tools;

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

bool moe::tools::isRowInput(const std::string &name) {
  return name == "hidden_states" || name == "topk_ids" ||
         name == "topk_weights";
}

static double weightBytes(const LayerSpec &layer) {
  double bytes = 0;
  for (const TensorSpec &input : layerInputs(layer))
    bytes += isRowInput(input.name) ? 0 : bytesOf(input, 0);
  return bytes;
}

static Outcome checkMemory(const RunOptions &options, const Artefact &artefact,
                           int64_t T,
                           const std::vector<int64_t> &tokensPerRank) {
  const LayerSpec &layer = artefact.descriptor().layer;
  // Ranks have their shares beside the whole; what all of them have is small.
  const double weights =
      weightBytes(layer) * (tokensPerRank.empty() ? 1.0 : 2.0);
  double workspace = 0;
  const int64_t total =
      std::accumulate(tokensPerRank.begin(), tokensPerRank.end(), int64_t(0));
  for (int64_t tokens : tokensPerRank)
    workspace += static_cast<double>(artefact.workspaceBytes(tokens, total));
  if (tokensPerRank.empty())
    workspace = static_cast<double>(artefact.workspaceBytes(T, T));
  double needed = weights + workspace + bytesOf(layerOutput(layer), T);
  for (const TensorSpec &input : layerInputs(layer))
    needed += isRowInput(input.name) ? bytesOf(input, T) : 0;
  if (options.check) {
    // Rows of hidden states, output and two arrays of scores in float64.
    const double rows =
        static_cast<double>(std::min(T, options.checkRows.value_or(T)));
    needed += 8 * rows * 2 *
              static_cast<double>(layer.hiddenSize + layer.numRouted());
  }
  std::optional<int64_t> available = getAvailableMemory();
  // A machine without any room left is of no use to its other users.
  constexpr double share = 0.95;
  const double usable = share * static_cast<double>(available.value_or(0));
  if (!available || needed <= usable)
    return {};
  std::string smaller;
  if (options.kind != SourceKind::Artefact)
    smaller = "; --experts N makes a smaller layer";
  else
    smaller = "; compile a smaller layer with --experts N";
  return Outcome::failed("expected " + formatBytes(needed) + " of memory for " +
                         count(T, "row") + " of '" + layer.name + "' (" +
                         formatBytes(weights) + " of them weights) but " +
                         formatBytes(usable) +
                         " can be used (95 % of what is available)" + smaller);
}

/// T, from the flags, the file and what the artefact serves.
static Outcome findRows(const RunOptions &options, const Descriptor &descriptor,
                        std::optional<int64_t> fileRows, int64_t &T) {
  constexpr int64_t defaultRows = 16, calibrationRows = 512;
  if (fileRows && options.numTokens && *fileRows != *options.numTokens)
    return Outcome::badInput(
        format("--num-tokens: expected the %lld rows of '%s' but got %lld",
               static_cast<long long>(*fileRows), options.input.c_str(),
               static_cast<long long>(*options.numTokens)));
  if (fileRows || options.numTokens) {
    T = fileRows ? *fileRows : *options.numTokens;
  } else {
    T = options.calibrate ? calibrationRows : defaultRows;
    if (descriptor.staticNumTokens)
      T = *descriptor.staticNumTokens;
    else if (descriptor.maxNumTokens)
      T = std::min(T, *descriptor.maxNumTokens);
  }
  const std::string where =
      fileRows ? "'" + options.input + "'" : "--num-tokens";
  return checkTokens(descriptor, T, where);
}

/// The artefact's inputs are those of its layer, or it cannot be fed. Ranks
/// have shares of them, and EPLB's maps.
static Outcome checkSignature(const Descriptor &descriptor) {
  const bool isShared = descriptor.numRanks > 1;
  const std::vector<TensorSpec> known = layerInputs(descriptor.layer);
  for (const TensorSpec &input : descriptor.inputs) {
    auto same = std::find_if(known.begin(), known.end(), [&](const auto &spec) {
      return spec.name == input.name;
    });
    if (isShared &&
        (input.name == "logical_to_physical" || input.name == "replica_count"))
      continue;
    if (same == known.end())
      return Outcome::failed("'" + descriptor.name + "' needs an input '" +
                             input.name + "', which moe-run cannot make");
    if (same->dtype != input.dtype)
      return Outcome::badInput("descriptor of '" + descriptor.name +
                               "': expected '" + input.name + "' of dtype " +
                               dtypeName(same->dtype) + " but got " +
                               dtypeName(input.dtype));
    if (isShared)
      continue;
    bool fits = same->shape.size() == input.shape.size();
    for (size_t i = 0; fits && i < input.shape.size(); ++i)
      fits = input.shape[i] == same->shape[i] || same->shape[i] == -1;
    if (!fits)
      return Outcome::badInput("descriptor of '" + descriptor.name +
                               "': expected '" + input.name + "' of shape " +
                               shapeText(same->shape) + " but got " +
                               shapeText(input.shape));
  }
  const TensorSpec output = layerOutput(descriptor.layer);
  const bool hasLoad = descriptor.outputs.size() == 2 &&
                       descriptor.outputs[1].name == "expert_load" &&
                       descriptor.outputs[1].dtype == DType::I32;
  if ((descriptor.outputs.size() != 1 && !hasLoad) ||
      descriptor.outputs[0].dtype != output.dtype ||
      descriptor.outputs[0].shape.size() != 2 ||
      descriptor.outputs[0].shape[1] != output.shape[1])
    return Outcome::badInput("descriptor of '" + descriptor.name +
                             "': expected an output of shape " +
                             shapeText(output.shape) + " and dtype " +
                             dtypeName(output.dtype) +
                             ", and no other than 'expert_load' of int32");
  return {};
}

HostTensor moe::tools::makeRandomRows(const RunOptions &options,
                                      const LayerSpec &layer, int64_t T,
                                      uint64_t seed) {
  for (const TensorSpec &input : layerInputs(layer))
    if (input.name == "hidden_states") {
      HostTensor rows = randomInput(layer, input, T, seed);
      if (options.routingSkew)
        skewHiddenStates(rows);
      return rows;
    }
  return {};
}

/// Both inputs that the skew changes have to be random.
static Outcome skewRouting(const RunOptions &options,
                           const std::vector<TensorSpec> &random,
                           std::vector<HostTensor> &tensors) {
  for (const char *name : {"hidden_states", "router_weight"}) {
    auto isNamed = [&](const auto &tensor) { return tensor.name == name; };
    if (std::none_of(random.begin(), random.end(), isNamed))
      return Outcome::badInput(std::string("--routing-skew: expected a layer "
                                           "with a router, and random '") +
                               name + "' rather than given ones");
  }
  for (HostTensor &tensor : tensors) {
    if (tensor.name() == "hidden_states")
      skewHiddenStates(tensor);
    if (tensor.name() == "router_weight")
      skewRouter(tensor, *options.routingSkew, options.seed);
  }
  return {};
}

Outcome moe::tools::makeInputs(const RunOptions &options,
                               const Artefact &artefact, Inputs &inputs,
                               const RankLayout *layout) {
  const Descriptor &descriptor = artefact.descriptor();
  const LayerSpec &layer = descriptor.layer;
  if (Outcome outcome = checkSignature(descriptor); !outcome)
    return outcome;
  inputs.decodes = options.decodes;
  RowFile file;
  if (!options.input.empty())
    if (Outcome outcome = file.open(options.input, layer, options.convertDType);
        !outcome)
      return outcome;
  if (layout) {
    if (Outcome outcome = findTokensPerRank(
            options, descriptor, *layout, file.numRows(), inputs.tokensPerRank);
        !outcome)
      return outcome;
    inputs.T = countRows(*layout, inputs.tokensPerRank);
  } else if (Outcome outcome =
                 findRows(options, descriptor, file.numRows(), inputs.T);
             !outcome) {
    return outcome;
  }
  if (Outcome outcome =
          checkMemory(options, artefact, inputs.T, inputs.tokensPerRank);
      !outcome)
    return outcome;

  std::vector<HostTensor> given;
  if (!options.input.empty()) {
    if (Outcome outcome = file.read(given, inputs.notes); !outcome)
      return outcome;
    inputs.rowsFrom = options.input;
  } else {
    inputs.rowsFrom = "random, seed " + std::to_string(options.seed);
  }
  const std::string size = formatBytes(weightBytes(layer));
  if (!options.weights.empty()) {
    Progress progress("reading " + size + " of weights");
    if (Outcome outcome =
            readWeights(options.weights, descriptor, options.convertDType,
                        given, inputs.notes);
        !outcome)
      return outcome;
    inputs.weightsFrom = size + ", " + options.weights;
  } else {
    inputs.weightsFrom =
        size + ", random, seed " + std::to_string(options.seed);
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
    Progress progress("filling " + formatBytes(bytes) + " of random inputs");
    for (const TensorSpec &input : missing)
      given.push_back(randomInput(layer, input, inputs.T, options.seed));
  }
  if (options.routingSkew)
    if (Outcome outcome = skewRouting(options, missing, given); !outcome)
      return outcome;
  for (const TensorSpec &input : layerInputs(layer))
    for (HostTensor &tensor : given)
      if (tensor.name() == input.name)
        inputs.tensors.push_back(std::move(tensor));
  return {};
}
