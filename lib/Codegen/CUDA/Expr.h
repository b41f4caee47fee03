//===- Expr.h - Arithmetic of kernels, written as C++ -----------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_LIB_CODEGEN_CUDA_EXPR_H
#define MOE_MLIR_LIB_CODEGEN_CUDA_EXPR_H

#include "mlir/IR/BuiltinTypes.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"
#include "mlir/IR/Value.h"
#include "llvm/ADT/SmallVector.h"
#include <type_traits>

namespace moe::codegen::cuda {

class ExprBuilder;

/// A value of the code under construction, with the operators of its type,
/// which build ops at the builder's place.
///
/// Integers (i1, i32, i64, index): division, remainder and right shift are
/// unsigned, since indices are not negative; comparisons are signed. Where i32
/// and i64 meet, the i32 is sign-extended. Floats are f32, scalars or vectors;
/// where both meet, the scalar is repeated. Numbers of C++ become constants of
/// the other side's type.
class Expr {
public:
  Expr() = default;
  Expr(ExprBuilder &builder, mlir::Value value)
      : builder(&builder), value(value) {}

  operator mlir::Value() const { return value; }
  explicit operator bool() const { return static_cast<bool>(value); }
  mlir::Type getType() const { return value.getType(); }
  ExprBuilder &getBuilder() const { return *builder; }
  bool isFloat() const;

  /// A constant of this type.
  template <typename T> Expr like(T number) const {
    if constexpr (std::is_integral_v<T>)
      return likeInteger(static_cast<int64_t>(number));
    else
      return likeFloat(number);
  }

private:
  Expr likeInteger(int64_t number) const;
  Expr likeFloat(double number) const;

  ExprBuilder *builder = nullptr;
  mlir::Value value;
};

/// Creates expressions.
class ExprBuilder : public mlir::ImplicitLocOpBuilder {
public:
  ExprBuilder(mlir::Location loc, mlir::OpBuilder &builder)
      : ImplicitLocOpBuilder(loc, builder) {}

  Expr wrap(mlir::Value value) { return Expr(*this, value); }
  Expr i1(bool value);
  Expr i32(int64_t value);
  Expr i64(int64_t value);
  Expr f32(double value);
  Expr index(int64_t value);
  /// A vector of `width` equal f32; a scalar if that is 1.
  Expr f32s(double value, unsigned width);

  /// Converts between i32, i64 and index, sign-extending.
  Expr toInteger(Expr value, mlir::Type type);
  Expr toI32(Expr value) { return toInteger(value, getI32Type()); }
  Expr toI64(Expr value) { return toInteger(value, getI64Type()); }

  /// Widens bf16 and f16 to f32; leaves the rest.
  Expr widen(Expr value);
  /// Rounds f32 to `element`, to nearest even; leaves integers.
  Expr narrow(Expr value, mlir::Type element);
  /// The value with its bits read as another type of the same width.
  Expr bitcast(Expr value, mlir::Type type);

  Expr select(Expr condition, Expr then, Expr otherwise);
  Expr fma(Expr a, Expr b, Expr c);
  /// The scalar `sum` + a0 * b0 + a1 * b1 + ..., in this order.
  Expr dot(Expr a, Expr b, Expr sum);
  /// Element of a vector; a scalar is its only element.
  Expr element(Expr vector, unsigned position);
  /// A vector of scalars; the scalar itself if it is only one.
  Expr pack(llvm::ArrayRef<Expr> elements);
  /// Applies `function` to every element.
  Expr map(Expr vector, llvm::function_ref<Expr(Expr)> function);
};

Expr operator+(Expr lhs, Expr rhs);
Expr operator-(Expr lhs, Expr rhs);
Expr operator*(Expr lhs, Expr rhs);
Expr operator/(Expr lhs, Expr rhs);
Expr operator%(Expr lhs, Expr rhs);
Expr operator&(Expr lhs, Expr rhs);
Expr operator|(Expr lhs, Expr rhs);
Expr operator^(Expr lhs, Expr rhs);
Expr operator<<(Expr lhs, Expr rhs);
Expr operator>>(Expr lhs, Expr rhs);
/// Comparisons of floats are false if either side is NaN, but for `!=`.
Expr operator<(Expr lhs, Expr rhs);
Expr operator<=(Expr lhs, Expr rhs);
Expr operator>(Expr lhs, Expr rhs);
Expr operator>=(Expr lhs, Expr rhs);
Expr operator==(Expr lhs, Expr rhs);
Expr operator!=(Expr lhs, Expr rhs);
Expr operator!(Expr value);
Expr operator-(Expr value);

/// Signed integers, or floats; NaN if either side is.
Expr min(Expr lhs, Expr rhs);
Expr max(Expr lhs, Expr rhs);
/// Unsigned comparison: false for negative `lhs`, if `rhs` is not negative.
Expr below(Expr lhs, Expr rhs);
Expr ceilDiv(Expr lhs, int64_t rhs);
Expr isNaN(Expr value);

#define MOE_EXPR_WITH_NUMBERS(function)                                        \
  template <typename T, typename = std::enable_if_t<std::is_arithmetic_v<T>>>  \
  Expr function(Expr lhs, T rhs) {                                             \
    return function(lhs, lhs.like(rhs));                                       \
  }                                                                            \
  template <typename T, typename = std::enable_if_t<std::is_arithmetic_v<T>>>  \
  Expr function(T lhs, Expr rhs) {                                             \
    return function(rhs.like(lhs), rhs);                                       \
  }
MOE_EXPR_WITH_NUMBERS(operator+)
MOE_EXPR_WITH_NUMBERS(operator-)
MOE_EXPR_WITH_NUMBERS(operator*)
MOE_EXPR_WITH_NUMBERS(operator/)
MOE_EXPR_WITH_NUMBERS(operator%)
MOE_EXPR_WITH_NUMBERS(operator&)
MOE_EXPR_WITH_NUMBERS(operator|)
MOE_EXPR_WITH_NUMBERS(operator^)
MOE_EXPR_WITH_NUMBERS(operator<<)
MOE_EXPR_WITH_NUMBERS(operator>>)
MOE_EXPR_WITH_NUMBERS(operator<)
MOE_EXPR_WITH_NUMBERS(operator<=)
MOE_EXPR_WITH_NUMBERS(operator>)
MOE_EXPR_WITH_NUMBERS(operator>=)
MOE_EXPR_WITH_NUMBERS(operator==)
MOE_EXPR_WITH_NUMBERS(operator!=)
MOE_EXPR_WITH_NUMBERS(min)
MOE_EXPR_WITH_NUMBERS(max)
MOE_EXPR_WITH_NUMBERS(below)
#undef MOE_EXPR_WITH_NUMBERS

} // namespace moe::codegen::cuda

#endif // MOE_MLIR_LIB_CODEGEN_CUDA_EXPR_H
