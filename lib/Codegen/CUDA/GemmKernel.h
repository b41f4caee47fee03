//===- GemmKernel.h - GEMMs on tensor cores ---------------------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_LIB_CODEGEN_CUDA_GEMMKERNEL_H
#define MOE_MLIR_LIB_CODEGEN_CUDA_GEMMKERNEL_H

#include "GemmOperands.h"
#include "GemmTile.h"

namespace moe::codegen::cuda {

/// Emits one launch, of tiles of the given shape, which must be valid for the
/// target; the operands must have a recipe (GemmRecipe.h).
void launchGemm(const Emission &emission, llvm::StringRef stem,
                llvm::StringRef label, const GemmOperands &operands,
                const GemmTile &tile);

} // namespace moe::codegen::cuda

#endif // MOE_MLIR_LIB_CODEGEN_CUDA_GEMMKERNEL_H
