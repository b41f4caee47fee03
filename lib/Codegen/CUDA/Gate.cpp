//===- Gate.cpp - Router logits -------------------------------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "../PhaseChecks.h"
#include "Dots.h"
#include "GemmOperands.h"

using namespace mlir;
using namespace moe::codegen;
using namespace moe::codegen::cuda;

LogicalResult moe::codegen::cuda::emitGate(const Emission &emission,
                                           const GateOperands &operands) {
  if (failed(check(emission.loc, operands)))
    return failure();
  GemmOperands gemm{operands.x, operands.weight, operands.logits};
  gemm.bias = operands.bias;
  auto emitDots = [&] { launchDots(emission, "gate", gemm); };
  // Tiles want to know how many columns there are.
  if (ShapedType::isDynamic(getMemRefType(operands.logits).getDimSize(1))) {
    emitDots();
    return success();
  }
  ExprBuilder host = gridBuilder(emission);
  ifOnHost(emission, dimOf(host, operands.x, 0) <= kMostDotRows, emitDots,
           [&] { (void)emitGemm(emission, "gate", "gate", gemm); });
  return success();
}
