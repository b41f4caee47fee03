//===- EpilogueOp.h - What becomes of an element's sums ---------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_LIB_CODEGEN_CUDA_EPILOGUEOP_H
#define MOE_MLIR_LIB_CODEGEN_CUDA_EPILOGUEOP_H

#include "GemmOperands.h"

#include <functional>

namespace moe::codegen::cuda {

/// What a GEMM does to the sums of an element: scale * sum + bias, and then the
/// activation of gate and up. Null parts are left out.
struct EpilogueOp {
  EpilogueOp() = default;
  /// Adds to the launch what the operands ask for.
  EpilogueOp(Launch &launch, const GemmOperands &operands,
             const Buffer &sourceRows);

  /// The bias of gate and up, or one, of a column of `columns` of the output;
  /// nothing if there is none. A column out of bounds gets that of the last.
  llvm::SmallVector<Expr, 2> loadBias(KernelBuilder &k, Expr expert,
                                      Expr column, int64_t columns) const;
  /// The result of an element whose sums (of gate and up, or one) are `sums`;
  /// `scale` of its row and `bias` of its columns may be absent.
  Expr apply(llvm::SmallVector<Expr, 2> sums, Expr scale,
             llvm::ArrayRef<Expr> bias) const;

  std::function<Expr(KernelBuilder &, Expr row)> scale;
  Buffer bias; ///< [N] or [E, N]: one per row of the weights.
  ActivationAttr activation;

  bool isGated() const { return activation && activation.isGated(); }
};

} // namespace moe::codegen::cuda

#endif // MOE_MLIR_LIB_CODEGEN_CUDA_EPILOGUEOP_H
