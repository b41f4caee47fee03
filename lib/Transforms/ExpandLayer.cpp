//===- ExpandLayer.cpp - From a layer to its phases -----------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// LayerExpansion.cpp writes the phases; here a function's layers are found,
// checked against the policy and described for later passes.
//
//===----------------------------------------------------------------------===//

#include "LayerExpansion.h"
#include "moe-mlir/Dialect/MoE/IR/LayerTensors.h"
#include "moe-mlir/Transforms/Parallel.h"
#include "moe-mlir/Transforms/Passes.h"

namespace moe {
#define GEN_PASS_DEF_MOEEXPANDLAYER
#include "moe-mlir/Transforms/Passes.h.inc"
} // namespace moe

using namespace mlir;
using namespace moe;

/// Says what the policy has to say, with its messages.
static LogicalResult report(LayerOp layer,
                            const policy::DerivedParallelism &derived) {
  for (const std::string &warning : derived.warnings)
    layer.emitWarning() << warning;
  for (const std::string &error : derived.errors)
    layer.emitOpError() << error;
  return success(derived.ok());
}

namespace {
struct MoEExpandLayer : moe::impl::MoEExpandLayerBase<MoEExpandLayer> {
  using MoEExpandLayerBase::MoEExpandLayerBase;

  void runOnOperation() override {
    SmallVector<LayerOp> layers;
    getOperation().walk([&](LayerOp layer) { layers.push_back(layer); });
    if (layers.empty())
      return;
    std::optional<int64_t> maxTokens;
    if (failed(findMaxNumTokens(layers, maxTokens)))
      return signalPassFailure();

    OpBuilder b(&getContext());
    SmallVector<Attribute> descriptions;
    ParallelAttr common = layers.front().getEffectiveParallel();
    for (LayerOp layer : layers) {
      if (layer.getEffectiveParallel() != common) {
        InFlightDiagnostic diag =
            layer.emitOpError("expected the parallel configuration of the "
                              "function's first layer, ")
            << common << ", but got " << layer.getEffectiveParallel();
        diag.attachNote(layers.front().getLoc()) << "the first layer is here";
        return signalPassFailure();
      }
      const PlannedLayer planned = planLayer(layer);
      if (failed(report(layer, planned.derived)))
        return signalPassFailure();
      const policy::ParallelProperties &properties = planned.derived.properties;
      if (schedule::GridAttr grid = getGrid(&getContext(), properties);
          grid.getNumRanks() > 1)
        getOperation()->setAttr(schedule::kGridAttrName, grid);
      markAxes(layer);
      b.setInsertionPoint(layer);
      FailureOr<SmallVector<Value>> results =
          expandLayer(b, layer, properties, maxTokens);
      if (failed(results))
        return signalPassFailure();
      descriptions.push_back(describeLayer(layer, planned));
      layer->replaceAllUsesWith(*results);
    }
    for (LayerOp layer : layers)
      layer.erase();
    getOperation()->setAttr(kLayersAttrName, b.getArrayAttr(descriptions));
    getOperation()->setAttr(kParallelAttrName, common);
  }

  /// Says what the dimensions of arguments count where their types do not:
  /// given choices have a row for each token, as the hidden states do, which
  /// are the function's first argument; weights may have any number of experts.
  void markAxes(LayerOp layer) {
    Builder b(&getContext());
    Block &entry = getOperation()->getRegion(0).front();
    bool hasTokens = layer.getHiddenStates() == entry.getArgument(0);
    for (const TensorInfo &tensor : allTensors()) {
      auto argument =
          dyn_cast_if_present<BlockArgument>(getOperand(layer, tensor.id));
      if (!argument || argument.getOwner() != &entry)
        continue;
      unsigned number = argument.getArgNumber();
      if (hasTokens && tensor.isPerToken() && number != 0)
        getOperation().setArgAttr(number, "schedule.tokens", b.getUnitAttr());
      ArrayAttr axes = getAxesAttr(
          b, tensor.id, cast<RankedTensorType>(argument.getType()).getShape());
      if (axes && !getOperation().getArgAttr(number, "schedule.axes"))
        getOperation().setArgAttr(number, "schedule.axes", axes);
    }
  }

  /// The option, or else the function's attribute, or the number of tokens that
  /// all layers have; the attribute then carries it on.
  LogicalResult findMaxNumTokens(ArrayRef<LayerOp> layers,
                                 std::optional<int64_t> &result) {
    std::optional<int64_t> tokens = 0;
    for (LayerOp layer : layers) {
      int64_t rows = layer.getHiddenStates().getType().getDimSize(0);
      tokens = ShapedType::isDynamic(rows) || !tokens
                   ? std::nullopt
                   : std::optional(std::max(*tokens, rows));
    }
    Builder b(&getContext());
    if (maxNumTokens >= 0)
      getOperation()->setAttr(schedule::kMaxNumTokensAttrName,
                              b.getI64IntegerAttr(maxNumTokens));
    else if (tokens.value_or(0) > 0 &&
             !getOperation()->hasAttr(schedule::kMaxNumTokensAttrName))
      // The only number of tokens is the most.
      getOperation()->setAttr(schedule::kMaxNumTokensAttrName,
                              b.getI64IntegerAttr(*tokens));
    Attribute attr = getOperation()->getAttr(schedule::kMaxNumTokensAttrName);
    if (!attr)
      return success();
    auto integer = dyn_cast<IntegerAttr>(attr);
    if (!integer || integer.getInt() < 1)
      return getOperation().emitOpError()
             << "expected '" << schedule::kMaxNumTokensAttrName
             << "' of at least 1 but got " << attr;
    result = integer.getInt();
    return success();
  }
};
} // namespace
