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

/// Whether the operands suit tensor cores and TMA: two-byte floats, and rows
/// that are a multiple of 16 bytes.
bool hasTensorCorePath(const GemmOperands &operands);

/// Emits one launch, of tiles of the given shape.
void launchGemm(const Emission &emission, llvm::StringRef stem,
                llvm::StringRef label, const GemmOperands &operands,
                const GemmTile &tile);

/// Emits launches of the tiles that suit the operands, of which the host takes
/// one by the number of rows.
void launchTensorCoreGemm(const Emission &emission, llvm::StringRef stem,
                          llvm::StringRef label, const GemmOperands &operands);

} // namespace moe::codegen::cuda

#endif // MOE_MLIR_LIB_CODEGEN_CUDA_GEMMKERNEL_H
