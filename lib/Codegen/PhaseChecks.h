//===- PhaseChecks.h - What operands of phases have to be -------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Every generator of every target begins with these checks of what Phases.h
// says. Errors are emitted at `loc` and name the operand.
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_LIB_CODEGEN_PHASECHECKS_H
#define MOE_MLIR_LIB_CODEGEN_PHASECHECKS_H

#include "moe-mlir/Codegen/Phases.h"

#include "mlir/IR/Location.h"
#include "llvm/Support/LogicalResult.h"

namespace moe::codegen {

llvm::LogicalResult check(mlir::Location loc, const GateOperands &operands);
llvm::LogicalResult check(mlir::Location loc, const RouteOperands &operands,
                          const RoutingParams &params);
llvm::LogicalResult check(mlir::Location loc,
                          const ExpertLoadOperands &operands);
llvm::LogicalResult check(mlir::Location loc,
                          const DispatchPlanOperands &operands);
llvm::LogicalResult check(mlir::Location loc, const ExpertMapOperands &operands,
                          const PlacementParams &params);
llvm::LogicalResult check(mlir::Location loc, const SendPlanOperands &operands,
                          const PlacementParams &params);
llvm::LogicalResult check(mlir::Location loc,
                          const BatchedSendPlanOperands &operands,
                          const PlacementParams &params, int64_t capacity);
llvm::LogicalResult check(mlir::Location loc,
                          const BatchedPlanOperands &operands, int64_t ranks,
                          int64_t capacity);
llvm::LogicalResult check(mlir::Location loc,
                          const GatherRowsOperands &operands);
llvm::LogicalResult check(mlir::Location loc, const ExpertsOperands &operands,
                          const ActivationParams &params);
llvm::LogicalResult check(mlir::Location loc, const CombineOperands &operands);
llvm::LogicalResult check(mlir::Location loc,
                          const SharedExpertsOperands &operands,
                          const ActivationParams &params);
llvm::LogicalResult check(mlir::Location loc, const ProjectOperands &operands);
llvm::LogicalResult check(mlir::Location loc, const MergeOperands &operands);

} // namespace moe::codegen

#endif // MOE_MLIR_LIB_CODEGEN_PHASECHECKS_H
