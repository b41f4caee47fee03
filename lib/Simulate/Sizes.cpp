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

Sizes::Sizes(FunctionOpInterface function, ArrayRef<int64_t> tokens,
             size_t rank)
    : function(function), tokens(tokens), rank(rank) {}

BlockArgument moe::simulate::findTokens(FunctionOpInterface function) {
  BlockArgument first;
  for (BlockArgument argument : function.getArguments()) {
    if (function.getArgAttr(argument.getArgNumber(), "schedule.tokens"))
      return argument;
    auto type = dyn_cast<MemRefType>(argument.getType());
    if (!first && type && type.getRank() > 0 && type.isDynamicDim(0))
      first = argument;
  }
  return first;
}

bool moe::simulate::hasRowPerToken(FunctionOpInterface function,
                                   BlockArgument argument) {
  BlockArgument tokens = findTokens(function);
  return function.getArgAttr(argument.getArgNumber(), "schedule.tokens") ||
         (tokens && tokens.getType() == argument.getType());
}

std::optional<int64_t> Sizes::getDim(Value buffer, int64_t dim) {
  auto type = dyn_cast<MemRefType>(buffer.getType());
  if (!type || dim < 0 || dim >= type.getRank())
    return std::nullopt;
  if (!type.isDynamicDim(dim))
    return type.getDimSize(dim);
  if (auto argument = dyn_cast<BlockArgument>(buffer)) {
    bool isEntry = argument.getOwner() == &function.getFunctionBody().front();
    if (dim == 0 && isEntry && hasRowPerToken(function, argument))
      return tokens[rank];
    return std::nullopt;
  }
  Operation *op = buffer.getDefiningOp();
  if (auto alloc = dyn_cast<memref::AllocOp>(op))
    return get(alloc.getDynamicSizes()[type.getDynamicDimIndex(dim)]);
  if (auto rows = dyn_cast<schedule::RowsOp>(op))
    return get(rows.getSize());
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
  if (auto total = dyn_cast<schedule::TotalTokensOp>(op)) {
    int64_t sum = 0;
    for (int64_t count : tokens)
      sum += total.getPart() ? total.getPart()->getTokens(count) : count;
    return sum;
  }
  if (isa<schedule::MaxTokensOp>(op))
    return *llvm::max_element(tokens);
  // Nobody gives any.
  if (isa<schedule::CallValueOp>(op))
    return 0;
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
