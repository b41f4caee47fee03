//===- LayerExpansion.h - The phases of one layer ---------------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_LIB_TRANSFORMS_LAYEREXPANSION_H
#define MOE_MLIR_LIB_TRANSFORMS_LAYEREXPANSION_H

#include "moe-mlir/Dialect/MoE/IR/MoE.h"
#include "moe-mlir/Policy/ParallelConfig.h"

#include "mlir/IR/Builders.h"
#include <optional>

namespace moe {

/// The ranks of a configuration: axes "dp", "pcp" and "tp".
schedule::GridAttr getGrid(mlir::MLIRContext *context,
                           const policy::ParallelProperties &parallel);

/// Writes the phases of `layer` at the builder's place, which the layer's
/// operands dominate, in the order of the data flow. `parallel` is what follows
/// from the layer's configuration; `maxNumTokens` bounds the tokens of each
/// rank, which exchanges of fixed capacity need. Returns the layer's results,
/// or failure after an error at the layer.
mlir::FailureOr<llvm::SmallVector<mlir::Value>>
expandLayer(mlir::OpBuilder &builder, LayerOp layer,
            const policy::ParallelProperties &parallel,
            std::optional<int64_t> maxNumTokens);

} // namespace moe

#endif // MOE_MLIR_LIB_TRANSFORMS_LAYEREXPANSION_H
