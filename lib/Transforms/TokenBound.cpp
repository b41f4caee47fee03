//===- TokenBound.cpp - How sizes grow with tokens ------------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// All values are sizes, so none is negative: a difference is at most its first
// part, and a product of bounds is a bound of the product.
//
//===----------------------------------------------------------------------===//

#include "TokenBound.h"

#include "mlir/Dialect/Affine/IR/AffineOps.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/Utils/StaticValueUtils.h"

using namespace mlir;
using namespace moe;
using mlir::presburger::Fraction;

//===----------------------------------------------------------------------===//
// TokenBound
//===----------------------------------------------------------------------===//

static TokenBound make(int64_t constant, int64_t tokens, int64_t total) {
  return {{Fraction(constant, 1), Fraction(tokens, 1), Fraction(total, 1)}};
}

TokenBound TokenBound::constant(int64_t value) { return make(value, 0, 0); }
TokenBound TokenBound::tokens() { return make(0, 1, 0); }
TokenBound TokenBound::totalTokens() { return make(0, 0, 1); }

bool TokenBound::isConstant() const {
  return coefficients[1] == Fraction(0, 1) && coefficients[2] == Fraction(0, 1);
}

Fraction TokenBound::at(int64_t tokens) const {
  return coefficients[0] +
         (coefficients[1] + coefficients[2]) * Fraction(tokens, 1);
}

TokenBound TokenBound::operator+(const TokenBound &other) const {
  TokenBound sum = *this;
  for (int i = 0; i < 3; ++i)
    sum.coefficients[i] += other.coefficients[i];
  return sum;
}

TokenBound TokenBound::scaledBy(const Fraction &factor) const {
  TokenBound product = *this;
  for (Fraction &coefficient : product.coefficients)
    coefficient *= factor;
  return product;
}

std::array<int64_t, 3> TokenBound::roundUp(int64_t multiple) const {
  std::array<int64_t, 3> rounded;
  for (int i = 0; i < 3; ++i) {
    Fraction blocks = coefficients[i] / Fraction(multiple, 1);
    int64_t count = int64_t(presburger::ceil(blocks));
    rounded[i] = std::max<int64_t>(count, 0) * multiple;
  }
  return rounded;
}

/// The larger coefficient of each pair.
static TokenBound getMax(const TokenBound &a, const TokenBound &b) {
  TokenBound result = a;
  for (int i = 0; i < 3; ++i)
    if (result.coefficients[i] < b.coefficients[i])
      result.coefficients[i] = b.coefficients[i];
  return result;
}

/// Both bound the smaller value; the one that is tighter for a usual batch.
static TokenBound getMin(const TokenBound &a, const TokenBound &b) {
  constexpr int64_t usualTokens = 256;
  return a.at(usualTokens) <= b.at(usualTokens) ? a : b;
}

static std::optional<TokenBound> getProduct(const TokenBound &a,
                                            const TokenBound &b) {
  if (a.isConstant())
    return b.scaledBy(a.coefficients[0]);
  if (b.isConstant())
    return a.scaledBy(b.coefficients[0]);
  return std::nullopt;
}

/// x / divisor, rounded down or up.
static std::optional<TokenBound> getQuotient(const std::optional<TokenBound> &x,
                                             std::optional<int64_t> divisor,
                                             bool roundsUp) {
  if (!x || !divisor || *divisor <= 0)
    return std::nullopt;
  TokenBound quotient = x->scaledBy(Fraction(1, *divisor));
  if (roundsUp)
    quotient.coefficients[0] += Fraction(*divisor - 1, *divisor);
  return quotient;
}

//===----------------------------------------------------------------------===//
// TokenBounds
//===----------------------------------------------------------------------===//

bool TokenBounds::isTokens(Value buffer, int64_t dim) {
  auto argument = dyn_cast<BlockArgument>(buffer);
  if (!argument || dim != 0 ||
      argument.getOwner() != &function.getFunctionBody().front())
    return false;
  return argument == tokensArgument ||
         function.getArgAttr(argument.getArgNumber(), "schedule.tokens");
}

std::optional<TokenBound> TokenBounds::get(OpFoldResult value) {
  if (std::optional<int64_t> constant = getConstantIntValue(value))
    return TokenBound::constant(*constant);
  Operation *op = cast<Value>(value).getDefiningOp();
  return op ? compute(op) : std::nullopt;
}

Value TokenBounds::getUnbounded(ValueRange values) {
  for (Value value : values)
    if (!get(value))
      return value;
  return {};
}

std::optional<TokenBound> TokenBounds::getDim(Value buffer, int64_t dim) {
  auto type = dyn_cast<MemRefType>(buffer.getType());
  if (!type || dim < 0 || dim >= type.getRank())
    return std::nullopt;
  if (!type.isDynamicDim(dim))
    return TokenBound::constant(type.getDimSize(dim));
  if (isTokens(buffer, dim))
    return TokenBound::tokens();
  if (auto argument = dyn_cast<BlockArgument>(buffer)) {
    if (argument.getOwner() != &function.getFunctionBody().front())
      return std::nullopt;
    auto bounds = function.getArgAttrOfType<DenseI64ArrayAttr>(
        argument.getArgNumber(), "schedule.max_shape");
    if (bounds && bounds[dim] >= 0)
      return TokenBound::constant(bounds[dim]);
    return std::nullopt;
  }
  Operation *op = buffer.getDefiningOp();
  unsigned dynamicIndex = type.getDynamicDimIndex(dim);
  if (auto alloc = dyn_cast<memref::AllocOp>(op))
    return get(Value(alloc.getDynamicSizes()[dynamicIndex]));
  if (auto slice = dyn_cast<schedule::SliceOp>(op))
    return get(Value(slice.getSizes()[dynamicIndex]));
  if (auto rows = dyn_cast<schedule::RowsOp>(op))
    return get(rows.getSize());
  if (auto cast = dyn_cast<memref::CastOp>(op))
    return getDim(cast.getSource(), dim);
  auto subview = dyn_cast<memref::SubViewOp>(op);
  if (subview && subview.getSourceType().getRank() == type.getRank())
    return get(subview.getMixedSizes()[dim]);
  return std::nullopt;
}

std::optional<TokenBound> TokenBounds::getBytes(MemRefType type,
                                                ValueRange dynamicSizes) {
  std::optional<int64_t> element =
      schedule::getElementBytes(type.getElementType());
  if (!element)
    return std::nullopt;
  TokenBound bytes = TokenBound::constant(*element);
  auto size = dynamicSizes.begin();
  for (int64_t extent : type.getShape()) {
    std::optional<TokenBound> bound = ShapedType::isDynamic(extent)
                                          ? get(Value(*size++))
                                          : TokenBound::constant(extent);
    std::optional<TokenBound> product =
        bound ? getProduct(bytes, *bound) : std::nullopt;
    if (!product)
      return std::nullopt;
    bytes = *product;
  }
  return bytes;
}

std::optional<TokenBound> TokenBounds::compute(Operation *op) {
  if (auto total = dyn_cast<schedule::TotalTokensOp>(op)) {
    if (!total.getPart())
      return TokenBound::totalTokens();
    // Every rank rounds up what the parts behind this one leave.
    int64_t count = total.getPart()->getCount();
    int64_t behind = count - 1 - total.getPart()->getIndex();
    schedule::GridAttr grid = schedule::getGrid(function);
    if (behind > 0 && !grid)
      return TokenBound::totalTokens();
    TokenBound part = TokenBound::totalTokens().scaledBy(Fraction(1, count));
    if (behind > 0)
      part.coefficients[0] = Fraction(grid.getNumRanks() * behind, count);
    return part;
  }
  if (auto dim = dyn_cast<memref::DimOp>(op)) {
    std::optional<int64_t> index = dim.getConstantIndex();
    return index ? getDim(dim.getSource(), *index) : std::nullopt;
  }
  if (isa<arith::IndexCastOp, arith::IndexCastUIOp, arith::ExtUIOp,
          arith::ExtSIOp, arith::TruncIOp>(op))
    return get(op->getOperand(0));
  if (auto select = dyn_cast<arith::SelectOp>(op)) {
    std::optional<TokenBound> a = get(select.getTrueValue());
    std::optional<TokenBound> b = get(select.getFalseValue());
    return a && b ? std::optional(getMax(*a, *b)) : std::nullopt;
  }
  if (auto apply = dyn_cast<affine::AffineApplyOp>(op))
    return compute(apply.getAffineMap().getResult(0), apply.getDimOperands(),
                   apply.getSymbolOperands());
  if (isa<affine::AffineMinOp, affine::AffineMaxOp>(op)) {
    auto least = dyn_cast<affine::AffineMinOp>(op);
    AffineMap map =
        least ? least.getMap() : cast<affine::AffineMaxOp>(op).getMap();
    std::optional<TokenBound> result;
    for (AffineExpr expr : map.getResults()) {
      std::optional<TokenBound> bound =
          compute(expr, op->getOperands().take_front(map.getNumDims()),
                  op->getOperands().drop_front(map.getNumDims()));
      // One part bounds a minimum; a maximum needs them all.
      if (!bound && !least)
        return std::nullopt;
      if (!bound)
        continue;
      result = !result ? *bound : (least ? getMin : getMax)(*result, *bound);
    }
    return result;
  }

  if (op->getNumOperands() != 2 || op->getNumResults() != 1)
    return std::nullopt;
  std::optional<TokenBound> a = get(op->getOperand(0));
  std::optional<TokenBound> b = get(op->getOperand(1));
  std::optional<int64_t> constant = getConstantIntValue(op->getOperand(1));
  if (isa<arith::MinUIOp, arith::MinSIOp>(op))
    return a && b ? getMin(*a, *b) : a ? a : b;
  if (isa<arith::RemUIOp, arith::RemSIOp>(op) && constant && *constant > 0)
    return TokenBound::constant(*constant - 1);
  if (isa<arith::DivUIOp, arith::DivSIOp, arith::FloorDivSIOp>(op))
    return getQuotient(a, constant, /*roundsUp=*/false);
  if (isa<arith::CeilDivUIOp, arith::CeilDivSIOp>(op))
    return getQuotient(a, constant, /*roundsUp=*/true);
  if (isa<arith::SubIOp>(op) && a)
    return constant ? *a + TokenBound::constant(-*constant) : *a;
  if (!a || !b)
    return std::nullopt;
  if (isa<arith::AddIOp>(op))
    return *a + *b;
  if (isa<arith::MulIOp>(op))
    return getProduct(*a, *b);
  if (isa<arith::MaxUIOp, arith::MaxSIOp>(op))
    return getMax(*a, *b);
  return std::nullopt;
}

std::optional<TokenBound> TokenBounds::compute(AffineExpr expr, ValueRange dims,
                                               ValueRange symbols) {
  if (auto constant = dyn_cast<AffineConstantExpr>(expr))
    return TokenBound::constant(constant.getValue());
  if (auto dim = dyn_cast<AffineDimExpr>(expr))
    return get(Value(dims[dim.getPosition()]));
  if (auto symbol = dyn_cast<AffineSymbolExpr>(expr))
    return get(Value(symbols[symbol.getPosition()]));
  auto binary = cast<AffineBinaryOpExpr>(expr);
  auto constant = dyn_cast<AffineConstantExpr>(binary.getRHS());
  std::optional<int64_t> right =
      constant ? std::optional(constant.getValue()) : std::nullopt;
  if (expr.getKind() == AffineExprKind::Mod)
    return right && *right > 0 ? std::optional(TokenBound::constant(*right - 1))
                               : std::nullopt;
  // What is subtracted is at least 0.
  if (expr.getKind() == AffineExprKind::Mul && right && *right < 0)
    return TokenBound::constant(0);
  std::optional<TokenBound> a = compute(binary.getLHS(), dims, symbols);
  if (expr.getKind() == AffineExprKind::FloorDiv)
    return getQuotient(a, right, /*roundsUp=*/false);
  if (expr.getKind() == AffineExprKind::CeilDiv)
    return getQuotient(a, right, /*roundsUp=*/true);
  std::optional<TokenBound> b = compute(binary.getRHS(), dims, symbols);
  if (!a || !b)
    return std::nullopt;
  return expr.getKind() == AffineExprKind::Add ? std::optional(*a + *b)
                                               : getProduct(*a, *b);
}
