//===- SkinnyGemm.h - GEMMs of few rows --------------------------*- C++
//-*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_LIB_CODEGEN_CUDA_SKINNYGEMM_H
#define MOE_MLIR_LIB_CODEGEN_CUDA_SKINNYGEMM_H

#include "GemmOperands.h"

namespace moe::codegen::cuda {

/// Rows of the output up to which `launchSkinnyGemm` may be used.
inline constexpr int64_t kMostSkinnyRows = 2048;

/// Whether `launchSkinnyGemm` can compute it: two-byte floats, and rows that
/// are a multiple of 16 bytes.
bool hasSkinnyPath(const GemmOperands &operands);

/// Emits one launch that streams the weights of a GEMM past few rows, at the
/// speed of memory: right where the weights are read once or twice.
void launchSkinnyGemm(const Emission &emission, llvm::StringRef stem,
                      llvm::StringRef label, const GemmOperands &operands);

} // namespace moe::codegen::cuda

#endif // MOE_MLIR_LIB_CODEGEN_CUDA_SKINNYGEMM_H
