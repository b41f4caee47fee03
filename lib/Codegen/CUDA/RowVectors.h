//===- RowVectors.h - Kernels that go over rows by vectors ------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_LIB_CODEGEN_CUDA_ROWVECTORS_H
#define MOE_MLIR_LIB_CODEGEN_CUDA_ROWVECTORS_H

#include "Launch.h"

namespace moe::codegen::cuda {

/// Emits a launch with one thread for each vector of `width` elements of the
/// rows of `output` [T, N]. `body` gets row and first column.
void emitForEachVector(
    const Emission &emission, Launch &launch, mlir::Value output,
    unsigned width, llvm::function_ref<void(KernelBuilder &, Expr, Expr)> body);

} // namespace moe::codegen::cuda

#endif // MOE_MLIR_LIB_CODEGEN_CUDA_ROWVECTORS_H
