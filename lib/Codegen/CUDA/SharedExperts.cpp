//===- SharedExperts.cpp - The MLP that every token passes through --------===//
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

LogicalResult moe::codegen::cuda::emitSharedExperts(SharedExpertsOp op,
                                                    const Emission &emission) {
  int64_t width = getMemRefType(op.getW2()).getDimSize(1);
  Type element = getMemRefType(op.getX()).getElementType();
  Value hidden = allocateScratch(emission, op.getX(), width, element);
  Value gate;
  if (op.getGate()) {
    gate = allocateScratch(emission, op.getX(), 1,
                           Float32Type::get(emission.loc.getContext()));
    launchDots(emission, "shared.gate", {op.getX(), op.getGate(), gate});
  }

  GemmOperands up{op.getX(), op.getW13(), hidden};
  up.activation = op.getActivation();
  if (failed(emitGemm(emission, "shared_up", "shared.up", up)))
    return failure();

  GemmOperands down{hidden, op.getW2(), op.getInit()};
  down.scale = gate;
  down.sigmoidOfScale = true;
  return emitGemm(emission, "shared_down", "shared.down", down);
}
