//===- Bufferization.cpp - Phases from tensors to buffers -----------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// All phases bufferize alike: inputs are read, inits are written and never
// read, every result is its init. That inits are write-only is what lets two
// phases' buffers be told apart without copies. Their steps have the same
// effects.
//
//===----------------------------------------------------------------------===//

#include "moe-mlir/Dialect/MoE/IR/MoE.h"

using namespace mlir;
using namespace mlir::bufferization;
using namespace moe;

static AliasingValueList getPhaseAliases(DestinationStyleOpInterface op,
                                         OpOperand &operand) {
  if (op.isDpsInit(&operand))
    return {{op.getTiedOpResult(&operand), BufferRelation::Equivalent}};
  return {};
}

/// The properties of a phase that has none of its results.
static DictionaryAttr withoutResults(DictionaryAttr properties) {
  constexpr StringLiteral name = "resultSegmentSizes";
  NamedAttrList attributes(properties);
  auto sizes = dyn_cast_or_null<DenseI32ArrayAttr>(attributes.get(name));
  if (!sizes)
    return properties;
  MLIRContext *context = properties.getContext();
  attributes.set(name, DenseI32ArrayAttr::get(
                           context, SmallVector<int32_t>(sizes.size(), 0)));
  return attributes.getDictionary(context);
}

static LogicalResult bufferizePhase(DestinationStyleOpInterface op,
                                    RewriterBase &rewriter,
                                    const BufferizationOptions &options,
                                    BufferizationState &state) {
  SmallVector<Value> operands, results;
  for (OpOperand &operand : op->getOpOperands()) {
    if (!isa<TensorType>(operand.get().getType())) {
      operands.push_back(operand.get());
      continue;
    }
    FailureOr<Value> buffer =
        getBuffer(rewriter, operand.get(), options, state);
    if (failed(buffer))
      return failure();
    operands.push_back(*buffer);
    if (op.isDpsInit(&operand))
      results.push_back(*buffer);
  }
  // The op itself on buffers: segment sizes of operands and attributes stay.
  OperationState buffered(op.getLoc(), op->getName());
  buffered.addOperands(operands);
  buffered.propertiesAttr =
      withoutResults(cast<DictionaryAttr>(op->getPropertiesAsAttribute()));
  buffered.addAttributes(
      llvm::to_vector(op->getDiscardableAttrDictionary().getValue()));
  rewriter.setInsertionPoint(op);
  rewriter.create(buffered);
  replaceOpWithBufferizedValues(rewriter, op, results);
  return success();
}

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
    return getPhaseAliases(*this, operand);                                    \
  }                                                                            \
  LogicalResult OP::bufferize(RewriterBase &rewriter,                          \
                              const BufferizationOptions &options,             \
                              BufferizationState &state) {                     \
    return bufferizePhase(*this, rewriter, options, state);                    \
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
MOE_PHASE(AllReduceOp)
MOE_PHASE(AllGatherOp)
MOE_PHASE(ReduceScatterOp)
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
