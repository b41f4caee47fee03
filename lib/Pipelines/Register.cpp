//===- Register.cpp - All dialects, passes and pipelines ------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moe-mlir/Pipelines/Register.h"

#include "moe-mlir/Dialect/MoE/IR/MoE.h"
#include "moe-mlir/Dialect/Schedule/IR/Schedule.h"
#include "moe-mlir/Transforms/Passes.h"

void moe::registerDialects(mlir::DialectRegistry &registry) {
  registry.insert<MoEDialect, schedule::ScheduleDialect>();
}

void moe::registerPasses() {
  registerTransformsPasses();
  registerTransformsPipelines();
}
