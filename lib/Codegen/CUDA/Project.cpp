//===- Project.cpp - Projections of a latent layer ------------------------===//
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

LogicalResult moe::codegen::cuda::emitProject(ProjectOp op,
                                              const Emission &emission) {
  return emitGemm(emission, "project", "project",
                  {op.getX(), op.getWeight(), op.getInit()});
}
