//===- Activation.h - The nonlinearity between an MLP's GEMMs ---*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_LIB_CODEGEN_CPU_ACTIVATION_H
#define MOE_MLIR_LIB_CODEGEN_CPU_ACTIVATION_H

#include "Gemm.h"

namespace moe::codegen::cpu {

/// An activation value of f32 vectors; `up` is null if not gated.
mlir::Value emitActivation(KernelBuilder &k, ActivationAttr activation,
                           mlir::Value gate, mlir::Value up);

/// How many GEMMs feed the activation: gate and up, or gate alone.
inline int64_t getNumMatrices(ActivationAttr activation) {
  return activation.isGated() ? 2 : 1;
}

/// The tiles of `columns` of the intermediate width in w13 [2I, H] or, with
/// `expert`, [E, 2I, H].
llvm::SmallVector<mlir::Value>
activationTiles(KernelBuilder &k, ActivationAttr activation, mlir::Value w13,
                mlir::Value expert, const ColumnTile &columns);

} // namespace moe::codegen::cpu

#endif // MOE_MLIR_LIB_CODEGEN_CPU_ACTIVATION_H
