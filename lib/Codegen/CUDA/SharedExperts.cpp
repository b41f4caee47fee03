//===- SharedExperts.cpp - The MLP that every token passes through --------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "../PhaseChecks.h"
#include "Activation.h"
#include "Dots.h"
#include "GemmOperands.h"

using namespace mlir;
using namespace moe::codegen;
using namespace moe::codegen::cuda;

LogicalResult
moe::codegen::cuda::emitSharedExperts(const Emission &emission,
                                      const SharedExpertsOperands &operands,
                                      const ActivationParams &params) {
  if (failed(check(emission.loc, operands, params)))
    return failure();
  int64_t width = getMemRefType(operands.w2).getDimSize(1);
  Type element = getMemRefType(operands.x).getElementType();
  Value hidden = allocateScratch(emission, operands.x, width, element);
  Value gate;
  if (operands.gate) {
    gate = allocateScratch(emission, operands.x, 1,
                           Float32Type::get(emission.loc.getContext()));
    launchDots(emission, "shared.gate", {operands.x, operands.gate, gate});
  }

  GemmOperands up{operands.x, operands.w13, hidden};
  up.activation = &params;
  if (failed(emitGemm(emission, "shared_up", "shared.up", up)))
    return failure();

  GemmOperands down{hidden, operands.w2, operands.shared};
  down.scale = gate;
  down.sigmoidOfScale = true;
  return emitGemm(emission, "shared_down", "shared.down", down);
}
