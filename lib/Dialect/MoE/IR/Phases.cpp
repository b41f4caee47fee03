//===- Phases.cpp - The phases of a layer ---------------------------------===//
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

#define GET_OP_CLASSES
#include "moe-mlir/Dialect/MoE/IR/MoEOps.cpp.inc"

//===----------------------------------------------------------------------===//
// Verifiers
//===----------------------------------------------------------------------===//

static Type getElementType(Value value) {
  return cast<ShapedType>(value.getType()).getElementType();
}

/// Rows of an expert's first weight per unit of I.
static int64_t getFirstWeightFactor(ActivationAttr activation) {
  return activation.isGated() ? 2 : 1;
}

LogicalResult GateOp::verify() {
  Size t, e, h = fixed();
  // moe.gate C1, C3
  if (failed(checkShape(*this, "x", getX(), {t, h})) ||
      failed(checkShape(*this, "weight", getWeight(), {e, h})) ||
      failed(checkShape(*this, "bias", getBias(), {e})) ||
      failed(checkShape(*this, "logits", getInit(), {t, e})))
    return failure();
  // moe.gate C2
  if (getElementType(getWeight()).isF32())
    return success();
  return checkElementType(*this, "weight", getWeight(), getElementType(getX()));
}

LogicalResult RouteOp::verify() {
  Size t, e, replicas;
  int64_t topK = getRouting().getTopK();
  // moe.route C1
  if (failed(checkShape(*this, "logits", getLogits(), {t, e})) ||
      failed(checkShape(*this, "correction_bias", getCorrectionBias(), {e})) ||
      failed(checkShape(*this, "ids", getIdsInit(), {t, topK})) ||
      failed(checkShape(*this, "weights", getWeightsInit(), {t, topK})))
    return failure();
  // moe.route C2
  if (failed(checkChoice(*this, getRouting(), e.value)))
    return failure();
  // moe.route C3
  if (failed(checkTogether(*this, "logical_to_physical", getLogicalToPhysical(),
                           "replica_count", getReplicaCount())) ||
      failed(checkShape(*this, "logical_to_physical", getLogicalToPhysical(),
                        {e, replicas})) ||
      failed(checkShape(*this, "replica_count", getReplicaCount(), {e})))
    return failure();
  if (getFirstRow() && !getReplicaCount())
    return emitOpError("expected 'first_row' only with 'replica_count' but got "
                       "it alone");
  return success();
}

LogicalResult ExpertLoadOp::verify() {
  Size t, k = fixed(), physical = fixed();
  // moe.expert_load C1, C2
  return failure(failed(checkShape(*this, "ids", getIds(), {t, k})) ||
                 failed(checkShape(*this, "load", getInit(), {physical})));
}

/// Whether what tells the way back is there exactly where `exchange`, which may
/// be null, needs it, and has the shapes [T, k] and [n].
static LogicalResult checkWayBack(Operation *op, ExchangeAttr exchange,
                                  Size tokens, Size choices, Value positions,
                                  Value sendCounts, Value receiveCounts) {
  Transport transport = exchange ? exchange.getTransport() : Transport::none;
  bool isCounted = transport == Transport::send_receive;
  bool isSent = isCounted || transport == Transport::batched;
  const std::tuple<StringRef, Value, bool> parts[] = {
      {"positions", positions, isSent},
      {"send_counts", sendCounts, isCounted},
      {"receive_counts", receiveCounts, isCounted}};
  for (auto [name, value, isNeeded] : parts)
    if (!value != !isNeeded)
      return op->emitOpError()
             << "expected '" << name << "' "
             << (isNeeded ? "with the exchange but got none"
                          : "only with an exchange that sends rows one by one")
             << ": '" << moe::name(transport) << "'";
  if (failed(checkShape(op, "positions", positions, {tokens, choices})))
    return failure();
  if (!isCounted)
    return success();
  int64_t ranks = exchange.getNumRanks();
  return failure(
      failed(checkShape(op, "send_counts", sendCounts, {ranks})) ||
      failed(checkShape(op, "receive_counts", receiveCounts, {ranks})));
}

LogicalResult DispatchOp::verify() {
  Size t, localExperts, pairs, r, k = fixed(), h = fixed();
  ExchangeAttr exchange = getExchangeAttr();
  // moe.dispatch C1, C6
  if (failed(checkShape(*this, "ids", getIds(), {t, k})) ||
      failed(checkShape(*this, "expert_offsets", getOffsetsInit(),
                        {localExperts + 1})))
    return failure();
  if (!exchange)
    r = t;
  Size receivedK = k;
  if (exchange && exchange.getTransport() == Transport::batched)
    receivedK.value = 1;
  if (failed(checkShape(*this, "pair_rows", getPairRowsInit(), {r, receivedK})))
    return failure();
  if (r.isKnown() && receivedK.isKnown())
    pairs.value = r.value * receivedK.value;
  if (failed(checkShape(*this, "source_rows", getSourceRowsInit(), {pairs})))
    return failure();
  // moe.dispatch C2
  const std::pair<StringRef, Value> exchanged[] = {
      {"x", getX()},
      {"weights", getWeights()},
      {"rows", getRowsInit()},
      {"row_weights", getRowWeightsInit()}};
  for (auto [name, value] : exchanged)
    if (!value != !exchange)
      return emitOpError() << "expected '" << name
                           << (exchange ? "' with an exchange but got none"
                                        : "' only with an exchange");
  // moe.dispatch C3
  if (exchange && (failed(checkShape(*this, "x", getX(), {t, h})) ||
                   failed(checkShape(*this, "weights", getWeights(), {t, k})) ||
                   failed(checkShape(*this, "rows", getRowsInit(), {r, h})) ||
                   failed(checkElementType(*this, "rows", getRowsInit(),
                                           getElementType(getX()))) ||
                   failed(checkShape(*this, "row_weights", getRowWeightsInit(),
                                     {r, receivedK}))))
    return failure();
  // moe.dispatch C4
  PlacementAttr placement = getPlacementAttr();
  if (placement && placement.getExperts() != int64_t(getNumExperts()))
    return emitOpError() << "expected a placement of num_experts = "
                         << getNumExperts() << " but got one of "
                         << placement.getExperts();
  if (failed(checkLocalExperts(*this, placement ? placement.getRanks() : 1,
                               getNumExperts(), localExperts.value)))
    return failure();
  // moe.dispatch C5
  return checkWayBack(*this, exchange, t, k, getPositionsInit(),
                      getSendCountsInit(), getReceiveCountsInit());
}

LogicalResult ExpertsOp::verify() {
  Size r, localExperts, pairs, packedH, packedI, h = fixed(), i = fixed();
  int64_t factor = getFirstWeightFactor(getActivation());
  // moe.experts C1, C5
  if (failed(checkShape(*this, "rows", getRows(), {r, h})) ||
      failed(checkShape(*this, "expert_offsets", getOffsets(),
                        {localExperts + 1})) ||
      failed(checkShape(*this, "source_rows", getSourceRows(), {pairs})))
    return failure();
  // moe.experts C2: packed weights have fewer columns than elements.
  bool packed = getQuant() && getQuantAttr().isPacked();
  if (failed(checkShape(*this, "w2", getW2(),
                        {localExperts, h, packed ? packedI : i})) ||
      failed(checkShape(*this, "w13", getW13(),
                        {localExperts, factor * i, packed ? packedH : h})) ||
      failed(checkTogether(*this, "b13", getB13(), "b2", getB2())) ||
      failed(checkShape(*this, "b13", getB13(), {localExperts, factor * i})) ||
      failed(checkShape(*this, "b2", getB2(), {localExperts, h})) ||
      failed(checkShape(*this, "input_weights", getInputWeights(), {r, 1})))
    return failure();
  // moe.experts C3
  if (failed(checkShape(*this, "expert_out", getInit(), {pairs, h})) ||
      failed(checkElementType(*this, "expert_out", getInit(),
                              getElementType(getRows()))))
    return failure();
  // moe.experts C4
  if (failed(checkTogether(*this, "w13_scale", getW13Scale(), "w2_scale",
                           getW2Scale())))
    return failure();
  if (!getQuant() != !getW13Scale())
    return emitOpError() << "expected 'quant' and scales together but got only "
                         << (getQuant() ? "'quant'" : "scales");
  if (getQuant())
    return success();
  Type dtype = getElementType(getRows());
  return failure(failed(checkElementType(*this, "w13", getW13(), dtype)) ||
                 failed(checkElementType(*this, "w2", getW2(), dtype)));
}

LogicalResult CombineOp::verify() {
  Size t, pairs, r, h = fixed(), k = fixed();
  bool isOnTensors = isa<TensorType>(getPairRows().getType());
  // moe.combine C1, C5
  if (failed(checkShape(*this, "pair_rows", getPairRows(), {r, k})))
    return failure();
  if (isOnTensors && r.isKnown() && k.isKnown())
    pairs.value = r.value * k.value;
  if (!getExchange())
    t = r;
  if (failed(checkShape(*this, "expert_out", getExpertOut(), {pairs, h})) ||
      failed(checkShape(*this, "weights", getWeights(), {r, k})) ||
      failed(checkShape(*this, "routed", getInit(), {t, h})))
    return failure();
  // moe.combine C4. What the experts got may be one choice for each row.
  ExchangeAttr exchange = getExchangeAttr();
  if (failed(checkWayBack(*this, exchange, t, fixed(), getPositions(),
                          getSendCounts(), getReceiveCounts())))
    return failure();
  bool isBatched = exchange && exchange.getTransport() == Transport::batched;
  if (getNumExperts().has_value() != isBatched)
    return emitOpError("expected 'num_experts' ")
           << (isBatched ? "with exchange 'batched' but got none"
                         : "only with exchange 'batched'");
  if (!isOnTensors)
    return success();

  // moe.combine C2
  auto plan = getPairRows().getDefiningOp<DispatchOp>();
  if (!plan || getPairRows() != plan.getPairRows())
    return emitOpError("expected 'pair_rows' of a 'moe.dispatch'");
  if (plan.getExchangeAttr() != getExchangeAttr()) {
    auto describe = [](InFlightDiagnostic &diag, ExchangeAttr exchange) {
      if (exchange)
        diag << exchange;
      else
        diag << "none";
    };
    InFlightDiagnostic diag =
        emitOpError("expected the exchange of its plan, ");
    describe(diag, plan.getExchangeAttr());
    diag << ", but got ";
    describe(diag, getExchangeAttr());
    diag.attachNote(plan.getLoc()) << "the plan is made here";
    return diag;
  }
  if (getExchange() && getWeights() && getWeights() != plan.getRowWeights()) {
    InFlightDiagnostic diag = emitOpError(
        "expected 'weights' to be the 'row_weights' that its plan received");
    diag.attachNote(plan.getLoc()) << "the plan is made here";
    return diag;
  }
  if (getPositions() != plan.getPositions() ||
      getSendCounts() != plan.getSendCounts() ||
      getReceiveCounts() != plan.getReceiveCounts()) {
    InFlightDiagnostic diag =
        emitOpError("expected the way back that its plan tells");
    diag.attachNote(plan.getLoc()) << "the plan is made here";
    return diag;
  }
  // moe.combine C3
  auto experts = getExpertOut().getDefiningOp<ExpertsOp>();
  if (experts && (experts.getOffsets() != plan.getOffsets() ||
                  experts.getSourceRows() != plan.getSourceRows())) {
    InFlightDiagnostic diag =
        emitOpError("expected 'expert_out' computed by the plan of "
                    "'pair_rows'");
    diag.attachNote(experts.getLoc()) << "the experts run by another plan here";
    return diag;
  }
  return success();
}

LogicalResult SharedExpertsOp::verify() {
  Size t, h = fixed(), s = fixed();
  // moe.shared_experts C1, C2
  return failure(
      failed(checkShape(*this, "x", getX(), {t, h})) ||
      failed(checkShape(*this, "w2", getW2(), {h, s})) ||
      failed(checkShape(*this, "w13", getW13(),
                        {getFirstWeightFactor(getActivation()) * s, h})) ||
      failed(checkShape(*this, "gate", getGate(), {1, h})) ||
      failed(checkShape(*this, "shared", getInit(), {t, h})));
}

LogicalResult ProjectOp::verify() {
  Size t, a = fixed(), b = fixed();
  // moe.project C1, C2
  return failure(failed(checkShape(*this, "x", getX(), {t, a})) ||
                 failed(checkShape(*this, "weight", getWeight(), {b, a})) ||
                 failed(checkShape(*this, "projected", getInit(), {t, b})));
}

LogicalResult MergeOp::verify() {
  Size t, h = fixed(), k = fixed();
  // moe.merge C1, C4
  if (failed(checkShape(*this, "routed", getRouted(), {t, h})) ||
      failed(checkShape(*this, "shared", getShared(), {t, h})) ||
      failed(checkShape(*this, "x", getX(), {t, h})) ||
      failed(checkShape(*this, "ids", getIds(), {t, k})) ||
      failed(checkShape(*this, "weights", getWeights(), {t, k})) ||
      failed(checkShape(*this, "output", getInit(), {t, h})))
    return failure();
  // moe.merge C2
  if (failed(checkTogether(*this, "x", getX(), "ids", getIds())) ||
      failed(checkTogether(*this, "x", getX(), "weights", getWeights())))
    return failure();
  if (!getX() != !getFirstZeroExpert() || !getX() != !getZeroScale())
    return emitOpError("expected 'first_zero_expert' and 'zero_scale' exactly "
                       "with the operands of 'zero'");
  return success();
}

//===----------------------------------------------------------------------===//
// Collectives
//===----------------------------------------------------------------------===//

static std::string getName(std::optional<ExchangeAttr> exchange) {
  return exchange ? exchange->getCommunicator().getName() : "";
}

std::string DispatchOp::getCommunicatorName() { return getName(getExchange()); }
std::string DispatchOp::getCollectiveName() {
  return std::string("dispatch ") + name(getExchange()->getTransport());
}
std::string CombineOp::getCommunicatorName() { return getName(getExchange()); }
std::string CombineOp::getCollectiveName() {
  return std::string("combine ") + name(getExchange()->getTransport());
}
std::string MergeOp::getCommunicatorName() {
  return getCommunicator() ? getCommunicator()->getName() : "";
}
std::string MergeOp::getCollectiveName() { return "all_reduce"; }
