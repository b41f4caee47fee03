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

void moe::buildSchedulePipeline(OpPassManager &pm,
                                const SchedulePipelineOptions &options) {
  // What depends on a known number of tokens folds in all that follows.
  MoEFixNumTokensOptions fix;
  fix.numTokens = options.staticNumTokens;
  pm.addNestedPass<func::FuncOp>(createMoEFixNumTokens(fix));
  // A layer's phases become visible.
  MoEExpandLayerOptions expand;
  expand.maxNumTokens = options.maxNumTokens;
  pm.addNestedPass<func::FuncOp>(createMoEExpandLayer(expand));
  // Overlap is a question about buffers, so buffers come before the schedule.
  buildBufferizePipeline(pm);
  // Streams, order and events.
  MoEScheduleOptions schedule;
  schedule.ruleSet = options.ruleSet;
  schedule.target = options.target;
  schedule.threshold = options.threshold;
  schedule.disableSharedExpertsStream = options.disableSharedExpertsStream;
  schedule.monolithicKernel = options.monolithicKernel;
  schedule.staticNumTokens = options.staticNumTokens;
  schedule.machine = options.machine;
  pm.addNestedPass<func::FuncOp>(createMoESchedule(schedule));
  // Nothing goes on that is not proven.
  pm.addPass(createScheduleVerify());
}

void moe::buildKernelPipeline(OpPassManager &pm,
                              const CompilePipelineOptions &options) {
  // What moves between ranks becomes steps on buffers, in the runs.
  pm.addNestedPass<func::FuncOp>(createMoELowerExchanges());
  // Phases become one where the target has one kernel for them.
  MoEFusePhasesOptions fusions;
  fusions.target = options.target;
  pm.addNestedPass<func::FuncOp>(createMoEFusePhases(fusions));
  // Steps and fused phases are work like any other: they are proven, too.
  pm.addPass(createScheduleVerify());
  MoEGenerateKernelsOptions kernels;
  kernels.target = options.target;
  kernels.cpu = options.cpu;
  kernels.chip = options.chip;
  pm.addPass(createMoEGenerateKernels(kernels));
  // Kernels declare their buffers themselves: their declarations are proven
  // too.
  pm.addPass(createScheduleVerify());
  // Slots share memory where the schedule allows it, and that is proven from
  // the table of slots.
  pm.addPass(createPlanWorkspace());
  pm.addPass(createScheduleVerify());
}

llvm::Error moe::buildGPUKernelPipeline(OpPassManager &pm,
                                        const CompilePipelineOptions &options,
                                        StringRef format) {
  llvm::Expected<codegen::cuda::Target> target =
      codegen::cuda::Target::parse(options.chip);
  if (!target)
    return target.takeError();
  codegen::cuda::buildKernelLoweringPipeline(pm, *target);
  codegen::cuda::CompileKernelsOptions compile;
  compile.chip = options.chip;
  compile.format = format.str();
  pm.addPass(codegen::cuda::createCompileKernels(compile));
  return llvm::Error::success();
}

/// Adds what takes the kernels of a target to the form that launches of the
/// runtime need.
static llvm::Error
buildKernelCodePipeline(OpPassManager &pm,
                        const CompilePipelineOptions &options) {
  if (options.target == "cuda")
    return buildGPUKernelPipeline(pm, options, "auto");
  llvm::Expected<codegen::cpu::Target> target =
      codegen::cpu::Target::parse(options.cpu);
  if (!target)
    return target.takeError();
  codegen::cpu::buildKernelEntryPipeline(pm, *target);
  return llvm::Error::success();
}

llvm::Error moe::buildRuntimePipeline(OpPassManager &pm,
                                      const CompilePipelineOptions &options) {
  if (llvm::Error error = buildKernelCodePipeline(pm, options))
    return error;
  pm.addPass(createConvertScheduleToRuntime());
  codegen::cpu::buildToLLVMPipeline(pm);
  return llvm::Error::success();
}
