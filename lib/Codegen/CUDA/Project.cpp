//===- Project.cpp - Projections of a latent layer ------------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "../PhaseChecks.h"
#include "GemmOperands.h"

using namespace mlir;
using namespace moe::codegen;
using namespace moe::codegen::cuda;

LogicalResult moe::codegen::cuda::emitProject(const Emission &emission,
                                              const ProjectOperands &operands) {
  if (failed(check(emission.loc, operands)))
    return failure();
  return emitGemm(emission, "project", "project",
                  {operands.x, operands.weight, operands.y});
}
