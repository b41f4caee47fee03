//===- Gate.cpp - Router logits -------------------------------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Dots.h"
#include "Emitters.h"
#include "GemmOperands.h"

using namespace mlir;
using namespace moe;
using namespace moe::codegen;
using namespace moe::codegen::cuda;

LogicalResult moe::codegen::cuda::emitGate(GateOp op,
                                           const Emission &emission) {
  GemmOperands gemm{op.getX(), op.getWeight(), op.getInit()};
  gemm.bias = op.getBias();
  auto emitDots = [&] { launchDots(emission, "gate", gemm); };
  // Tiles want to know how many columns there are.
  if (ShapedType::isDynamic(getMemRefType(op.getInit()).getDimSize(1))) {
    emitDots();
    return success();
  }
  ExprBuilder host = gridBuilder(emission);
  ifOnHost(emission, dimOf(host, op.getX(), 0) <= kMostDotRows, emitDots,
           [&] { (void)emitGemm(emission, "gate", "gate", gemm); });
  return success();
}
