//===- Activation.h - The nonlinearity between an MLP's GEMMs ---*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_LIB_CODEGEN_CUDA_ACTIVATION_H
#define MOE_MLIR_LIB_CODEGEN_CUDA_ACTIVATION_H

#include "Launch.h"

namespace moe::codegen::cuda {

/// The activation of scalars gate and, if gated, up.
Expr emitActivation(const ActivationParams &params, Expr gate, Expr up);

/// Text that tells parameters apart in a kernel's key.
std::string describe(const ActivationParams &params);

/// Matrices of I rows in the first weight: gate and up, or one.
inline int64_t getNumMatrices(const ActivationParams &params) {
  return params.gated ? 2 : 1;
}

/// The row of the first weight that holds gate, and the one that holds up, of
/// column `column` of `width` of the activation.
Expr gateRow(const ActivationParams &params, Expr column);
Expr upRow(const ActivationParams &params, Expr column, int64_t width);

} // namespace moe::codegen::cuda

#endif // MOE_MLIR_LIB_CODEGEN_CUDA_ACTIVATION_H
