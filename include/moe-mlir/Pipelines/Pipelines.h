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

#include "moe-mlir/Support/CompileOptions.h"

#include "mlir/Pass/PassManager.h"
#include "mlir/Pass/PassOptions.h"

namespace moe {

/// The options of CompileOptions.def as those of `--moe-schedule-pipeline` and
/// `--moe-compile-pipeline`, for their textual form.
struct CompilePipelineOptions
    : mlir::PassPipelineOptions<CompilePipelineOptions> {
#define MOE_PASS_OPTION(NAME, TYPE, DEFAULT, PIPELINE, FLAG, GROUP, VALUES,    \
                        HELP)                                                  \
  Option<decltype(toPassOption(std::declval<TYPE>()))> NAME{                   \
      *this, PIPELINE, llvm::cl::desc(HELP),                                   \
      llvm::cl::init(toPassOption(CompileOptions().NAME))};
#include "moe-mlir/Support/CompileOptions.def"

  CompileOptions get() const;
};

/// Level 1 to level 2: the phases of each layer, for the number of tokens that
/// is asked for.
void buildExpansionPipeline(mlir::OpPassManager &pm,
                            const CompileOptions &options);

/// Level 1 to verified level 5: expansion into phases, bufferization, schedule,
/// proof.
void buildSchedulePipeline(mlir::OpPassManager &pm,
                           const CompileOptions &options);

/// Verified level 5 to verified level 7: kernels, then all temporaries in one
/// workspace.
void buildKernelPipeline(mlir::OpPassManager &pm,
                         const CompileOptions &options);

/// The GPU kernels of level 7 to a `gpu.binary` of `format` "ptx", "cubin" or
/// "auto" (cubin where ptxas is found).
void buildGPUKernelPipeline(mlir::OpPassManager &pm,
                            const CompileOptions &options,
                            llvm::StringRef format);

/// Verified level 7 to the LLVM dialect.
void buildRuntimePipeline(mlir::OpPassManager &pm,
                          const CompileOptions &options);

/// Level 1 to the LLVM dialect: all of the above.
void buildCompilePipeline(mlir::OpPassManager &pm,
                          const CompileOptions &options);

} // namespace moe

#endif // MOE_MLIR_PIPELINES_PIPELINES_H
