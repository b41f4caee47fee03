//===- ImportLayer.h - Layer descriptions to and from moe.layer -*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_IMPORT_IMPORTLAYER_H
#define MOE_MLIR_IMPORT_IMPORTLAYER_H

#include "moe-mlir/Dialect/MoE/IR/MoE.h"
#include "moe-mlir/Layer/Tensors.h"
#include "moe-mlir/Policy/ParallelConfig.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"

namespace moe {

/// What the policy asks about a layer, before any sharding over ranks.
policy::LayerTraits getLayerTraits(const LayerSpec &spec,
                                   bool sequenceParallelFamily);

/// Appends to `module` a public function named `spec.name` that holds one
/// `moe.layer`. Its arguments are `layerInputs(spec)`, each with its name as
/// attribute `moe.name`; with a configuration of several ranks, weights have
/// the shapes that one rank holds, and with EPLB `logical_to_physical` and
/// `replica_count` follow. The leading dimension of expert weights is dynamic
/// where ranks own different numbers of experts. With `recordsExpertLoad` there
/// is a second result, `expert_load`. Fails with a diagnostic if the
/// configuration is not possible for the layer.
mlir::FailureOr<mlir::func::FuncOp>
buildLayerFunction(mlir::ModuleOp module, const LayerSpec &spec,
                   const ParallelConfig &config, bool sequenceParallelFamily,
                   bool recordsExpertLoad = false);

/// The dtype of an element type; none for a type that is no dtype of a layer.
std::optional<DType> getDType(mlir::Type type);

/// Gives arguments of the function that a layer takes as they are, and the
/// results that it gives, the names that `buildLayerFunction` would give them,
/// where they have none.
void nameLayerArguments(LayerOp layer);

/// The description of a layer in IR, as one rank without sharding sees it.
/// Fails with a diagnostic where it has none, such as for quantized weights.
mlir::FailureOr<LayerSpec> getLayerSpec(LayerOp layer);

} // namespace moe

#endif // MOE_MLIR_IMPORT_IMPORTLAYER_H
