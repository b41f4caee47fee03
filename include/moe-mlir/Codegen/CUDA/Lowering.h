//===- Lowering.h - From CUDA kernels to PTX and machine code ---*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_CODEGEN_CUDA_LOWERING_H
#define MOE_MLIR_CODEGEN_CUDA_LOWERING_H

#include "moe-mlir/Codegen/CUDA/Target.h"

#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/Pass/Pass.h"
#include "mlir/Pass/PassManager.h"
#include "llvm/ADT/SmallVector.h"
#include <string>

namespace moe::codegen::cuda {

#define GEN_PASS_DECL
#include "moe-mlir/Codegen/CUDA/Passes.h.inc"
#define GEN_PASS_REGISTRATION
#include "moe-mlir/Codegen/CUDA/Passes.h.inc"

/// Registers the dialects that emitting, lowering and translating kernels need.
void registerDialects(mlir::DialectRegistry &registry);

/// Adds the passes that take the kernels of a module, as CUDA.h emits them, to
/// the LLVM and NVVM dialects. They run on every `gpu.module` and touch nothing
/// else.
void buildKernelLoweringPipeline(mlir::OpPassManager &pm);

/// Translates lowered kernels with LLVM's NVPTX back end and optimizes them.
/// Errors are emitted at `kernels`.
llvm::LogicalResult compileToPTX(mlir::gpu::GPUModuleOp kernels,
                                 const Target &target, std::string &ptx);

/// Machine code for one architecture.
struct Cubin {
  llvm::SmallVector<char, 0> code;
  /// What ptxas said with -v: registers, spills and warnings of every kernel.
  std::string messages;
};

/// ptxas on the PATH, in $CUDA_HOME/bin or in /usr/local/cuda/bin; empty if it
/// is nowhere.
std::string findPtxas();

/// Assembles PTX with ptxas. An error if there is no ptxas (the driver takes
/// PTX as well), or with its messages if it fails.
llvm::Expected<Cubin> compileToCubin(llvm::StringRef ptx, const Target &target);

} // namespace moe::codegen::cuda

#endif // MOE_MLIR_CODEGEN_CUDA_LOWERING_H
