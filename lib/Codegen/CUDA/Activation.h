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
Expr emitActivation(ActivationAttr activation, Expr gate, Expr up);

} // namespace moe::codegen::cuda

#endif // MOE_MLIR_LIB_CODEGEN_CUDA_ACTIVATION_H
