//===- FewRows.h - GEMMs that read weights for few rows ---------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_LIB_CODEGEN_CUDA_FEWROWS_H
#define MOE_MLIR_LIB_CODEGEN_CUDA_FEWROWS_H

#include "GemmOperands.h"

namespace moe::codegen::cuda {

/// Rows of the output up to which `launchFewRows` may be used.
inline constexpr int64_t kMaxFewRows = 256;

/// Whether `launchFewRows` can compute it: two-byte floats, and rows that are a
/// multiple of 16 bytes.
bool hasFewRowsPath(const GemmOperands &operands);

/// Emits one launch that streams the weights of a GEMM past few rows, at the
/// speed of memory: right where the weights are read once or twice.
void launchFewRows(const Emission &emission, llvm::StringRef stem,
                   llvm::StringRef label, const GemmOperands &operands);

} // namespace moe::codegen::cuda

#endif // MOE_MLIR_LIB_CODEGEN_CUDA_FEWROWS_H
