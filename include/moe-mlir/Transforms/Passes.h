//===- Passes.h - From layers to verified schedules -------------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_TRANSFORMS_PASSES_H
#define MOE_MLIR_TRANSFORMS_PASSES_H

#include "moe-mlir/Dialect/Schedule/IR/Schedule.h"
#include "moe-mlir/Support/CompileOptions.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/Interfaces/FunctionInterfaces.h"
#include "mlir/Pass/Pass.h"

namespace mlir {
class OpPassManager;
} // namespace mlir

namespace moe {

#define GEN_PASS_DECL
#include "moe-mlir/Transforms/Passes.h.inc"

#define GEN_PASS_REGISTRATION
#include "moe-mlir/Transforms/Passes.h.inc"

/// --moe-explain, printing on `os`, which outlives the pass.
std::unique_ptr<mlir::Pass> createMoEExplain(const MoEExplainOptions &options,
                                             llvm::raw_ostream &os);

/// Level 2 to level 3: takes a module of phases on tensors to phases on
/// buffers. Every buffer is one allocation at the function's entry, tensor
/// results are trailing arguments that carry `bufferize.result`, and nothing is
/// copied.
void buildBufferizePipeline(mlir::OpPassManager &pm);

/// Registers the pipelines above with MLIR's command line.
void registerTransformsPipelines();

} // namespace moe

#endif // MOE_MLIR_TRANSFORMS_PASSES_H
