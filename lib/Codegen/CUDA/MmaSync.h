//===- MmaSync.h - Tensor cores of a warp -----------------------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_LIB_CODEGEN_CUDA_MMASYNC_H
#define MOE_MLIR_LIB_CODEGEN_CUDA_MMASYNC_H

#include "KernelBuilder.h"

namespace moe::codegen::cuda {

/// mma.sync.m16n8k16: D [16, 8] f32 += A [16, 16] * B [8, 16]^T by the lanes of
/// a warp, from registers. Lane l holds of D the elements
///
///   M = l / 4 + 8 * h     N = 2 * (l % 4) + b     h, b in {0, 1}
///
/// at 2 h + b, and of the operands words of two elements: of row l / 4 (of A
/// also that + 8) the elements 2 * (l % 4) and 8 + 2 * (l % 4) and their
/// neighbours.
namespace mma {
inline constexpr int64_t kSums = 4;
/// D for operands of `element`, bf16 or f16: of A four words, row by row and
/// then along K, of B two.
Exprs multiply(KernelBuilder &k, mlir::Type element, llvm::ArrayRef<Expr> a,
               llvm::ArrayRef<Expr> b, llvm::ArrayRef<Expr> sums);
} // namespace mma

} // namespace moe::codegen::cuda

#endif // MOE_MLIR_LIB_CODEGEN_CUDA_MMASYNC_H
