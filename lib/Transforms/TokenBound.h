//===- TokenBound.h - How sizes grow with tokens ----------------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_LIB_TRANSFORMS_TOKENBOUND_H
#define MOE_MLIR_LIB_TRANSFORMS_TOKENBOUND_H

#include "moe-mlir/Dialect/Schedule/IR/Schedule.h"

#include "mlir/Analysis/Presburger/Fraction.h"
#include "mlir/Interfaces/FunctionInterfaces.h"
#include <array>

namespace moe {

/// An upper bound that is linear in the tokens of this rank (t) and of all
/// ranks (n): [0] + [1] * t + [2] * n. Coefficients are rational, so that
/// rounding to blocks and back loses at most the rounding.
struct TokenBound {
  std::array<mlir::presburger::Fraction, 3> coefficients;

  static TokenBound constant(int64_t value);
  static TokenBound tokens();
  static TokenBound totalTokens();

  bool isConstant() const;
  /// The bound at t = n = `tokens`.
  mlir::presburger::Fraction at(int64_t tokens) const;
  TokenBound operator+(const TokenBound &other) const;
  TokenBound scaledBy(const mlir::presburger::Fraction &factor) const;
  /// The coefficients, rounded up to multiples of `multiple` from 0 on.
  std::array<int64_t, 3> roundUp(int64_t multiple) const;
};

/// Bounds of the index values of one function.
class TokenBounds {
public:
  /// The rows of `tokensArgument`, which may be null, are the tokens of this
  /// rank; so are those of every argument with `schedule.tokens`.
  TokenBounds(mlir::FunctionOpInterface function,
              mlir::BlockArgument tokensArgument)
      : function(function), tokensArgument(tokensArgument) {}

  /// A bound of a value that is not negative, if it comes from tokens,
  /// constants and bounded dimensions by index arithmetic.
  std::optional<TokenBound> get(mlir::OpFoldResult value);
  /// A bound of one dimension of a buffer.
  std::optional<TokenBound> getDim(mlir::Value buffer, int64_t dim);
  /// A bound of the bytes of a contiguous buffer.
  std::optional<TokenBound> getBytes(mlir::MemRefType type,
                                     mlir::ValueRange dynamicSizes);
  /// The first of the values that has no bound; null if all have one.
  mlir::Value getUnbounded(mlir::ValueRange values);

  /// True if the value is the number of rows of the tokens argument.
  bool isTokens(mlir::Value buffer, int64_t dim);

private:
  std::optional<TokenBound> compute(mlir::Operation *op);
  std::optional<TokenBound> compute(mlir::AffineExpr expr,
                                    mlir::ValueRange dims,
                                    mlir::ValueRange symbols);

  mlir::FunctionOpInterface function;
  mlir::BlockArgument tokensArgument;
};

} // namespace moe

#endif // MOE_MLIR_LIB_TRANSFORMS_TOKENBOUND_H
