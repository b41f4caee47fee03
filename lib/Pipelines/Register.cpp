//===- Register.cpp - All dialects, passes and pipelines ------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moe-mlir/Pipelines/Register.h"

#include "moe-mlir/Codegen/CPU/Lowering.h"
#include "moe-mlir/Codegen/CUDA/Lowering.h"
#include "moe-mlir/Conversion/Passes.h"
#include "moe-mlir/Dialect/MoE/IR/MoE.h"
#include "moe-mlir/Dialect/Schedule/IR/Schedule.h"
#include "moe-mlir/Pipelines/Pipelines.h"
#include "moe-mlir/Transforms/Passes.h"

#include "mlir/Dialect/Arith/Transforms/BufferizableOpInterfaceImpl.h"
#include "mlir/Dialect/Bufferization/Transforms/FuncBufferizableOpInterfaceImpl.h"
#include "mlir/Dialect/MemRef/Transforms/AllocationOpInterfaceImpl.h"
#include "mlir/Dialect/SCF/Transforms/BufferizableOpInterfaceImpl.h"
#include "mlir/Dialect/Tensor/Transforms/BufferizableOpInterfaceImpl.h"

using namespace mlir;

void moe::registerDialects(DialectRegistry &registry) {
  registry.insert<MoEDialect, schedule::ScheduleDialect>();
  codegen::cpu::registerDialects(registry);
  codegen::cuda::registerDialects(registry);
  arith::registerBufferizableOpInterfaceExternalModels(registry);
  bufferization::func_ext::registerBufferizableOpInterfaceExternalModels(
      registry);
  // Results become out parameters only if their allocations can be moved.
  memref::registerAllocationOpInterfaceExternalModels(registry);
  scf::registerBufferizableOpInterfaceExternalModels(registry);
  tensor::registerBufferizableOpInterfaceExternalModels(registry);
}

void moe::registerPasses() {
  registerTransformsPasses();
  registerTransformsPipelines();
  registerConversionPasses();
  codegen::cpu::registerMoECPUPasses();
  codegen::cuda::registerMoECUDAPasses();
  PassPipelineRegistration<CompilePipelineOptions>(
      "moe-schedule-pipeline",
      "moe.layer to a schedule that is proven free of races",
      [](OpPassManager &pm, const CompilePipelineOptions &options) {
        buildSchedulePipeline(pm, options.get());
      });
  PassPipelineRegistration<CompilePipelineOptions>(
      "moe-compile-pipeline",
      "moe.layer to the LLVM dialect, calling the runtime",
      [](OpPassManager &pm, const CompilePipelineOptions &options) {
        buildCompilePipeline(pm, options.get());
      });
}
