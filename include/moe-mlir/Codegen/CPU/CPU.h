//===- CPU.h - Kernels for the phases of a layer on the CPU -----*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// One function per phase of a bufferized MoE layer. Each emits the kernels
// that the phase needs into the module and returns the launches that run them,
// in order. Kernels are `func.func`s over memrefs in upstream dialects; their
// GEMMs are linalg contractions that `moe-cpu-lower-row-contractions` turns
// into register-blocked vector code (Lowering.h has the way to machine code).
//
// A kernel is `(%block: index, reads..., writes..., scalars...) -> ()` and
// carries the unit attribute `schedule.kernel`. Its blocks 0 to grid - 1 may
// run in any order and in parallel. Kernels with the same types, parameters and
// target are emitted once per module.
//
// Operands and parameters: Phases.h. The value of an output element does not
// depend on T either.
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_CODEGEN_CPU_CPU_H
#define MOE_MLIR_CODEGEN_CPU_CPU_H

#include "moe-mlir/Codegen/CPU/Target.h"
#include "moe-mlir/Codegen/Phases.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/BuiltinOps.h"

namespace moe::codegen::cpu {

/// Marks the functions that are kernels.
inline constexpr llvm::StringLiteral kKernelAttrName = "schedule.kernel";

/// One launch of `grid` blocks of a kernel. The kernel's arguments after the
/// block are `reads` and then `writes`; it touches no other memory, and no
/// buffer is in both.
struct Launch {
  mlir::func::FuncOp kernel;
  /// What traces and errors show, such as "experts.up".
  std::string label;
  llvm::SmallVector<mlir::Value> reads;
  llvm::SmallVector<mlir::Value> writes;
  /// Number of blocks, of index type.
  mlir::Value grid;
  /// Of index type; the kernel's last arguments.
  llvm::SmallVector<mlir::Value> scalars = {};
};

/// Where a phase is emitted. `builder` receives the index arithmetic of the
/// grids; `scratch` the allocations of temporaries and their sizes, which
/// live for the launches of the phase. The two may be the same builder.
struct Emission {
  mlir::ModuleOp module;
  Target target;
  mlir::Location loc;
  mlir::OpBuilder &builder;
  mlir::OpBuilder &scratch;
};

using Launches = llvm::FailureOr<llvm::SmallVector<Launch>>;

Launches lowerGate(const Emission &emission, const GateOperands &operands);
Launches lowerRoute(const Emission &emission, const RouteOperands &operands,
                    const RoutingParams &params);
Launches lowerExpertLoad(const Emission &emission,
                         const ExpertLoadOperands &operands);
Launches lowerDispatchPlan(const Emission &emission,
                           const DispatchPlanOperands &operands);
Launches lowerExpertMap(const Emission &emission,
                        const ExpertMapOperands &operands,
                        const PlacementParams &params);
Launches lowerSendPlan(const Emission &emission,
                       const SendPlanOperands &operands,
                       const PlacementParams &params);
Launches lowerBatchedSendPlan(const Emission &emission,
                              const BatchedSendPlanOperands &operands,
                              const PlacementParams &params, int64_t capacity);
Launches lowerBatchedPlan(const Emission &emission,
                          const BatchedPlanOperands &operands, int64_t ranks,
                          int64_t capacity);
Launches lowerGatherRows(const Emission &emission,
                         const GatherRowsOperands &operands);
/// Ids [R, k] i32 that are of no expert.
Launches lowerClearIds(const Emission &emission, mlir::Value ids);
/// Two launches; a block of an expert without rows returns at once. Scratch:
/// [P, I] of the rows' type.
Launches lowerExperts(const Emission &emission, const ExpertsOperands &operands,
                      const ActivationParams &params);
Launches lowerCombine(const Emission &emission, const CombineOperands &operands,
                      double scale);
/// Two launches (three with a gate). Scratch: [T, S] of x's type, [T, 1] f32.
Launches lowerSharedExperts(const Emission &emission,
                            const SharedExpertsOperands &operands,
                            const ActivationParams &params);
Launches lowerProject(const Emission &emission,
                      const ProjectOperands &operands);
Launches lowerMerge(const Emission &emission, const MergeOperands &operands);

} // namespace moe::codegen::cpu

#endif // MOE_MLIR_CODEGEN_CPU_CPU_H
