//===- RowContraction.h - A few rows times a tile of weights ----*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The contraction that GEMM kernels are made of, as a `linalg.generic` on
// buffers over (n, k):
//
//   sums[i][n] += sum over k of rows[i][k] * weights[n][k]
//
// Every row is an operand of its own, so rows that a dispatch plan scatters
// over memory are read where they lie. Rows are all f32, bf16 or f16, and so
// are weights, of the same type or another. Both are contiguous along k, whose
// size is static; sums are f32.
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_LIB_CODEGEN_CPU_ROWCONTRACTION_H
#define MOE_MLIR_LIB_CODEGEN_CPU_ROWCONTRACTION_H

#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/PatternMatch.h"

namespace moe::codegen::cpu {

/// Register blocking: accumulators of `rows` x `columns` vectors.
struct RegisterBlock {
  unsigned rows;
  unsigned columns; ///< A power of two, at most 4.
};

/// The block for rows of type `element`. Of 32 registers of
/// AVX-512, 16 hold sums and up to 10 hold operands; of 16 narrower ones, 12
/// and 3 where operands need no widening, else 8 and 6.
RegisterBlock getRegisterBlock(unsigned vectorBits, mlir::Type element);

/// `rows`: memref<Kxdt> each, `weights`: memref<NxKxdt>, `sums`: memref<Nxf32>
/// each, as many as rows.
mlir::linalg::GenericOp buildRowContraction(mlir::OpBuilder &builder,
                                            mlir::Location loc,
                                            mlir::ValueRange rows,
                                            mlir::Value weights,
                                            mlir::ValueRange sums);

/// Succeeds if `op` is such a contraction.
llvm::LogicalResult matchRowContraction(mlir::RewriterBase &rewriter,
                                        mlir::linalg::GenericOp op);

/// Replaces a matched contraction by vector code.
void lowerRowContraction(mlir::RewriterBase &rewriter,
                         mlir::linalg::GenericOp op, unsigned vectorBits);

} // namespace moe::codegen::cpu

#endif // MOE_MLIR_LIB_CODEGEN_CPU_ROWCONTRACTION_H
