//===- Parallel.h - The plans of layers -------------------------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// From a layer and its #moe.parallel to what the policy plans for it, and to
// the attribute that carries the plan once the layer has become phases.
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_TRANSFORMS_PARALLEL_H
#define MOE_MLIR_TRANSFORMS_PARALLEL_H

#include "moe-mlir/Dialect/MoE/IR/MoE.h"
#include "moe-mlir/Policy/ParallelConfig.h"

namespace moe {

/// What the policy knows and says of a layer. Experts are the model's, without
/// zero experts; widths are the model's, before any sharding over ranks.
struct PlannedLayer {
  policy::LayerTraits traits;
  policy::DerivedParallelism derived;
};
PlannedLayer planLayer(LayerOp layer);

/// The plan as an attribute, with what else is asked about the layer once it
/// has become phases.
LayerInfoAttr describeLayer(LayerOp layer, const PlannedLayer &planned);

/// The same of a layer whose phases were written by hand: sizes are not known.
LayerInfoAttr describePhases(mlir::Operation *function, bool hasSharedExperts);

/// What `moe.layers` of `function` says of the layer that is number `index`, or
/// null.
LayerInfoAttr getLayerInfo(mlir::Operation *function, size_t index = 0);

policy::ParallelProperties getProperties(LayerInfoAttr layer);

} // namespace moe

#endif // MOE_MLIR_TRANSFORMS_PARALLEL_H
