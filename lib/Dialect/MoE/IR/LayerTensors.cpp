//===- LayerTensors.cpp - The tensors of a moe.layer ----------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moe-mlir/Dialect/MoE/IR/LayerTensors.h"

using namespace mlir;
using namespace moe;

Value moe::getOperand(LayerOp layer, TensorId id) {
  switch (id) {
  case TensorId::HiddenStates:
    return layer.getHiddenStates();
  case TensorId::RouterWeight:
    return layer.getRouterWeight();
  case TensorId::RouterBias:
    return layer.getRouterBias();
  case TensorId::CorrectionBias:
    return layer.getCorrectionBias();
  case TensorId::W13:
    return layer.getW13();
  case TensorId::W2:
    return layer.getW2();
  case TensorId::B13:
    return layer.getB13();
  case TensorId::B2:
    return layer.getB2();
  case TensorId::SharedW13:
    return layer.getSharedW13();
  case TensorId::SharedW2:
    return layer.getSharedW2();
  case TensorId::SharedGate:
    return layer.getSharedGate();
  case TensorId::LatentIn:
    return layer.getLatentIn();
  case TensorId::LatentOut:
    return layer.getLatentOut();
  case TensorId::TopkIds:
    return layer.getTopkIds();
  case TensorId::TopkWeights:
    return layer.getTopkWeights();
  case TensorId::LogicalToPhysical:
    return layer.getLogicalToPhysical();
  case TensorId::ReplicaCount:
    return layer.getReplicaCount();
  case TensorId::Output:
  case TensorId::ExpertLoad:
    return {};
  }
  llvm_unreachable("unknown tensor");
}

ArrayAttr moe::getAxesAttr(Builder &b, TensorId id, ArrayRef<int64_t> shape) {
  const TensorInfo &tensor = getTensor(id);
  SmallVector<StringRef> names(shape.size());
  bool hasNames = false;
  for (auto [index, size] : llvm::enumerate(shape)) {
    if (!ShapedType::isDynamic(size) || tensor.axes[index] == Axis::Token)
      continue;
    names[index] = getSymbol(tensor.axes[index]);
    hasNames = true;
  }
  return hasNames ? b.getStrArrayAttr(names) : ArrayAttr();
}
