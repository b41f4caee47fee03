//===- Uniform.cpp - Values that all ranks share --------------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moe-mlir/Dialect/Schedule/Analysis/Uniform.h"
#include "moe-mlir/Dialect/Schedule/IR/Schedule.h"

#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Interfaces/FunctionInterfaces.h"

using namespace mlir;
using namespace moe::schedule;

static Value findRankDependence(ArrayRef<Value> values) {
  for (Value value : values)
    if (Value found = moe::schedule::findRankDependence(value))
      return found;
  return {};
}

static Value findRankDependence(BlockArgument argument) {
  Operation *parent = argument.getOwner()->getParentOp();
  unsigned number = argument.getArgNumber();
  if (auto loop = dyn_cast_or_null<scf::ForOp>(parent);
      loop && argument == loop.getInductionVar())
    return ::findRankDependence(
        {loop.getLowerBound(), loop.getUpperBound(), loop.getStep()});
  auto function = dyn_cast_or_null<FunctionOpInterface>(parent);
  bool isGiven = function && argument.getOwner()->isEntryBlock() &&
                 function.getArgAttr(number, "schedule.uniform");
  return isGiven ? Value() : Value(argument);
}

Value moe::schedule::findRankDependence(Value value) {
  if (auto argument = dyn_cast<BlockArgument>(value))
    return ::findRankDependence(argument);
  Operation *op = value.getDefiningOp();
  if (op->hasTrait<OpTrait::ConstantLike>() ||
      isa<MaxTokensOp, CallValueOp, TotalTokensOp>(op))
    return {};
  if (auto branch = dyn_cast<scf::IfOp>(op)) {
    unsigned result = cast<OpResult>(value).getResultNumber();
    return ::findRankDependence({branch.getCondition(),
                                 branch.thenYield().getOperand(result),
                                 branch.elseYield().getOperand(result)});
  }
  // Sources of their own, such as the rank or a size, take no scalar.
  bool isFunctionOfScalars =
      isPure(op) && op->getNumRegions() == 0 && op->getNumOperands() > 0 &&
      llvm::all_of(op->getOperandTypes(),
                   [](Type type) { return type.isIntOrIndexOrFloat(); });
  if (!isFunctionOfScalars)
    return value;
  return ::findRankDependence(SmallVector<Value>(op->getOperands()));
}
