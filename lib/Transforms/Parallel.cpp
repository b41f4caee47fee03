//===- Parallel.cpp - From #moe.parallel to the policy's structs ----------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moe-mlir/Transforms/Parallel.h"

using namespace mlir;
using namespace moe;

FailureOr<policy::ParallelConfig>
moe::getParallelConfig(ParallelAttr attr,
                       function_ref<InFlightDiagnostic()> emitError) {
  policy::ParallelConfig config;
  config.tensorParallelSize = attr.getTensor();
  config.dataParallelSize = attr.getData();
  config.prefillContextParallelSize = attr.getPrefillContext();
  config.rank = attr.getRank();
  config.enableExpertParallel = attr.getExpertParallel();
  config.all2allBackend = attr.getAll2allBackend().str();
  config.enableEplb = attr.getEplb();
  config.numRedundantExperts = attr.getRedundantExperts();
  config.shardSharedExperts = attr.getShardSharedExperts();
  config.enableDbo = attr.getDbo();
  config.dboDecodeTokenThreshold = attr.getDboDecodeThreshold();
  config.dboPrefillTokenThreshold = attr.getDboPrefillThreshold();
  std::optional<policy::ExpertPlacementStrategy> placement =
      policy::parseExpertPlacementStrategy(attr.getExpertPlacement().strref());
  if (!placement)
    return emitError() << "expected expert_placement \"linear\" or "
                          "\"round_robin\" but got "
                       << attr.getExpertPlacement();
  config.expertPlacementStrategy = *placement;
  std::optional<policy::SequenceParallelMode> mode =
      policy::parseSequenceParallelMode(attr.getSequenceParallel().strref());
  if (!mode)
    return emitError() << "expected sequence_parallel \"auto\", \"on\" or "
                          "\"off\" but got "
                       << attr.getSequenceParallel();
  config.sequenceParallel = *mode;
  return config;
}

ParallelAttr moe::getParallelAttr(MLIRContext *context,
                                  const policy::ParallelConfig &config,
                                  bool sequenceParallelFamily) {
  auto string = [&](std::string_view text) {
    return StringAttr::get(context, StringRef(text.data(), text.size()));
  };
  return ParallelAttr::get(
      context, config.tensorParallelSize, config.dataParallelSize,
      config.prefillContextParallelSize, config.rank,
      config.enableExpertParallel, string(config.all2allBackend),
      config.enableEplb, config.numRedundantExperts,
      string(policy::stringify(config.expertPlacementStrategy)),
      string(policy::stringify(config.sequenceParallel)),
      sequenceParallelFamily, config.shardSharedExperts, config.enableDbo,
      config.dboDecodeTokenThreshold, config.dboPrefillTokenThreshold);
}

policy::LayerTraits moe::getLayerTraits(LayerOp layer) {
  policy::LayerTraits traits;
  ParallelAttr parallel = layer.getEffectiveParallel();
  int64_t numExperts = layer.getNumRouterOutputs();
  if (!ShapedType::isDynamic(numExperts))
    traits.numExperts = numExperts - layer.getRouting().getZeroExperts();
  traits.numExpertGroups = layer.getRouting().getNGroup();
  traits.hasSharedExperts = static_cast<bool>(layer.getSharedW2());
  traits.optsIntoSequenceParallel = parallel.getSequenceParallelFamily();

  // The weights are this rank's share; the policy asks about the whole.
  FailureOr<policy::ParallelConfig> config =
      getParallelConfig(parallel, [&] { return layer.emitOpError(); });
  if (failed(config))
    return traits;
  policy::ParallelProperties properties =
      policy::derive(*config, traits).properties;
  bool isSharedReplicated =
      properties.isSequenceParallel && !properties.sharedExpertsSharded;
  traits.intermediateSize = layer.getIntermediateSize() * properties.tp.size;
  traits.sharedIntermediateSize =
      layer.getSharedIntermediateSize() *
      (isSharedReplicated ? 1 : properties.outerTp.size);
  return traits;
}
