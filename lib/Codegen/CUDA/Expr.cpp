//===- Expr.cpp - Arithmetic of kernels, written as C++ -------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Expr.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"

using namespace mlir;
using namespace moe::codegen::cuda;

//===----------------------------------------------------------------------===//
// Constants and conversions
//===----------------------------------------------------------------------===//

bool Expr::isFloat() const {
  return isa<FloatType>(getElementTypeOrSelf(getType()));
}

Expr Expr::likeInteger(int64_t number) const {
  if (isFloat())
    return likeFloat(static_cast<double>(number));
  if (isa<IndexType>(getType()))
    return builder->index(number);
  unsigned bits = getType().getIntOrFloatBitWidth();
  // Truncated, so that constants may also be given as unsigned.
  APInt bitsOfNumber = APInt(64, number).trunc(bits);
  return builder->wrap(arith::ConstantOp::create(
      *builder, builder->getIntegerAttr(getType(), bitsOfNumber)));
}

Expr Expr::likeFloat(double number) const {
  if (auto vector = dyn_cast<VectorType>(getType()))
    return builder->f32s(number, vector.getNumElements());
  return builder->f32(number);
}

Expr ExprBuilder::i1(bool value) {
  return wrap(arith::ConstantOp::create(*this, getBoolAttr(value)));
}

Expr ExprBuilder::i32(int64_t value) {
  return wrap(arith::ConstantOp::create(
      *this, getI32IntegerAttr(static_cast<int32_t>(value))));
}

Expr ExprBuilder::i64(int64_t value) {
  return wrap(arith::ConstantOp::create(*this, getI64IntegerAttr(value)));
}

Expr ExprBuilder::f32(double value) {
  return wrap(arith::ConstantOp::create(*this, getF32FloatAttr(value)));
}

Expr ExprBuilder::index(int64_t value) {
  return wrap(arith::ConstantIndexOp::create(*this, value));
}

Expr ExprBuilder::f32s(double value, unsigned width) {
  if (width == 1)
    return f32(value);
  auto type = VectorType::get(width, getF32Type());
  return wrap(arith::ConstantOp::create(
      *this, DenseElementsAttr::get(type, static_cast<float>(value))));
}

Expr ExprBuilder::toInteger(Expr value, Type type) {
  Type from = value.getType();
  if (from == type)
    return value;
  if (isa<IndexType>(from) || isa<IndexType>(type))
    return wrap(createOrFold<arith::IndexCastOp>(type, value));
  if (from.getIntOrFloatBitWidth() < type.getIntOrFloatBitWidth())
    return wrap(createOrFold<arith::ExtSIOp>(type, value));
  return wrap(createOrFold<arith::TruncIOp>(type, value));
}

/// `like` with another element type.
static Type withElement(Type like, Type element) {
  if (auto vector = dyn_cast<VectorType>(like))
    return vector.clone(element);
  return element;
}

Expr ExprBuilder::widen(Expr value) {
  Type element = getElementTypeOrSelf(value.getType());
  if (!isa<BFloat16Type, Float16Type>(element))
    return value;
  return wrap(arith::ExtFOp::create(
      *this, withElement(value.getType(), getF32Type()), Value(value)));
}

Expr ExprBuilder::narrow(Expr value, Type element) {
  if (getElementTypeOrSelf(value.getType()) == element)
    return value;
  return wrap(arith::TruncFOp::create(
      *this, withElement(value.getType(), element), Value(value)));
}

Expr ExprBuilder::bitcast(Expr value, Type type) {
  return wrap(LLVM::BitcastOp::create(*this, type, value));
}

//===----------------------------------------------------------------------===//
// Elements
//===----------------------------------------------------------------------===//

Expr ExprBuilder::element(Expr vector, unsigned position) {
  if (!isa<VectorType>(vector.getType()))
    return vector;
  return wrap(LLVM::ExtractElementOp::create(*this, vector, i32(position)));
}

Expr ExprBuilder::pack(ArrayRef<Expr> elements) {
  if (elements.size() == 1)
    return elements.front();
  auto type = VectorType::get(elements.size(), elements.front().getType());
  Value vector = LLVM::PoisonOp::create(*this, type);
  for (auto [position, element] : llvm::enumerate(elements))
    vector =
        LLVM::InsertElementOp::create(*this, vector, element, i32(position));
  return wrap(vector);
}

Expr ExprBuilder::map(Expr vector, function_ref<Expr(Expr)> function) {
  auto type = dyn_cast<VectorType>(vector.getType());
  SmallVector<Expr> results;
  for (int64_t i = 0, e = type ? type.getNumElements() : 1; i < e; ++i)
    results.push_back(function(element(vector, i)));
  return pack(results);
}

//===----------------------------------------------------------------------===//
// Operators
//===----------------------------------------------------------------------===//

/// Brings both sides to one type.
static void unify(Expr &lhs, Expr &rhs) {
  ExprBuilder &b = lhs.getBuilder();
  if (lhs.getType() == rhs.getType())
    return;
  if (!lhs.isFloat()) {
    bool toRight = isa<IndexType>(rhs.getType()) ||
                   (!isa<IndexType>(lhs.getType()) &&
                    lhs.getType().getIntOrFloatBitWidth() <
                        rhs.getType().getIntOrFloatBitWidth());
    Type type = toRight ? rhs.getType() : lhs.getType();
    lhs = b.toInteger(lhs, type);
    rhs = b.toInteger(rhs, type);
    return;
  }
  auto repeat = [&](Expr &scalar, Type like) {
    auto vector = dyn_cast<VectorType>(like);
    if (vector && !isa<VectorType>(scalar.getType()))
      scalar = b.pack(SmallVector<Expr>(vector.getNumElements(), scalar));
  };
  repeat(lhs, rhs.getType());
  repeat(rhs, lhs.getType());
}

template <typename IntegerOp, typename FloatOp>
static Expr arithmetic(Expr lhs, Expr rhs) {
  unify(lhs, rhs);
  ExprBuilder &b = lhs.getBuilder();
  if (lhs.isFloat())
    return b.wrap(b.createOrFold<FloatOp>(lhs, rhs));
  return b.wrap(b.createOrFold<IntegerOp>(lhs, rhs));
}

template <typename Op> static Expr integral(Expr lhs, Expr rhs) {
  unify(lhs, rhs);
  ExprBuilder &b = lhs.getBuilder();
  return b.wrap(b.createOrFold<Op>(lhs, rhs));
}

static Expr compare(arith::CmpIPredicate integers, arith::CmpFPredicate floats,
                    Expr lhs, Expr rhs) {
  unify(lhs, rhs);
  ExprBuilder &b = lhs.getBuilder();
  if (lhs.isFloat())
    return b.wrap(b.createOrFold<arith::CmpFOp>(floats, lhs, rhs));
  return b.wrap(b.createOrFold<arith::CmpIOp>(integers, lhs, rhs));
}

namespace moe::codegen::cuda {

Expr operator+(Expr lhs, Expr rhs) {
  return arithmetic<arith::AddIOp, arith::AddFOp>(lhs, rhs);
}
Expr operator-(Expr lhs, Expr rhs) {
  return arithmetic<arith::SubIOp, arith::SubFOp>(lhs, rhs);
}
Expr operator*(Expr lhs, Expr rhs) {
  return arithmetic<arith::MulIOp, arith::MulFOp>(lhs, rhs);
}
Expr operator/(Expr lhs, Expr rhs) {
  return arithmetic<arith::DivUIOp, arith::DivFOp>(lhs, rhs);
}
Expr operator%(Expr lhs, Expr rhs) {
  return integral<arith::RemUIOp>(lhs, rhs);
}
Expr operator&(Expr lhs, Expr rhs) { return integral<arith::AndIOp>(lhs, rhs); }
Expr operator|(Expr lhs, Expr rhs) { return integral<arith::OrIOp>(lhs, rhs); }
Expr operator^(Expr lhs, Expr rhs) { return integral<arith::XOrIOp>(lhs, rhs); }
Expr operator<<(Expr lhs, Expr rhs) {
  return integral<arith::ShLIOp>(lhs, rhs);
}
Expr operator>>(Expr lhs, Expr rhs) {
  return integral<arith::ShRUIOp>(lhs, rhs);
}

using CmpI = arith::CmpIPredicate;
using CmpF = arith::CmpFPredicate;
Expr operator<(Expr lhs, Expr rhs) {
  return compare(CmpI::slt, CmpF::OLT, lhs, rhs);
}
Expr operator<=(Expr lhs, Expr rhs) {
  return compare(CmpI::sle, CmpF::OLE, lhs, rhs);
}
Expr operator>(Expr lhs, Expr rhs) {
  return compare(CmpI::sgt, CmpF::OGT, lhs, rhs);
}
Expr operator>=(Expr lhs, Expr rhs) {
  return compare(CmpI::sge, CmpF::OGE, lhs, rhs);
}
Expr operator==(Expr lhs, Expr rhs) {
  return compare(CmpI::eq, CmpF::OEQ, lhs, rhs);
}
Expr operator!=(Expr lhs, Expr rhs) {
  return compare(CmpI::ne, CmpF::UNE, lhs, rhs);
}

Expr operator!(Expr value) { return value ^ value.like(1); }

Expr operator-(Expr value) {
  ExprBuilder &b = value.getBuilder();
  if (value.isFloat())
    return b.wrap(b.createOrFold<arith::NegFOp>(value));
  return value.like(0) - value;
}

Expr min(Expr lhs, Expr rhs) {
  return arithmetic<arith::MinSIOp, arith::MinimumFOp>(lhs, rhs);
}
Expr max(Expr lhs, Expr rhs) {
  return arithmetic<arith::MaxSIOp, arith::MaximumFOp>(lhs, rhs);
}

Expr below(Expr lhs, Expr rhs) {
  return compare(CmpI::ult, CmpF::OLT, lhs, rhs);
}

Expr ceilDiv(Expr lhs, int64_t rhs) { return (lhs + (rhs - 1)) / rhs; }

Expr isNaN(Expr value) { return value != value; }

} // namespace moe::codegen::cuda

Expr ExprBuilder::select(Expr condition, Expr then, Expr otherwise) {
  unify(then, otherwise);
  return wrap(createOrFold<arith::SelectOp>(condition, then, otherwise));
}

Expr ExprBuilder::fma(Expr a, Expr b, Expr c) {
  unify(a, b);
  unify(a, c);
  unify(b, c);
  return wrap(LLVM::FMAOp::create(*this, a, b, c));
}

Expr ExprBuilder::dot(Expr a, Expr b, Expr sum) {
  auto type = dyn_cast<VectorType>(a.getType());
  for (int64_t i = 0, e = type ? type.getNumElements() : 1; i < e; ++i)
    sum = fma(element(a, i), element(b, i), sum);
  return sum;
}
