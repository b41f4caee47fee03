//===- Experts.cpp - The MLPs of the routed experts -----------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Emitters.h"
#include "GemmOperands.h"

using namespace mlir;
using namespace moe;
using namespace moe::codegen;
using namespace moe::codegen::cuda;

LogicalResult moe::codegen::cuda::emitExperts(ExpertsOp op,
                                              const Emission &emission) {
  if (failed(checkPlainWeights(op, kTargetName)))
    return failure();
  int64_t width = getMemRefType(op.getW2()).getDimSize(2);
  Type element = getMemRefType(op.getRows()).getElementType();
  Value hidden = allocateScratch(emission, op.getInit(), width, element);

  GemmOperands up{op.getRows(), op.getW13(), hidden};
  up.expertOffsets = op.getOffsets();
  up.sourceRows = op.getSourceRows();
  up.bias = op.getB13();
  up.scale = op.getInputWeights();
  up.activation = op.getActivation();
  if (failed(emitGemm(emission, "experts_up", "experts.up", up)))
    return failure();

  GemmOperands down{hidden, op.getW2(), op.getInit()};
  down.expertOffsets = op.getOffsets();
  down.bias = op.getB2();
  return emitGemm(emission, "experts_down", "experts.down", down);
}
