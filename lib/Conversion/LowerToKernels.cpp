//===- LowerToKernels.cpp - Phases to launches of kernels -----------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moe-mlir/Codegen/CPU/CPU.h"
#include "moe-mlir/Conversion/Passes.h"
#include "moe-mlir/Dialect/MoE/IR/MoE.h"
#include "moe-mlir/Dialect/Schedule/IR/Schedule.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
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
namespace cpu = moe::codegen::cpu;

//===----------------------------------------------------------------------===//
// The dialect's attributes as the generator's parameters
//===----------------------------------------------------------------------===//

static cpu::RoutingParams getRoutingParams(RoutingAttr routing) {
  cpu::RoutingParams params;
  switch (routing.getScore()) {
  case ScoreFunction::softmax:
    params.scores = cpu::Scores::Softmax;
    break;
  case ScoreFunction::sigmoid:
    params.scores = cpu::Scores::Sigmoid;
    break;
  case ScoreFunction::sqrt_softplus:
    params.scores = cpu::Scores::SqrtSoftplus;
    break;
  case ScoreFunction::logits:
    params.scores = cpu::Scores::Logits;
    break;
  }
  switch (routing.getWeight()) {
  case WeightFunction::score:
    params.weights = cpu::ChosenWeights::Scores;
    break;
  case WeightFunction::softmax_of_chosen:
    params.weights = cpu::ChosenWeights::Softmax;
    break;
  case WeightFunction::sigmoid_of_chosen:
    params.weights = cpu::ChosenWeights::Sigmoid;
    break;
  }
  params.groups = routing.getNGroup();
  params.chosenGroups = routing.getTopkGroup();
  params.groupScore = routing.getGroupScore() == GroupScore::max
                          ? cpu::GroupScore::Max
                          : cpu::GroupScore::TopTwoSum;
  params.renormalize = routing.getRenormalize();
  params.epsilon = routing.getRenormalizeEpsilon().getValueAsDouble();
  params.minimumSum = routing.getRenormalizeMinimum().getValueAsDouble();
  return params;
}

static cpu::ActivationParams getActivationParams(ActivationAttr activation) {
  cpu::ActivationParams params;
  switch (activation.getKind()) {
  case ActivationKind::swiglu:
    params.activation = cpu::Activation::SiLU;
    break;
  case ActivationKind::geglu:
    params.activation = cpu::Activation::GELU;
    break;
  case ActivationKind::geglu_tanh:
    params.activation = cpu::Activation::GELUTanh;
    break;
  case ActivationKind::swigluoai:
    params.activation = cpu::Activation::SwiGLUOAI;
    break;
  case ActivationKind::relu2:
    params.activation = cpu::Activation::ReLU2;
    break;
  }
  params.gated = activation.isGated();
  params.limit = activation.getLimit().getValueAsDouble();
  params.alpha = activation.getAlpha().getValueAsDouble();
  return params;
}

//===----------------------------------------------------------------------===//
// Phases on the CPU target
//===----------------------------------------------------------------------===//

static InFlightDiagnostic needsRanks(Operation *op, StringRef communicator) {
  return op->emitOpError("needs ranks that communicate: communicator '")
         << communicator
         << "' has no transport on target 'cpu', which runs one rank";
}

static cpu::Launches lowerPhase(Operation *op, const cpu::Emission &emission) {
  using Result = cpu::Launches;
  return llvm::TypeSwitch<Operation *, Result>(op)
      .Case([&](GateOp gate) {
        return cpu::lowerGate(emission, {gate.getX(), gate.getWeight(),
                                         gate.getBias(), gate.getInit()});
      })
      .Case([&](RouteOp route) {
        return cpu::lowerRoute(emission,
                               {route.getLogits(), route.getCorrectionBias(),
                                route.getIdsInit(), route.getWeightsInit(),
                                route.getLogicalToPhysical(),
                                route.getReplicaCount()},
                               getRoutingParams(route.getRouting()));
      })
      .Case([&](DispatchOp dispatch) -> Result {
        if (dispatch.getExchange())
          return needsRanks(dispatch, dispatch.getCommunicatorName());
        return cpu::lowerDispatchPlan(emission, {dispatch.getIds(),
                                                 dispatch.getOffsetsInit(),
                                                 dispatch.getSourceRowsInit(),
                                                 dispatch.getPairRowsInit()});
      })
      .Case([&](ExpertsOp experts) -> Result {
        if (experts.getQuantAttr())
          return experts.emitOpError("has quantized weights, which target "
                                     "'cpu' cannot multiply");
        return cpu::lowerExperts(
            emission,
            {experts.getRows(), experts.getOffsets(), experts.getSourceRows(),
             experts.getW13(), experts.getW2(), experts.getB13(),
             experts.getB2(), experts.getInputWeights(), experts.getInit()},
            getActivationParams(experts.getActivation()));
      })
      .Case([&](CombineOp combine) -> Result {
        if (combine.getExchange())
          return needsRanks(combine, combine.getCommunicatorName());
        return cpu::lowerCombine(emission,
                                 {combine.getExpertOut(), combine.getPairRows(),
                                  combine.getWeights(), combine.getInit()},
                                 combine.getScale().convertToDouble());
      })
      .Case([&](SharedExpertsOp shared) {
        return cpu::lowerSharedExperts(
            emission,
            {shared.getX(), shared.getW13(), shared.getW2(), shared.getGate(),
             shared.getInit()},
            getActivationParams(shared.getActivation()));
      })
      .Case([&](ProjectOp project) {
        return cpu::lowerProject(
            emission, {project.getX(), project.getWeight(), project.getInit()});
      })
      .Case([&](MergeOp merge) -> Result {
        if (merge.getCommunicator())
          return needsRanks(merge, merge.getCommunicatorName());
        cpu::MergeOperands operands = {merge.getRouted(), merge.getShared(),
                                       merge.getInit(),   merge.getX(),
                                       merge.getIds(),    merge.getWeights()};
        if (operands.x) {
          operands.firstZeroExpert = *merge.getFirstZeroExpert();
          operands.zeroScale = merge.getZeroScale()->convertToDouble();
        }
        return cpu::lowerMerge(emission, operands);
      })
      .Case<AllReduceOp, AllGatherOp, ReduceScatterOp>(
          [&](auto collective) -> Result {
            return needsRanks(collective, collective.getCommunicatorName());
          })
      .Default([](Operation *other) -> Result {
        return other->emitOpError("has no kernel on target 'cpu'");
      });
}

namespace {
struct LowerToKernels : moe::impl::LowerToKernelsBase<LowerToKernels> {
  using LowerToKernelsBase::LowerToKernelsBase;

  void runOnOperation() override {
    if (target != "cpu") {
      getOperation().emitError("expected target 'cpu' but got '")
          << target << "'";
      return signalPassFailure();
    }
    llvm::Expected<cpu::Target> parsed = cpu::Target::parse(cpu);
    if (!parsed) {
      getOperation().emitError(llvm::toString(parsed.takeError()));
      return signalPassFailure();
    }
    SmallVector<schedule::RunOp> runs;
    getOperation().walk([&](schedule::RunOp run) { runs.push_back(run); });
    for (schedule::RunOp run : runs)
      if (failed(lowerRun(run, *parsed)))
        return signalPassFailure();
  }

  LogicalResult lowerRun(schedule::RunOp run, const cpu::Target &cpuTarget) {
    Block &body = run.getBody().front();
    for (Operation &op : llvm::make_early_inc_range(body)) {
      if (!isa<PhaseOpInterface>(op)) {
        if (isPure(&op) || isa<schedule::LaunchOp, memref::DimOp>(op))
          continue;
        return op.emitOpError("has no kernel on target 'cpu'");
      }
      auto function = run->getParentOfType<func::FuncOp>();
      // Scratch is set up at the entry, before any work is issued. Sizes of
      // blocks are part of the run.
      OpBuilder scratch = getScratchBuilder(function);
      OpBuilder builder(&op);
      cpu::Emission emission = {getOperation(), cpuTarget, op.getLoc(), builder,
                                scratch};
      cpu::Launches launches = lowerPhase(&op, emission);
      if (failed(launches))
        return failure();
      for (const cpu::Launch &launch : *launches)
        schedule::LaunchOp::create(
            builder, op.getLoc(), SymbolRefAttr::get(launch.kernel),
            launch.grid, launch.reads, launch.writes, ValueRange(),
            builder.getStringAttr(launch.label));
      op.erase();
    }
    return success();
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
