//===- Bufferization.cpp - Phases from tensors to buffers -----------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// All phases bufferize alike, as ops in destination style. Their steps have the
// same effects.
//
//===----------------------------------------------------------------------===//

#include "moe-mlir/Dialect/MoE/IR/MoE.h"
#include "moe-mlir/Dialect/Schedule/IR/DestinationStyle.h"

using namespace mlir;
using namespace mlir::bufferization;
using namespace moe;

static void getPhaseEffects(
    DestinationStyleOpInterface op,
    SmallVectorImpl<SideEffects::EffectInstance<MemoryEffects::Effect>>
        &effects) {
  for (OpOperand &operand : op->getOpOperands()) {
    if (!isa<BaseMemRefType>(operand.get().getType()))
      continue;
    if (op.isDpsInit(&operand))
      effects.emplace_back(MemoryEffects::Write::get(), &operand, /*stage=*/0,
                           /*effectOnFullRegion=*/true,
                           SideEffects::DefaultResource::get());
    else
      effects.emplace_back(MemoryEffects::Read::get(), &operand);
  }
}

#define MOE_PHASE(OP)                                                          \
  bool OP::bufferizesToMemoryRead(OpOperand &operand, const AnalysisState &) { \
    return !isDpsInit(&operand);                                               \
  }                                                                            \
  bool OP::bufferizesToMemoryWrite(OpOperand &operand,                         \
                                   const AnalysisState &) {                    \
    return isDpsInit(&operand);                                                \
  }                                                                            \
  AliasingValueList OP::getAliasingValues(OpOperand &operand,                  \
                                          const AnalysisState &) {             \
    return schedule::getAliasesOfInit(*this, operand);                         \
  }                                                                            \
  LogicalResult OP::bufferize(RewriterBase &rewriter,                          \
                              const BufferizationOptions &options,             \
                              BufferizationState &state) {                     \
    return schedule::bufferizeDestinationStyle(*this, rewriter, options,       \
                                               state);                         \
  }                                                                            \
  void OP::getEffects(                                                         \
      SmallVectorImpl<SideEffects::EffectInstance<MemoryEffects::Effect>>      \
          &effects) {                                                          \
    getPhaseEffects(*this, effects);                                           \
  }

MOE_PHASE(GateOp)
MOE_PHASE(RouteOp)
MOE_PHASE(ExpertLoadOp)
MOE_PHASE(DispatchOp)
MOE_PHASE(ExpertsOp)
MOE_PHASE(CombineOp)
MOE_PHASE(SharedExpertsOp)
MOE_PHASE(ProjectOp)
MOE_PHASE(MergeOp)
#undef MOE_PHASE

#define MOE_STEP(OP)                                                           \
  void OP::getEffects(                                                         \
      SmallVectorImpl<SideEffects::EffectInstance<MemoryEffects::Effect>>      \
          &effects) {                                                          \
    getPhaseEffects(*this, effects);                                           \
  }

MOE_STEP(DispatchPlanOp)
MOE_STEP(ExpertMapOp)
MOE_STEP(SendPlanOp)
MOE_STEP(BatchedSendPlanOp)
MOE_STEP(BatchedPlanOp)
MOE_STEP(GatherRowsOp)
MOE_STEP(ClearIdsOp)
#undef MOE_STEP
