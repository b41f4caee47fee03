//===- CPU.h - Kernels for the phases of a layer on the CPU -----*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The table of the phases, and of their steps, that have kernels on the CPU. A
// row emits the kernels that its op needs into the module, and the
// `schedule.launch`es that run them where the op stands. Kernels are
// `func.func`s over memrefs in upstream dialects; their GEMMs are linalg
// contractions that `moe-cpu-lower-row-contractions` turns into
// register-blocked vector code (Lowering.h has the way to machine code).
//
// A kernel is `(%block: index, reads..., writes..., scalars...) -> ()` and
// carries the unit attribute `schedule.kernel`. Its blocks 0 to grid - 1 may
// run in any order and in parallel. Kernels with the same types, parameters and
// target are emitted once per module.
//
// The value of an output element does not depend on T either.
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_CODEGEN_CPU_CPU_H
#define MOE_MLIR_CODEGEN_CPU_CPU_H

#include "moe-mlir/Codegen/CPU/Target.h"
#include "moe-mlir/Codegen/KernelTable.h"

#include "mlir/IR/Builders.h"
#include "mlir/IR/BuiltinOps.h"

namespace moe::codegen::cpu {

/// What users call this target.
inline constexpr llvm::StringLiteral kTargetName = "cpu";

/// Marks the functions that are kernels.
inline constexpr llvm::StringLiteral kKernelAttrName = "schedule.kernel";

/// Where a phase is emitted. `builder` stands in the `schedule.run` and
/// receives launches and the index arithmetic of their grids; `scratch` the
/// allocations of temporaries and their sizes, which live for the launches of
/// the phase. The two may be the same builder.
struct Emission {
  mlir::ModuleOp module;
  const Target &target;
  mlir::Location loc;
  mlir::OpBuilder &builder;
  mlir::OpBuilder &scratch;
};

/// The kernels of this target.
const KernelTable<Emission> &getKernels();

} // namespace moe::codegen::cpu

#endif // MOE_MLIR_CODEGEN_CPU_CPU_H
