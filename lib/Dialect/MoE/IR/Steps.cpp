//===- Steps.cpp - The steps of phases, and fused phases ------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Verify.h"

using namespace mlir;
using namespace moe;
using namespace moe::verifying;

//===----------------------------------------------------------------------===//
// Verifiers
//===----------------------------------------------------------------------===//

LogicalResult DispatchPlanOp::verify() {
  Size r, localExperts, pairs, mapped, k = fixed();
  // moe.dispatch_plan C1, C2
  if (failed(checkShape(*this, "ids", getIds(), {r, k})) ||
      failed(checkShape(*this, "map", getMap(), {mapped})) ||
      failed(checkShape(*this, "offsets", getOffsets(), {localExperts + 1})) ||
      failed(checkShape(*this, "pair_rows", getPairRows(), {r, k})))
    return failure();
  if (r.isKnown())
    pairs.value = r.value * k.value;
  return checkShape(*this, "source_rows", getSourceRows(), {pairs});
}

LogicalResult ExpertMapOp::verify() {
  // moe.expert_map C1
  return checkShape(*this, "map", getMap(), {getPlacement().getExperts()});
}

LogicalResult SendPlanOp::verify() {
  Size t, s, k = fixed();
  int64_t ranks = getPlacement().getRanks();
  // moe.send_plan C1, C3
  if (failed(checkShape(*this, "ids", getIds(), {t, k})) ||
      failed(checkShape(*this, "counts", getCounts(), {ranks})) ||
      failed(checkShape(*this, "rows", getRows(), {s})) ||
      failed(checkShape(*this, "positions", getPositions(), {t, k})))
    return failure();
  // moe.send_plan C2
  if (!t.isKnown() || !s.isKnown())
    return success();
  return checkAtLeast(*this, "rows", s.value,
                      t.value * std::min(k.value, ranks));
}

LogicalResult BatchedSendPlanOp::verify() {
  Size t, k = fixed();
  int64_t experts = getPlacement().getExperts();
  // moe.batched_send_plan C1
  if (failed(checkAtLeast(*this, "capacity", getCapacity(), 1)))
    return failure();
  int64_t rows = experts * getCapacity();
  // moe.batched_send_plan C2, C3
  return failure(
      failed(checkShape(*this, "ids", getIds(), {t, k})) ||
      failed(checkShape(*this, "weights", getWeights(), {t, k})) ||
      failed(checkShape(*this, "counts", getCounts(), {experts})) ||
      failed(checkShape(*this, "rows", getRows(), {rows})) ||
      failed(checkShape(*this, "row_weights", getRowWeights(), {rows, 1})) ||
      failed(checkShape(*this, "positions", getPositions(), {t, k})));
}

LogicalResult BatchedPlanOp::verify() {
  Size localExperts, counts, rows;
  // moe.batched_plan C1
  if (failed(checkAtLeast(*this, "ranks", getRanks(), 1)) ||
      failed(checkAtLeast(*this, "capacity", getCapacity(), 1)) ||
      failed(checkShape(*this, "offsets", getOffsets(), {localExperts + 1})))
    return failure();
  // moe.batched_plan C2
  if (localExperts.isKnown())
    counts.value = localExperts.value * getRanks();
  if (failed(checkShape(*this, "counts", getCounts(), {counts})))
    return failure();
  if (counts.isKnown())
    rows.value = counts.value * getCapacity();
  return failure(
      failed(checkShape(*this, "source_rows", getSourceRows(), {rows})) ||
      failed(checkShape(*this, "pair_rows", getPairRows(), {rows, 1})));
}

LogicalResult GatherRowsOp::verify() {
  Size t, s, a = fixed();
  // moe.gather_rows C1, C3
  if (failed(checkShape(*this, "from", getFrom(), {t, a})) ||
      failed(checkShape(*this, "rows", getRows(), {s})) ||
      failed(checkShape(*this, "to", getTo(), {s, a})))
    return failure();
  // moe.gather_rows C2
  return checkElementType(*this, "to", getTo(),
                          getFrom().getType().getElementType());
}

LogicalResult ClearIdsOp::verify() {
  Size r, k = fixed();
  // moe.clear_ids C1
  return checkShape(*this, "ids", getIds(), {r, k});
}

//===----------------------------------------------------------------------===//
// Fused phases
//===----------------------------------------------------------------------===//

LogicalResult FusedOp::verify() {
  Block &body = getBody().front();
  // moe.fused C1
  if (llvm::range_size(body) < 2)
    return emitOpError("expected at least 2 phases but got ")
           << llvm::range_size(body);
  llvm::SmallDenseSet<Value> written;
  for (Operation &op : body) {
    auto phase = dyn_cast<DestinationStyleOpInterface>(op);
    if (!phase || !isa<PhaseOpInterface>(op))
      return op.emitOpError("expected a phase in 'moe.fused'");
    if (op.getNumResults() != 0)
      return op.emitOpError("expected a phase on buffers in 'moe.fused'");
    auto collective = dyn_cast<schedule::CollectiveOpInterface>(op);
    if (collective && !collective.getCommunicatorName().empty())
      return op.emitOpError("expected a phase of this rank alone in "
                            "'moe.fused' but it exchanges over '")
             << collective.getCommunicatorName() << "'";
    // moe.fused C2
    for (OpOperand &operand : op.getOpOperands()) {
      auto argument = dyn_cast<BlockArgument>(operand.get());
      if (!argument || argument.getOwner() != &body)
        continue;
      bool isWrite = phase.isDpsInit(&operand);
      if (isWrite != written.insert(argument).second)
        return op.emitOpError("expected argument #")
               << argument.getArgNumber() << " of 'moe.fused' to be written "
               << (isWrite ? "once" : "before it is read");
    }
  }
  return success();
}

std::string FusedOp::getOpNames() {
  return llvm::join(llvm::map_range(getBody().front(),
                                    [](Operation &op) {
                                      return op.getName().getStringRef();
                                    }),
                    "+");
}

StringRef FusedOp::getPhaseName() {
  std::string name =
      llvm::join(llvm::map_range(getBody().front().getOps<PhaseOpInterface>(),
                                 [](PhaseOpInterface phase) {
                                   return phase.getPhaseName();
                                 }),
                 "+");
  // The context keeps it.
  return StringAttr::get(getContext(), name).getValue();
}

void FusedOp::getEffects(
    SmallVectorImpl<SideEffects::EffectInstance<MemoryEffects::Effect>>
        &effects) {
  Block &body = getBody().front();
  for (auto phase : body.getOps<MemoryEffectOpInterface>()) {
    SmallVector<MemoryEffects::EffectInstance> ofPhase;
    phase.getEffects(ofPhase);
    llvm::copy_if(ofPhase, std::back_inserter(effects),
                  [&](const MemoryEffects::EffectInstance &effect) {
                    auto argument =
                        dyn_cast_or_null<BlockArgument>(effect.getValue());
                    return !argument || argument.getOwner() != &body;
                  });
  }
}
