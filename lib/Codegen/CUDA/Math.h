//===- Math.h - Elementary functions in kernels -----------------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Functions on scalar f32 whose relative error is a few units in the last place
// unless said otherwise, without CUDA's libdevice. NaN gives NaN.
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_LIB_CODEGEN_CUDA_MATH_H
#define MOE_MLIR_LIB_CODEGEN_CUDA_MATH_H

#include "Expr.h"

namespace moe::codegen::cuda {

/// e^x, with a relative error of |x| units in the last place.
Expr exp(Expr x);
/// 1 / x. Results below the smallest normal number are 0.
Expr reciprocal(Expr x);
/// 1 / (1 + e^-x).
Expr sigmoid(Expr x);
/// log(1 + e^x).
Expr softplus(Expr x);
Expr sqrt(Expr x);
/// (1 + erf(x / sqrt(2))) / 2, with an absolute error of 1e-7.
Expr normalCDF(Expr x);

} // namespace moe::codegen::cuda

#endif // MOE_MLIR_LIB_CODEGEN_CUDA_MATH_H
