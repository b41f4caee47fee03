//===- Math.cpp - Elementary functions in kernels -------------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Math.h"

#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "llvm/Support/MathExtras.h"

using namespace mlir;

namespace moe::codegen::cuda {

template <typename Op> static Expr unary(Expr x) {
  ExprBuilder &b = x.getBuilder();
  return b.wrap(Op::create(b, x.getType(), x));
}

static Expr abs(Expr x) { return unary<LLVM::FAbsOp>(x); }

/// The polynomial with these coefficients, lowest first.
static Expr polynomial(Expr x, ArrayRef<double> coefficients) {
  ExprBuilder &b = x.getBuilder();
  Expr sum = b.f32(coefficients.back());
  for (double coefficient : llvm::reverse(coefficients.drop_back()))
    sum = b.fma(sum, x, b.f32(coefficient));
  return sum;
}

Expr exp(Expr x) {
  // ex2.approx, which handles infinities and NaN.
  return unary<LLVM::Exp2Op>(x * llvm::numbers::log2e);
}

Expr reciprocal(Expr x) { return unary<NVVM::RcpApproxFtzF32Op>(x); }

Expr sigmoid(Expr x) { return reciprocal(exp(-x) + 1.0); }

Expr sqrt(Expr x) { return unary<LLVM::SqrtOp>(x); }

Expr softplus(Expr x) {
  // max(x, 0) + log(1 + y) for y = e^-|x| in [0, 1] does not overflow. With
  // s = y / (2 + y) the logarithm is 2 atanh(s), and s <= 1/3: the term of s^19
  // is below a rounding error.
  Expr y = exp(-abs(x));
  Expr s = y / (y + 2.0);
  Expr series = polynomial(s * s, {2.0, 2.0 / 3, 2.0 / 5, 2.0 / 7, 2.0 / 9,
                                   2.0 / 11, 2.0 / 13, 2.0 / 15, 2.0 / 17});
  return max(x, 0.0) + s * series;
}

Expr normalCDF(Expr x) {
  // Abramowitz and Stegun, Handbook of Mathematical Functions, 7.1.26:
  // erfc(z) = (a1 t + ... + a5 t^5) e^(-z^2) with t = 1 / (1 + p z), z >= 0.
  ExprBuilder &b = x.getBuilder();
  Expr z = abs(x) * 0.70710678118654752440;
  Expr t = reciprocal(b.fma(z, b.f32(0.3275911), b.f32(1.0)));
  Expr tail = t *
              polynomial(t, {0.254829592, -0.284496736, 1.421413741,
                             -1.453152027, 1.061405429}) *
              exp(-(z * z)) * 0.5;
  return b.select(x < 0.0, tail, 1.0 - tail);
}

} // namespace moe::codegen::cuda
