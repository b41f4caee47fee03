//===- FixNumTokens.cpp - Layers for one number of tokens -----------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moe-mlir/Dialect/MoE/IR/MoE.h"
#include "moe-mlir/Transforms/Passes.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

namespace moe {
#define GEN_PASS_DEF_MOEFIXNUMTOKENS
#include "moe-mlir/Transforms/Passes.h.inc"
} // namespace moe

using namespace mlir;
using namespace moe;

/// The type with `tokens` rows.
static RankedTensorType withRows(Value value, int64_t tokens) {
  auto type = cast<RankedTensorType>(value.getType());
  SmallVector<int64_t> shape(type.getShape());
  shape.front() = tokens;
  return type.clone(shape);
}

/// Gives a value that the layer takes `tokens` rows. An argument of the
/// function gets them itself; what else uses it sees the type as it was.
static void fixOperand(OpOperand &operand, int64_t tokens) {
  Value value = operand.get();
  RankedTensorType before = cast<RankedTensorType>(value.getType());
  RankedTensorType type = withRows(value, tokens);
  if (type == before)
    return;
  OpBuilder b(operand.getOwner());
  auto argument = dyn_cast<BlockArgument>(value);
  auto function =
      argument ? dyn_cast<func::FuncOp>(argument.getOwner()->getParentOp())
               : func::FuncOp();
  if (!function)
    return operand.set(tensor::CastOp::create(b, value.getLoc(), type, value));
  argument.setType(type);
  SmallVector<OpOperand *> others;
  for (OpOperand &use : argument.getUses())
    if (use.getOwner() != operand.getOwner())
      others.push_back(&use);
  if (others.empty())
    return;
  b.setInsertionPointToStart(argument.getOwner());
  Value cast = tensor::CastOp::create(b, argument.getLoc(), before, argument);
  for (OpOperand *use : others)
    use->set(cast);
}

/// The same for the layer's result and the function's.
static void fixResult(LayerOp layer, int64_t tokens) {
  Value result = layer.getResult();
  auto before = cast<RankedTensorType>(result.getType());
  RankedTensorType type = withRows(result, tokens);
  if (type == before)
    return;
  result.setType(type);
  OpBuilder b(layer->getContext());
  b.setInsertionPointAfter(layer);
  Value cast;
  for (OpOperand &use : llvm::make_early_inc_range(result.getUses())) {
    if (isa<func::ReturnOp>(use.getOwner()))
      continue;
    if (!cast)
      cast = tensor::CastOp::create(b, layer.getLoc(), before, result);
    use.set(cast);
  }
}

namespace {
struct MoEFixNumTokens : moe::impl::MoEFixNumTokensBase<MoEFixNumTokens> {
  using MoEFixNumTokensBase::MoEFixNumTokensBase;

  void runOnOperation() override {
    // Nothing is gained for no rows, for which no kernel does anything.
    if (staticNumTokens < 1)
      return;
    func::FuncOp function = getOperation();
    SmallVector<LayerOp> layers(function.getFunctionBody().getOps<LayerOp>());
    for (LayerOp layer : layers) {
      int64_t known = layer.getHiddenStates().getType().getDimSize(0);
      if (!ShapedType::isDynamic(known) && known != staticNumTokens) {
        layer.emitOpError("expected static-num-tokens = ")
            << known << ", the rows of its 'hidden_states', but got "
            << staticNumTokens.getValue();
        return signalPassFailure();
      }
      for (OpOperand &operand : layer->getOpOperands())
        if (llvm::is_contained({layer.getHiddenStates(), layer.getTopkIds(),
                                layer.getTopkWeights()},
                               operand.get()))
          fixOperand(operand, staticNumTokens);
      fixResult(layer, staticNumTokens);
    }
    if (function.isExternal())
      return;
    Block &body = function.getFunctionBody().front();
    function.setFunctionType(
        FunctionType::get(&getContext(), body.getArgumentTypes(),
                          body.getTerminator()->getOperandTypes()));
  }
};
} // namespace
