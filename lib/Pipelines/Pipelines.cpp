//===- Pipelines.cpp - The named pipelines --------------------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moe-mlir/Pipelines/Pipelines.h"

#include "moe-mlir/Codegen/CPU/Lowering.h"
#include "moe-mlir/Codegen/CUDA/Lowering.h"
#include "moe-mlir/Conversion/Passes.h"
#include "moe-mlir/Transforms/Passes.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Transforms/Passes.h"

using namespace mlir;
using namespace moe;

CompileOptions CompilePipelineOptions::get() const {
  CompileOptions options;
#define MOE_PASS_OPTION(NAME, TYPE, DEFAULT, PIPELINE, FLAG, GROUP, VALUES,    \
                        HELP)                                                  \
  options.NAME = fromPassOption<TYPE>(NAME.getValue());
#include "moe-mlir/Support/CompileOptions.def"
  return options;
}

void moe::buildSchedulePipeline(OpPassManager &pm,
                                const CompileOptions &options) {
  buildExpansionPipeline(pm, options);
  // Overlap is a question about buffers, so buffers come before the schedule.
  buildBufferizePipeline(pm);
  // Streams, order and events.
  pm.addNestedPass<func::FuncOp>(
      createMoESchedule(getPassOptions<MoEScheduleOptions>(options)));
  // Nothing goes on that is not proven.
  pm.addPass(createScheduleVerify());
}

void moe::buildExpansionPipeline(OpPassManager &pm,
                                 const CompileOptions &options) {
  // What depends on a known number of tokens folds in all that follows.
  pm.addNestedPass<func::FuncOp>(
      createMoEFixNumTokens(getPassOptions<MoEFixNumTokensOptions>(options)));
  // A layer's phases become visible.
  pm.addNestedPass<func::FuncOp>(
      createMoEExpandLayer(getPassOptions<MoEExpandLayerOptions>(options)));
}

void moe::buildKernelPipeline(OpPassManager &pm,
                              const CompileOptions &options) {
  // What moves between ranks becomes steps on buffers, in the runs.
  pm.addNestedPass<func::FuncOp>(createMoELowerExchanges());
  // Phases become one where the target has one kernel for them.
  pm.addNestedPass<func::FuncOp>(
      createMoEFusePhases(getPassOptions<MoEFusePhasesOptions>(options)));
  // Steps and fused phases are work like any other: they are proven, too.
  pm.addPass(createScheduleVerify());
  pm.addPass(createMoEGenerateKernels(
      getPassOptions<MoEGenerateKernelsOptions>(options)));
  // Kernels declare their buffers themselves: their declarations are proven
  // too.
  pm.addPass(createScheduleVerify());
  // Slots share memory where the schedule allows it, and that is proven from
  // the table of slots.
  pm.addPass(createPlanWorkspace());
  pm.addPass(createScheduleVerify());
}

void moe::buildGPUKernelPipeline(OpPassManager &pm,
                                 const CompileOptions &options,
                                 StringRef format) {
  codegen::cuda::buildKernelLoweringPipeline(pm);
  auto compile = getPassOptions<codegen::cuda::CompileKernelsOptions>(options);
  compile.format = format.str();
  pm.addPass(codegen::cuda::createCompileKernels(compile));
}

void moe::buildRuntimePipeline(OpPassManager &pm,
                               const CompileOptions &options) {
  // The kernels of the target, in the form that launches of the runtime need.
  if (options.target == "cuda")
    buildGPUKernelPipeline(pm, options, "auto");
  else
    codegen::cpu::buildKernelEntryPipeline(pm, options.cpu);
  pm.addPass(createConvertScheduleToRuntime());
  codegen::cpu::buildToLLVMPipeline(pm);
}

void moe::buildCompilePipeline(OpPassManager &pm,
                               const CompileOptions &options) {
  buildSchedulePipeline(pm, options);
  buildKernelPipeline(pm, options);
  buildRuntimePipeline(pm, options);
}
