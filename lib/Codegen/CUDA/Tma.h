//===- Tma.h - Boxes of tensors in shared memory ----------------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_LIB_CODEGEN_CUDA_TMA_H
#define MOE_MLIR_LIB_CODEGEN_CUDA_TMA_H

#include "KernelBuilder.h"

namespace moe::codegen::cuda {

/// Starts the copy of one box of a buffer of tiles to shared memory; its bytes
/// arrive at `barrier`. `coordinates` (i32), outermost first, are those of the
/// box's first element. Elements out of bounds arrive as zeros. For one thread.
/// With a `cluster` of several blocks, all of them get the box, each in its own
/// `destination` and at its own `barrier`.
void emitTmaLoad(KernelBuilder &k, const Buffer &tiles,
                 llvm::ArrayRef<Expr> coordinates, Expr destination,
                 Expr barrier, int64_t cluster = 1);

} // namespace moe::codegen::cuda

#endif // MOE_MLIR_LIB_CODEGEN_CUDA_TMA_H
