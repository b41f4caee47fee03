//===- Parallel.h - From #moe.parallel to the policy's structs --*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_TRANSFORMS_PARALLEL_H
#define MOE_MLIR_TRANSFORMS_PARALLEL_H

#include "moe-mlir/Dialect/MoE/IR/MoE.h"
#include "moe-mlir/Policy/ParallelConfig.h"

namespace moe {

/// The configuration that an attribute states. Names that the policy does not
/// know are reported through `emitError`.
mlir::FailureOr<policy::ParallelConfig>
getParallelConfig(ParallelAttr attr,
                  llvm::function_ref<mlir::InFlightDiagnostic()> emitError);

/// The attribute that states `config`; `sequenceParallelFamily` says whether
/// the model's family opts into sequence parallelism.
ParallelAttr getParallelAttr(mlir::MLIRContext *context,
                             const policy::ParallelConfig &config,
                             bool sequenceParallelFamily);

/// What the policy asks about a layer. Experts are the model's, without zero
/// experts; widths are the model's, before any sharding over ranks.
policy::LayerTraits getLayerTraits(LayerOp layer);

} // namespace moe

#endif // MOE_MLIR_TRANSFORMS_PARALLEL_H
