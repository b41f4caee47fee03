//===- CUDA.h - Kernels of phases on NVIDIA GPUs ----------------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The table of the phases, and of their steps, that have kernels on NVIDIA
// GPUs. A row emits the kernels that its op needs into `gpu.module @kernels` of
// the module, and the `schedule.launch`es that run them where the op stands. A
// kernel is an `llvm.func` in scf, arith, llvm and nvvm whose parameters are
// those of the launch's `#schedule.gpu`. Kernels with the same types,
// parameters and tile shape are emitted once per module.
//
// Which variant runs may depend on T: then the launches stand in an `scf.if`
// on the host, so that nothing waits for the device. What depends on the counts
// of experts is decided on the device.
//
// Numerics: for one number of rows the value of an output element depends on
// its operands' values alone, never on the block, the stream or the schedule;
// no atomics add floating-point numbers.
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_CODEGEN_CUDA_CUDA_H
#define MOE_MLIR_CODEGEN_CUDA_CUDA_H

#include "moe-mlir/Codegen/CUDA/Target.h"
#include "moe-mlir/Codegen/KernelTable.h"

#include "mlir/IR/Builders.h"
#include "mlir/IR/BuiltinAttributes.h"
#include "mlir/IR/BuiltinOps.h"

namespace moe::codegen::cuda {

/// What users call this target.
inline constexpr llvm::StringLiteral kTargetName = "cuda";

/// The name of the `gpu.module` that holds all kernels.
inline constexpr llvm::StringLiteral kKernelModuleName = "kernels";

/// Where a phase is emitted. `builder` stands in the `schedule.run` and
/// receives launches and the arithmetic of their grids; `scratch` the
/// allocations of temporaries (`memref.alloc`) and their sizes, at the
/// function's entry.
struct Emission {
  mlir::ModuleOp module;
  const Target &target;
  mlir::Location loc;
  mlir::OpBuilder &builder;
  mlir::OpBuilder &scratch;
  /// Tiles that are given, by the labels of products; null where none is. The
  /// others are chosen.
  mlir::DictionaryAttr gemmTiles = {};
};

/// The kernels of this target.
const KernelTable<Emission> &getKernels();

} // namespace moe::codegen::cuda

#endif // MOE_MLIR_CODEGEN_CUDA_CUDA_H
