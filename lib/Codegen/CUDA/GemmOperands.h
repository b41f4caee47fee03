//===- GemmOperands.h - What a GEMM of a layer computes ---------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_LIB_CODEGEN_CUDA_GEMMOPERANDS_H
#define MOE_MLIR_LIB_CODEGEN_CUDA_GEMMOPERANDS_H

#include "Launch.h"

namespace moe::codegen::cuda {

/// y = activation(scale * x * weights^T + bias), dense or for each expert its
/// rows.
struct GemmOperands {
  mlir::Value x;       ///< [R, K].
  mlir::Value weights; ///< [N, K], or [E, N, K] with experts.
  mlir::Value y;       ///< [T, C]: C is N, or N / 2 if the activation is gated.
  /// With experts, the rows of expert e are [offsets[e], offsets[e + 1]).
  mlir::Value expertOffsets = {}; ///< [E + 1] i32.
  /// Row r of y comes from row sourceRows[r] of x; else from row r.
  mlir::Value sourceRows = {}; ///< [T] i32.
  mlir::Value bias = {};       ///< [N] or [E, N].
  /// One per row of x.
  mlir::Value scale = {}; ///< [R, 1] f32.
  bool sigmoidOfScale = false;
  ActivationAttr activation = {};
};

/// Text that tells in a kernel's key what types do not.
std::string describe(const GemmOperands &operands);

/// Emits the launches that compute it: on tensor cores where they can. With a
/// tile that `emission` gives for `label`, one launch of such tiles, or an
/// error if they do not suit the operands or the target.
llvm::LogicalResult emitGemm(const Emission &emission, llvm::StringRef stem,
                             llvm::StringRef label,
                             const GemmOperands &operands);

/// Emits one launch that computes it on CUDA cores, whatever the types and
/// sizes.
void launchSimtGemm(const Emission &emission, llvm::StringRef stem,
                    llvm::StringRef label, const GemmOperands &operands);

} // namespace moe::codegen::cuda

#endif // MOE_MLIR_LIB_CODEGEN_CUDA_GEMMOPERANDS_H
