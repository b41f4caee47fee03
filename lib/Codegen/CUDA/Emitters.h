//===- Emitters.h - The functions of the table of kernels ------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Each emits the launches of an op, and the kernels that these need, where
// `emission` says. What an op computes, and of what shapes, its definition
// says. Errors are emitted at the op.
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_LIB_CODEGEN_CUDA_EMITTERS_H
#define MOE_MLIR_LIB_CODEGEN_CUDA_EMITTERS_H

#include "moe-mlir/Codegen/CUDA/CUDA.h"

namespace moe::codegen::cuda {

llvm::LogicalResult emitGate(GateOp op, const Emission &emission);
llvm::LogicalResult emitRoute(RouteOp op, const Emission &emission);
llvm::LogicalResult emitExpertLoad(ExpertLoadOp op, const Emission &emission);
llvm::LogicalResult emitDispatchPlan(DispatchPlanOp op,
                                     const Emission &emission);
llvm::LogicalResult emitExpertMap(ExpertMapOp op, const Emission &emission);
llvm::LogicalResult emitSendPlan(SendPlanOp op, const Emission &emission);
llvm::LogicalResult emitBatchedSendPlan(BatchedSendPlanOp op,
                                        const Emission &emission);
llvm::LogicalResult emitBatchedPlan(BatchedPlanOp op, const Emission &emission);
llvm::LogicalResult emitGatherRows(GatherRowsOp op, const Emission &emission);
llvm::LogicalResult emitClearIds(ClearIdsOp op, const Emission &emission);
llvm::LogicalResult emitExperts(ExpertsOp op, const Emission &emission);
llvm::LogicalResult emitCombine(CombineOp op, const Emission &emission);
llvm::LogicalResult emitSharedExperts(SharedExpertsOp op,
                                      const Emission &emission);
llvm::LogicalResult emitProject(ProjectOp op, const Emission &emission);
llvm::LogicalResult emitMerge(MergeOp op, const Emission &emission);
/// The two in one launch, without a buffer between them.
llvm::LogicalResult emitCombineMerge(CombineOp combine, MergeOp merge,
                                     const Emission &emission);

} // namespace moe::codegen::cuda

#endif // MOE_MLIR_LIB_CODEGEN_CUDA_EMITTERS_H
