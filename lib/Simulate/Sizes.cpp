//===- Sizes.cpp - Sizes of one call --------------------------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Sizes.h"

#include "moe-mlir/Dialect/Schedule/IR/Schedule.h"

#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/Utils/StaticValueUtils.h"

using namespace mlir;
using namespace moe::simulate;

Sizes::Sizes(FunctionOpInterface function, int64_t tokens, int64_t totalTokens)
    : function(function), tokens(tokens), totalTokens(totalTokens) {}

/// The rows of an argument with `schedule.tokens`, or of the first that has
/// dynamically many.
bool Sizes::isTokens(BlockArgument argument, int64_t dim) {
  if (dim != 0 || argument.getOwner() != &function.getFunctionBody().front())
    return false;
  if (function.getArgAttr(argument.getArgNumber(), "schedule.tokens"))
    return true;
  for (BlockArgument other : argument.getOwner()->getArguments()) {
    if (function.getArgAttr(other.getArgNumber(), "schedule.tokens"))
      return false;
    auto type = dyn_cast<MemRefType>(other.getType());
    if (type && type.getRank() > 0 && type.isDynamicDim(0))
      return other == argument;
  }
  return false;
}

std::optional<int64_t> Sizes::getDim(Value buffer, int64_t dim) {
  auto type = dyn_cast<MemRefType>(buffer.getType());
  if (!type || dim < 0 || dim >= type.getRank())
    return std::nullopt;
  if (!type.isDynamicDim(dim))
    return type.getDimSize(dim);
  if (auto argument = dyn_cast<BlockArgument>(buffer))
    return isTokens(argument, dim) ? std::optional(tokens) : std::nullopt;
  Operation *op = buffer.getDefiningOp();
  if (auto alloc = dyn_cast<memref::AllocOp>(op))
    return get(alloc.getDynamicSizes()[type.getDynamicDimIndex(dim)]);
  if (auto cast = dyn_cast<memref::CastOp>(op))
    return getDim(cast.getSource(), dim);
  auto subview = dyn_cast<memref::SubViewOp>(op);
  if (subview && subview.getSourceType().getRank() == type.getRank()) {
    OpFoldResult size = subview.getMixedSizes()[dim];
    if (std::optional<int64_t> constant = getConstantIntValue(size))
      return constant;
    return get(cast<Value>(size));
  }
  return std::nullopt;
}

std::optional<int64_t> Sizes::get(Value value) {
  auto it = known.find(value);
  if (it != known.end())
    return it->second;
  Operation *op = value.getDefiningOp();
  std::optional<int64_t> result;
  if (op)
    result = compute(op, cast<OpResult>(value).getResultNumber());
  known[value] = result;
  return result;
}

std::optional<int64_t> Sizes::compute(Operation *op, unsigned result) {
  if (isa<schedule::TotalTokensOp>(op))
    return totalTokens;
  if (auto dim = dyn_cast<memref::DimOp>(op)) {
    std::optional<int64_t> index = dim.getConstantIndex();
    return index ? getDim(dim.getSource(), *index) : std::nullopt;
  }
  // Index arithmetic computes itself.
  if (op->getNumRegions() != 0)
    return std::nullopt;
  SmallVector<Attribute> operands;
  for (Value operand : op->getOperands()) {
    std::optional<int64_t> value = get(operand);
    if (!value || !operand.getType().isIntOrIndex())
      return std::nullopt;
    operands.push_back(IntegerAttr::get(operand.getType(), *value));
  }
  SmallVector<OpFoldResult> folded;
  if (failed(op->fold(operands, folded)) || result >= folded.size())
    return std::nullopt;
  if (auto folding = dyn_cast<Value>(folded[result]))
    return get(folding);
  return getConstantIntValue(folded[result]);
}
