//===- Parallel.cpp - The plans of layers ---------------------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moe-mlir/Transforms/Parallel.h"

using namespace mlir;
using namespace moe;

PlannedLayer moe::planLayer(LayerOp layer) {
  PlannedLayer planned;
  policy::LayerTraits &traits = planned.traits;
  ParallelAttr parallel = layer.getEffectiveParallel();
  const ParallelConfig config = parallel.getConfig();
  int64_t numExperts = layer.getNumRouterOutputs();
  if (!ShapedType::isDynamic(numExperts))
    traits.numExperts = numExperts - layer.getRouting().getZeroExperts();
  traits.numExpertGroups = layer.getRouting().getNGroup();
  traits.hasSharedExperts = static_cast<bool>(layer.getSharedW2());
  traits.optsIntoSequenceParallel = parallel.getSequenceParallelFamily();

  // The weights are this rank's share; the policy checks the whole, which the
  // plan tells.
  const policy::ParallelProperties properties =
      policy::derive(config, traits).properties;
  bool isSharedReplicated =
      properties.isSequenceParallel && !properties.sharedExpertsSharded;
  traits.intermediateSize = layer.getIntermediateSize() * properties.tp.size;
  traits.sharedIntermediateSize =
      layer.getSharedIntermediateSize() *
      (isSharedReplicated ? 1 : properties.outerTp.size);
  planned.derived = policy::derive(config, traits);
  return planned;
}

/// Null where there are none.
static ArrayAttr getWarnings(MLIRContext *context,
                             const policy::DerivedParallelism &derived) {
  if (derived.warnings.empty())
    return {};
  SmallVector<StringRef> warnings(derived.warnings.begin(),
                                  derived.warnings.end());
  return Builder(context).getStrArrayAttr(warnings);
}

LayerInfoAttr moe::describeLayer(LayerOp layer, const PlannedLayer &planned) {
  MLIRContext *context = layer.getContext();
  const policy::LayerTraits &traits = planned.traits;
  return LayerInfoAttr::get(
      context, layer.getLayerName().value_or("layer"), layer.getHiddenSize(),
      layer.getRouting().getTopK(), traits.intermediateSize,
      traits.sharedIntermediateSize, layer.getActivation().isGated(),
      ParallelPlanAttr::get(context, planned.derived.properties),
      getWarnings(context, planned.derived));
}

LayerInfoAttr moe::describePhases(Operation *function, bool hasSharedExperts) {
  MLIRContext *context = function->getContext();
  ParallelAttr parallel = getParallel(function);
  policy::LayerTraits traits;
  traits.hasSharedExperts = hasSharedExperts;
  traits.optsIntoSequenceParallel = parallel.getSequenceParallelFamily();
  policy::DerivedParallelism derived =
      policy::derive(parallel.getConfig(), traits);
  return LayerInfoAttr::get(context, /*name=*/"", /*hidden=*/0, /*topK=*/0,
                            /*intermediate=*/0, /*sharedIntermediate=*/0,
                            /*gated=*/false,
                            ParallelPlanAttr::get(context, derived.properties),
                            getWarnings(context, derived));
}

LayerInfoAttr moe::getLayerInfo(Operation *function, size_t index) {
  auto layers = function->getAttrOfType<ArrayAttr>(kLayersAttrName);
  if (!layers || index >= layers.size())
    return {};
  return cast<LayerInfoAttr>(layers[index]);
}

policy::ParallelProperties moe::getProperties(LayerInfoAttr layer) {
  return policy::ParallelProperties(layer.getPlan().getPlan());
}
