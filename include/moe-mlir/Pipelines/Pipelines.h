//===- Pipelines.h - The named pipelines ------------------------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// From a function with `moe.layer`s to a verified schedule and on to calls of
// the runtime, for embedding in another compiler's pass manager. `moe-compile`
// and `moe-opt` run the same functions.
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_PIPELINES_PIPELINES_H
#define MOE_MLIR_PIPELINES_PIPELINES_H

#include "mlir/Pass/PassManager.h"
#include "mlir/Pass/PassOptions.h"
#include "llvm/Support/Error.h"

namespace moe {

/// Options of `--moe-schedule-pipeline`; they mean what the same options of
/// `--moe-schedule` mean.
struct SchedulePipelineOptions
    : mlir::PassPipelineOptions<SchedulePipelineOptions> {
  Option<std::string> target{*this, "target",
                             llvm::cl::desc("the target: cpu or cuda"),
                             llvm::cl::init("cpu")};
  Option<std::string> ruleSet{*this, "rule-set",
                              llvm::cl::desc("the rules that choose the order"),
                              llvm::cl::init("vllm")};
  Option<int64_t> threshold{
      *this, "token-threshold",
      llvm::cl::desc("the most tokens that overlap on the auxiliary stream"),
      llvm::cl::init(256)};
  Option<bool> disableSharedExpertsStream{
      *this, "disable-shared-experts-stream",
      llvm::cl::desc("never use the auxiliary stream"), llvm::cl::init(false)};
  Option<bool> monolithicKernel{
      *this, "monolithic-kernel",
      llvm::cl::desc("router, dispatch, experts and combine are one kernel"),
      llvm::cl::init(false)};
  Option<int64_t> staticNumTokens{
      *this, "static-num-tokens",
      llvm::cl::desc("the number of tokens; -1: decided at run time"),
      llvm::cl::init(-1)};
  Option<std::string> machine{
      *this, "machine",
      llvm::cl::desc("a machine model for rule set auto; empty: the target's"),
      llvm::cl::init("")};
  Option<int64_t> maxNumTokens{
      *this, "max-num-tokens",
      llvm::cl::desc("the most tokens per rank; -1: no bound"),
      llvm::cl::init(-1)};
};

/// Options of `--moe-compile-pipeline`.
struct CompilePipelineOptions : SchedulePipelineOptions {
  Option<std::string> cpu{
      *this, "cpu",
      llvm::cl::desc("the instruction set of target cpu, and of the code that "
                     "issues: host, or LLVM's name of a CPU"),
      llvm::cl::init("host")};
  Option<std::string> chip{*this, "chip",
                           llvm::cl::desc("the architecture of target cuda"),
                           llvm::cl::init("sm_90a")};
};

/// Level 1 to verified level 5: expansion into phases, bufferization, schedule,
/// proof.
void buildSchedulePipeline(mlir::OpPassManager &pm,
                           const SchedulePipelineOptions &options);

/// Verified level 5 to verified level 7: kernels, then all temporaries in one
/// workspace.
void buildKernelPipeline(mlir::OpPassManager &pm,
                         const CompilePipelineOptions &options);

/// The GPU kernels of level 7 to a `gpu.binary` of `format` "ptx", "cubin" or
/// "auto" (cubin where ptxas is found). Fails on an unknown architecture.
llvm::Error buildGPUKernelPipeline(mlir::OpPassManager &pm,
                                   const CompilePipelineOptions &options,
                                   llvm::StringRef format);

/// Verified level 7 to the LLVM dialect. Fails on an unknown instruction set
/// or architecture.
llvm::Error buildRuntimePipeline(mlir::OpPassManager &pm,
                                 const CompilePipelineOptions &options);

} // namespace moe

#endif // MOE_MLIR_PIPELINES_PIPELINES_H
