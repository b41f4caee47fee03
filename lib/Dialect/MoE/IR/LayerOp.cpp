//===- LayerOp.cpp - moe.layer --------------------------------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moe-mlir/Dialect/MoE/IR/MoE.h"

using namespace mlir;
using namespace moe;

LogicalResult LayerOp::verify() { return success(); }

ParallelAttr LayerOp::getEffectiveParallel() {
  if (ParallelAttr own = getParallelAttr())
    return own;
  for (Operation *op = (*this)->getParentOp(); op; op = op->getParentOp())
    if (auto inherited = op->getAttrOfType<ParallelAttr>("moe.parallel"))
      return inherited;
  return ParallelAttr::get(getContext());
}

int64_t LayerOp::getHiddenSize() {
  return getHiddenStates().getType().getDimSize(1);
}

int64_t LayerOp::getNumRouterOutputs() {
  if (Value weight = getRouterWeight())
    return cast<RankedTensorType>(weight.getType()).getDimSize(0);
  if (std::optional<uint64_t> number = getNumExperts())
    return *number;
  if (Value map = getLogicalToPhysical())
    return cast<RankedTensorType>(map.getType()).getDimSize(0);
  return getW13().getType().getDimSize(0);
}

int64_t LayerOp::getNumPhysicalExperts() {
  int64_t outputs = getNumRouterOutputs();
  if (ShapedType::isDynamic(outputs))
    return outputs;
  return outputs - getRouting().getZeroExperts() +
         getEffectiveParallel().getRedundantExperts();
}

int64_t LayerOp::getExpertInputSize() {
  return getW2().getType().getDimSize(1);
}

int64_t LayerOp::getIntermediateSize() {
  return getW2().getType().getDimSize(2);
}

int64_t LayerOp::getSharedIntermediateSize() {
  Value weight = getSharedW2();
  return weight ? cast<RankedTensorType>(weight.getType()).getDimSize(1) : 0;
}
