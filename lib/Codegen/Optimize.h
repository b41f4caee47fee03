//===- Optimize.h - LLVM's optimizations of generated code ------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_LIB_CODEGEN_OPTIMIZE_H
#define MOE_MLIR_LIB_CODEGEN_OPTIMIZE_H

#include "llvm/IR/Module.h"
#include "llvm/Passes/PassBuilder.h"
#include "llvm/Target/TargetMachine.h"

namespace moe::codegen {

/// Runs LLVM's default pipeline at O3 for `machine`.
void optimize(llvm::Module &module, llvm::TargetMachine &machine,
              const llvm::PipelineTuningOptions &tuning = {});

} // namespace moe::codegen

#endif // MOE_MLIR_LIB_CODEGEN_OPTIMIZE_H
