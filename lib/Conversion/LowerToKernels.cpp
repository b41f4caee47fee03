//===- LowerToKernels.cpp - Phases to launches of kernels -----------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Exchanges.h"
#include "FuseCombine.h"
#include "PhaseGenerator.h"
#include "moe-mlir/Conversion/Passes.h"
#include "moe-mlir/Dialect/MoE/IR/MoE.h"
#include "moe-mlir/Dialect/Schedule/IR/Schedule.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "llvm/ADT/TypeSwitch.h"

namespace moe {
#define GEN_PASS_DEF_LOWERTOKERNELS
#include "moe-mlir/Conversion/Passes.h.inc"
} // namespace moe

using namespace mlir;
using namespace moe;

//===----------------------------------------------------------------------===//
// The dialect's attributes as the generator's parameters
//===----------------------------------------------------------------------===//

static codegen::RoutingParams getRoutingParams(RoutingAttr routing) {
  codegen::RoutingParams params;
  switch (routing.getScore()) {
  case ScoreFunction::softmax:
    params.scores = codegen::Scores::Softmax;
    break;
  case ScoreFunction::sigmoid:
    params.scores = codegen::Scores::Sigmoid;
    break;
  case ScoreFunction::sqrt_softplus:
    params.scores = codegen::Scores::SqrtSoftplus;
    break;
  case ScoreFunction::logits:
    params.scores = codegen::Scores::Logits;
    break;
  }
  switch (routing.getWeight()) {
  case WeightFunction::score:
    params.weights = codegen::ChosenWeights::Scores;
    break;
  case WeightFunction::softmax_of_chosen:
    params.weights = codegen::ChosenWeights::Softmax;
    break;
  case WeightFunction::sigmoid_of_chosen:
    params.weights = codegen::ChosenWeights::Sigmoid;
    break;
  }
  params.groups = routing.getNGroup();
  params.chosenGroups = routing.getTopkGroup();
  params.groupScore = routing.getGroupScore() == GroupScore::max
                          ? codegen::GroupScore::Max
                          : codegen::GroupScore::TopTwoSum;
  params.renormalize = routing.getRenormalize();
  params.epsilon = routing.getRenormalizeEpsilon().getValueAsDouble();
  params.minimumSum = routing.getRenormalizeMinimum().getValueAsDouble();
  return params;
}

static codegen::ActivationParams
getActivationParams(ActivationAttr activation) {
  codegen::ActivationParams params;
  switch (activation.getKind()) {
  case ActivationKind::swiglu:
    params.activation = codegen::Activation::SiLU;
    break;
  case ActivationKind::geglu:
    params.activation = codegen::Activation::GELU;
    break;
  case ActivationKind::geglu_tanh:
    params.activation = codegen::Activation::GELUTanh;
    break;
  case ActivationKind::swigluoai:
    params.activation = codegen::Activation::SwiGLUOAI;
    break;
  case ActivationKind::relu2:
    params.activation = codegen::Activation::ReLU2;
    break;
  }
  params.gated = activation.isGated();
  params.limit = activation.getLimit().getValueAsDouble();
  params.alpha = activation.getAlpha().getValueAsDouble();
  return params;
}

//===----------------------------------------------------------------------===//
// Phases as calls of the generator
//===----------------------------------------------------------------------===//

static codegen::CombineOperands getOperands(CombineOp combine) {
  return {combine.getExpertOut(), combine.getPairRows(), combine.getWeights(),
          combine.getInit()};
}

/// `fused` is the combine that a merge is to compute, or null.
static codegen::MergeOperands getOperands(MergeOp merge, CombineOp fused) {
  codegen::MergeOperands operands = {merge.getRouted(), merge.getShared(),
                                     merge.getInit(),   merge.getX(),
                                     merge.getIds(),    merge.getWeights()};
  if (operands.x) {
    operands.firstZeroExpert = *merge.getFirstZeroExpert();
    operands.zeroScale = merge.getZeroScale()->convertToDouble();
  }
  if (fused) {
    operands.routed = nullptr;
    operands.combine = getOperands(fused);
    operands.combine->routed = nullptr;
    operands.combineScale = fused.getScale().convertToDouble();
  }
  return operands;
}

static LogicalResult lowerPhase(Operation *op, CombineOp fused,
                                StringRef target, PhaseGenerator &generator,
                                ExchangeLowering &exchanges,
                                const PhaseGenerator::Place &place) {
  return llvm::TypeSwitch<Operation *, LogicalResult>(op)
      .Case([&](GateOp gate) {
        return generator.gate(place, {gate.getX(), gate.getWeight(),
                                      gate.getBias(), gate.getInit()});
      })
      .Case([&](RouteOp route) {
        LogicalResult routed = generator.route(
            place,
            {route.getLogits(), route.getCorrectionBias(), route.getIdsInit(),
             route.getWeightsInit(), route.getLogicalToPhysical(),
             route.getReplicaCount(), route.getFirstRow()},
            getRoutingParams(route.getRouting()));
        if (failed(routed) || !route.getLoadInit())
          return routed;
        return generator.expertLoad(place,
                                    {route.getIdsInit(), route.getLoadInit()});
      })
      .Case([&](DispatchOp dispatch) {
        return exchanges.dispatch(place, dispatch);
      })
      .Case([&](ExpertsOp experts) -> LogicalResult {
        if (experts.getQuantAttr())
          return experts.emitOpError("has quantized weights, which target '")
                 << target << "' cannot multiply";
        return generator.experts(
            place,
            {experts.getRows(), experts.getOffsets(), experts.getSourceRows(),
             experts.getW13(), experts.getW2(), experts.getB13(),
             experts.getB2(), experts.getInputWeights(), experts.getInit()},
            getActivationParams(experts.getActivation()));
      })
      .Case([&](CombineOp combine) {
        if (combine.getExchange())
          return exchanges.combine(place, combine);
        return generator.combine(place, getOperands(combine),
                                 combine.getScale().convertToDouble());
      })
      .Case([&](SharedExpertsOp shared) {
        return generator.sharedExperts(
            place,
            {shared.getX(), shared.getW13(), shared.getW2(), shared.getGate(),
             shared.getInit()},
            getActivationParams(shared.getActivation()));
      })
      .Case([&](ProjectOp project) {
        return generator.project(
            place, {project.getX(), project.getWeight(), project.getInit()});
      })
      .Case([&](MergeOp merge) {
        codegen::MergeOperands operands = getOperands(merge, fused);
        return merge.getCommunicator() ? exchanges.merge(place, merge, operands)
                                       : generator.merge(place, operands);
      })
      .Case<AllReduceOp, AllGatherOp, ReduceScatterOp>([&](auto collective) {
        return exchanges.collective(place, collective);
      })
      .Default([&](Operation *other) {
        return other->emitOpError("has no kernel on target '") << target << "'";
      });
}

namespace {
struct LowerToKernels : moe::impl::LowerToKernelsBase<LowerToKernels> {
  using LowerToKernelsBase::LowerToKernelsBase;

  void runOnOperation() override {
    ModuleOp module = getOperation();
    llvm::Expected<std::unique_ptr<PhaseGenerator>> generator =
        createGenerator(module);
    if (!generator) {
      module.emitError(llvm::toString(generator.takeError()));
      return signalPassFailure();
    }
    FusedCombines fused;
    if ((*generator)->canFuseCombine())
      for (auto function : module.getOps<func::FuncOp>())
        for (auto [merge, combine] : fuseCombines(function))
          fused[merge] = combine;
    SmallVector<schedule::RunOp> runs;
    module.walk([&](schedule::RunOp run) { runs.push_back(run); });
    ExchangeLowering exchanges(**generator);
    for (schedule::RunOp run : runs)
      if (failed(lowerRun(run, fused, **generator, exchanges)))
        return signalPassFailure();
  }

  llvm::Expected<std::unique_ptr<PhaseGenerator>>
  createGenerator(ModuleOp module) {
    if (target == "cpu")
      return createCPUGenerator(module, cpu);
    if (target == "cuda")
      return createCUDAGenerator(module, chip);
    return llvm::createStringError("expected target 'cpu' or 'cuda' but got '" +
                                   target + "'");
  }

  LogicalResult lowerRun(schedule::RunOp run, const FusedCombines &fused,
                         PhaseGenerator &generator,
                         ExchangeLowering &exchanges) {
    Block &body = run.getBody().front();
    for (Operation &op : llvm::make_early_inc_range(body)) {
      if (!isa<PhaseOpInterface>(op)) {
        if (isPure(&op) || isa<schedule::LaunchOp, memref::DimOp>(op))
          continue;
        return op.emitOpError("has no kernel on target '") << target << "'";
      }
      if (fused.lookup(op.getNextNode()) == &op)
        continue; // The merge computes it.
      auto function = run->getParentOfType<func::FuncOp>();
      // Scratch is set up at the entry, before any work is issued. Sizes of
      // blocks are part of the run.
      OpBuilder scratch = getScratchBuilder(function);
      OpBuilder builder(&op);
      CombineOp combine = fused.lookup(&op);
      if (failed(lowerPhase(
              &op, combine, target, generator, exchanges,
              {op.getLoc(), builder, scratch, getGemmTiles(&op, function)})))
        return failure();
      op.erase();
      if (combine)
        eraseWithSums(combine);
    }
    return success();
  }

  /// Erases a combine, and the buffer of its sums after the last one.
  static void eraseWithSums(CombineOp combine) {
    Operation *sums = combine.getInit().getDefiningOp();
    combine->erase();
    if (sums->use_empty())
      sums->erase();
  }

  static DictionaryAttr getGemmTiles(Operation *phase, func::FuncOp function) {
    if (auto tiles = phase->getAttrOfType<DictionaryAttr>(kGemmTilesAttrName))
      return tiles;
    return function->getAttrOfType<DictionaryAttr>(kGemmTilesAttrName);
  }

  /// Behind the set-up of the function, whose sizes scratch may use.
  static OpBuilder getScratchBuilder(func::FuncOp function) {
    Block &entry = function.getBody().front();
    for (Operation &op : entry)
      if (!isa<memref::AllocOp, memref::DimOp>(op) && !isPure(&op))
        return OpBuilder(&op);
    return OpBuilder(entry.getTerminator());
  }
};
} // namespace
