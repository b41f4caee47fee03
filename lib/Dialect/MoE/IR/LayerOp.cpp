//===- LayerOp.cpp - moe.layer --------------------------------------------===//
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

/// moe.layer C1: where the choice of experts comes from.
static LogicalResult verifyRouter(LayerOp op) {
  if (failed(checkTogether(op, "topk_ids", op.getTopkIds(), "topk_weights",
                           op.getTopkWeights())))
    return failure();
  if (!op.getRouterWeight() == !op.getTopkIds())
    return op.emitOpError("expected either 'router_weight' or 'topk_ids' and "
                          "'topk_weights' but got ")
           << (op.getTopkIds() ? "both" : "neither");
  const std::pair<StringRef, Value> ofRouter[] = {
      {"router_bias", op.getRouterBias()},
      {"correction_bias", op.getCorrectionBias()}};
  for (auto [name, value] : ofRouter)
    if (value && !op.getRouterWeight())
      return op.emitOpError()
             << "expected '" << name << "' only with 'router_weight'";
  std::optional<uint64_t> stated = op.getNumExperts();
  int64_t outputs = op.getNumRouterOutputs();
  if (stated && op.getRouterWeight() && !ShapedType::isDynamic(outputs) &&
      outputs != static_cast<int64_t>(*stated))
    return op.emitOpError()
           << "expected num_experts = " << outputs
           << ", the rows of 'router_weight', but got " << *stated;
  return success();
}

/// moe.layer C4: the routed experts that this rank holds.
static LogicalResult verifyExperts(LayerOp op, Size &d) {
  Size localExperts, i, packedD, packedI;
  int64_t factor = op.getActivation().isGated() ? 2 : 1;
  bool packed = op.getQuant() && op.getQuantAttr().isPacked();
  if (failed(checkShape(op, "w2", op.getW2(),
                        {localExperts, d, packed ? packedI : i})) ||
      failed(checkShape(op, "w13", op.getW13(),
                        {localExperts, factor * i, packed ? packedD : d})) ||
      failed(checkTogether(op, "b13", op.getB13(), "b2", op.getB2())) ||
      failed(checkShape(op, "b13", op.getB13(), {localExperts, factor * i})) ||
      failed(checkShape(op, "b2", op.getB2(), {localExperts, d})))
    return failure();
  return checkLocalExperts(op, op.getEffectiveParallel().getNumExpertRanks(),
                           op.getNumPhysicalExperts(), localExperts.value);
}

/// moe.layer C7: one dtype, but for the router's and quantized weights.
static LogicalResult verifyElementTypes(LayerOp op) {
  if (failed(checkTogether(op, "w13_scale", op.getW13Scale(), "w2_scale",
                           op.getW2Scale())))
    return failure();
  if (!op.getQuant() != !op.getW13Scale())
    return op.emitOpError("expected 'quant' and scales together but got only ")
           << (op.getQuant() ? "'quant'" : "scales");
  Type dtype = op.getHiddenStates().getType().getElementType();
  if (TypedValue<RankedTensorType> router = op.getRouterWeight())
    if (!router.getType().getElementType().isF32() &&
        failed(checkElementType(op, "router_weight", router, dtype)))
      return failure();
  SmallVector<std::pair<StringRef, Value>> weights = {
      {"b13", op.getB13()},
      {"b2", op.getB2()},
      {"shared_w13", op.getSharedW13()},
      {"shared_w2", op.getSharedW2()},
      {"shared_gate", op.getSharedGate()},
      {"latent_in", op.getLatentIn()},
      {"latent_out", op.getLatentOut()}};
  if (!op.getQuant())
    weights.append({{"w13", op.getW13()}, {"w2", op.getW2()}});
  for (auto [name, value] : weights)
    if (failed(checkElementType(op, name, value, dtype)))
      return failure();
  return success();
}

/// moe.layer C8: EPLB's maps.
static LogicalResult verifyEplb(LayerOp op, Size &e) {
  Value map = op.getLogicalToPhysical();
  if (failed(checkTogether(op, "logical_to_physical", map, "replica_count",
                           op.getReplicaCount())))
    return failure();
  ParallelAttr parallel = op.getEffectiveParallel();
  if (map && !parallel.getEplb())
    return op.emitOpError("expected EPLB's maps only with 'eplb = true' in the "
                          "parallel configuration");
  if (!map && parallel.getEplb() && op.getRouterWeight())
    return op.emitOpError("expected EPLB's maps with 'eplb = true' in the "
                          "parallel configuration");
  if (!map)
    return success();
  if (int64_t zero = op.getRouting().getZeroExperts())
    return op.emitOpError("expected no zero experts with EPLB's maps but got ")
           << zero;
  return failure(
      failed(checkShape(op, "logical_to_physical", map,
                        {e, parallel.getRedundantExperts() + 1})) ||
      failed(checkShape(op, "replica_count", op.getReplicaCount(), {e})));
}

/// moe.layer C11: the counts of the chosen experts.
static LogicalResult verifyExpertLoad(LayerOp op) {
  Value load = op.getExpertLoad();
  if (!load)
    return success();
  if (!op.getRouterWeight())
    return op.emitOpError("expected 'expert_load' only with 'router_weight'");
  Size physical;
  physical.value = op.getNumPhysicalExperts();
  return checkShape(op, "expert_load", load, {physical});
}

/// moe.layer C10: what may be dynamic.
static LogicalResult verifyStaticSizes(LayerOp op) {
  // Leading dimensions that are T or L.
  Value dynamic[] = {
      op.getHiddenStates(), op.getTopkIds(),  op.getTopkWeights(),
      op.getW13(),          op.getW2(),       op.getB13(),
      op.getB2(),           op.getW13Scale(), op.getW2Scale()};
  for (OpOperand &operand : op->getOpOperands()) {
    auto type = cast<RankedTensorType>(operand.get().getType());
    ArrayRef<int64_t> sizes = type.getShape();
    if (!sizes.empty() && llvm::is_contained(dynamic, operand.get()))
      sizes = sizes.drop_front();
    if (ShapedType::isDynamicShape(sizes))
      return op.emitOpError("expected only the numbers of tokens and of local "
                            "experts to be dynamic but got operand ")
             << operand.getOperandNumber() << " of type " << type;
  }
  return success();
}

LogicalResult LayerOp::verify() {
  Size t, h, e, s, latent;
  int64_t topK = getRouting().getTopK();
  // moe.layer C1
  if (failed(verifyRouter(*this)))
    return failure();
  // moe.layer C2
  if (failed(checkShape(*this, "hidden_states", getHiddenStates(), {t, h})) ||
      failed(checkShape(*this, "router_weight", getRouterWeight(), {e, h})) ||
      failed(checkShape(*this, "router_bias", getRouterBias(), {e})) ||
      failed(checkShape(*this, "correction_bias", getCorrectionBias(), {e})) ||
      failed(checkShape(*this, "topk_ids", getTopkIds(), {t, topK})) ||
      failed(checkShape(*this, "topk_weights", getTopkWeights(), {t, topK})))
    return failure();
  // moe.layer C3: only a router chooses.
  if (getRouterWeight() &&
      failed(checkChoice(*this, getRouting(), getNumRouterOutputs())))
    return failure();
  // moe.layer C6
  if (failed(checkTogether(*this, "latent_in", getLatentIn(), "latent_out",
                           getLatentOut())) ||
      failed(checkShape(*this, "latent_in", getLatentIn(), {latent, h})) ||
      failed(checkShape(*this, "latent_out", getLatentOut(), {h, latent})))
    return failure();
  // moe.layer C4
  if (failed(verifyExperts(*this, getLatentIn() ? latent : h)))
    return failure();
  // moe.layer C5
  int64_t factor = getActivation().isGated() ? 2 : 1;
  if (failed(checkTogether(*this, "shared_w13", getSharedW13(), "shared_w2",
                           getSharedW2())) ||
      failed(checkShape(*this, "shared_w2", getSharedW2(), {h, s})) ||
      failed(
          checkShape(*this, "shared_w13", getSharedW13(), {factor * s, h})) ||
      failed(checkShape(*this, "shared_gate", getSharedGate(), {1, h})))
    return failure();
  if (getSharedGate() && !getSharedW2())
    return emitOpError("expected 'shared_gate' only with shared experts");
  // moe.layer C7
  if (failed(verifyElementTypes(*this)))
    return failure();
  // moe.layer C8
  if (failed(verifyEplb(*this, e)))
    return failure();
  // moe.layer C9
  if (getResult().getType() != getHiddenStates().getType())
    return emitOpError("expected a result of the type of 'hidden_states', ")
           << getHiddenStates().getType() << ", but got "
           << getResult().getType();
  // moe.layer C11
  if (failed(verifyExpertLoad(*this)))
    return failure();
  // moe.layer C10
  return verifyStaticSizes(*this);
}

ParallelAttr LayerOp::getEffectiveParallel() {
  if (ParallelAttr own = getParallelAttr())
    return own;
  return moe::getParallel((*this)->getParentOp());
}

int64_t LayerOp::getHiddenSize() {
  return getHiddenStates().getType().getDimSize(1);
}

int64_t LayerOp::getNumRouterOutputs() {
  if (Value weight = getRouterWeight())
    return cast<RankedTensorType>(weight.getType()).getDimSize(0);
  if (std::optional<uint64_t> number = getNumExperts())
    return *number;
  if (Value map = getLogicalToPhysical())
    return cast<RankedTensorType>(map.getType()).getDimSize(0);
  return getW13().getType().getDimSize(0);
}

int64_t LayerOp::getNumPhysicalExperts() {
  int64_t outputs = getNumRouterOutputs();
  if (ShapedType::isDynamic(outputs))
    return outputs;
  return outputs - getRouting().getZeroExperts() +
         getEffectiveParallel().getRedundantExperts();
}

int64_t LayerOp::getExpertInputSize() {
  return getW2().getType().getDimSize(1);
}

int64_t LayerOp::getIntermediateSize() {
  int64_t columns = getW2().getType().getDimSize(2);
  return getQuant() && getQuantAttr().isPacked() ? 2 * columns : columns;
}

int64_t LayerOp::getSharedIntermediateSize() {
  Value weight = getSharedW2();
  return weight ? cast<RankedTensorType>(weight.getType()).getDimSize(1) : 0;
}
