//===- GemmKernel.h - GEMMs on tensor cores ---------------------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_LIB_CODEGEN_CUDA_GEMMKERNEL_H
#define MOE_MLIR_LIB_CODEGEN_CUDA_GEMMKERNEL_H

#include "GemmTile.h"
#include "KernelBuilder.h"

namespace moe::codegen::cuda {

/// y = activation(scale * x * weights^T + bias), dense or for each expert its
/// rows. x and the weights are both bf16 or both f16.
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
  const ActivationParams *activation = nullptr;
};

/// Whether the operands suit tensor cores and TMA: two-byte floats, and rows
/// that are a multiple of 16 bytes.
bool hasTensorCorePath(const GemmOperands &operands);

/// Emits one launch, of tiles of the given shape.
void launchGemm(const Emission &emission, llvm::StringRef stem,
                llvm::StringRef label, const GemmOperands &operands,
                const GemmTile &tile);

} // namespace moe::codegen::cuda

#endif // MOE_MLIR_LIB_CODEGEN_CUDA_GEMMKERNEL_H
