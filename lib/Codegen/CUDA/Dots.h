//===- Dots.h - Products of few rows or few columns -------------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_LIB_CODEGEN_CUDA_DOTS_H
#define MOE_MLIR_LIB_CODEGEN_CUDA_DOTS_H

#include "GemmOperands.h"

namespace moe::codegen::cuda {

/// Rows of x up to which dot products beat tiles.
inline constexpr int64_t kMostDotRows = 16;

/// Emits launches that compute y = x * weights^T + bias by dot products: right
/// where rows of x or of the weights are few. Other parts of the operands are
/// absent. The number of weights may be dynamic.
void launchDots(const Emission &emission, llvm::StringRef label,
                const GemmOperands &operands);

} // namespace moe::codegen::cuda

#endif // MOE_MLIR_LIB_CODEGEN_CUDA_DOTS_H
