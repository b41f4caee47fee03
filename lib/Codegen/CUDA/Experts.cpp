//===- Experts.cpp - The MLPs of the routed experts -----------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "../PhaseChecks.h"
#include "Activation.h"
#include "GemmOperands.h"

using namespace mlir;
using namespace moe::codegen;
using namespace moe::codegen::cuda;

LogicalResult moe::codegen::cuda::emitExperts(const Emission &emission,
                                              const ExpertsOperands &operands,
                                              const ActivationParams &params) {
  if (failed(check(emission.loc, operands, params)))
    return failure();
  int64_t width = getMemRefType(operands.w2).getDimSize(2);
  Type element = getMemRefType(operands.rows).getElementType();
  Value hidden = allocateScratch(emission, operands.out, width, element);

  GemmOperands up{operands.rows, operands.w13, hidden};
  up.expertOffsets = operands.expertOffsets;
  up.sourceRows = operands.sourceRows;
  up.bias = operands.b13;
  up.scale = operands.inputWeight;
  up.activation = &params;
  if (failed(emitGemm(emission, "experts_up", "experts.up", up)))
    return failure();

  GemmOperands down{hidden, operands.w2, operands.out};
  down.expertOffsets = operands.expertOffsets;
  down.bias = operands.b2;
  return emitGemm(emission, "experts_down", "experts.down", down);
}
