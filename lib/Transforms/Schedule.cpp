//===- Schedule.cpp - Choosing and building a schedule --------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The policy says in which order a layer's phases run, Arrange.cpp what each
// order means, and Issue.cpp places events where buffers ask for them.
//
//===----------------------------------------------------------------------===//

#include "moe-mlir/Transforms/Schedule.h"
#include "Arrange.h"
#include "moe-mlir/Dialect/MoE/IR/MoE.h"
#include "moe-mlir/Dialect/Schedule/Analysis/Uniform.h"
#include "moe-mlir/Transforms/Parallel.h"
#include "moe-mlir/Transforms/Passes.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/IR/Remarks.h"

namespace moe {
#define GEN_PASS_DEF_MOESCHEDULE
#include "moe-mlir/Transforms/Passes.h.inc"
} // namespace moe

using namespace mlir;
using namespace moe;
using namespace moe::schedule;

namespace {
/// A layer, and where it can run in two batches the branch of which one arm is
/// the layer and the other its halves.
struct Layer {
  LayerPhases whole;
  scf::IfOp choice;
  LayerPhases halves;

  /// Its first op in the function's body.
  Operation *front() {
    return choice ? choice.getOperation() : whole.phases.front();
  }
};
} // namespace

/// True for ops that only compute addresses, sizes and buffers: they are no
/// work of a stream and dominate all of it.
static bool isSetUp(Operation *op) {
  if (op->hasTrait<OpTrait::IsTerminator>())
    return false;
  if (isPure(op) || isa<memref::AllocOp, memref::DimOp>(op))
    return true;
  return false;
}

static LogicalResult addPhase(Operation *op, LayerPhases &layer) {
  if ((op->getNumRegions() != 0 && !isa<FusedOp>(op)) ||
      op->getNumResults() != 0)
    return op->emitOpError("expected work on buffers to schedule, without "
                           "regions and results; bufferize first and keep "
                           "control flow out of scheduled functions");
  layer.phases.push_back(op);
  auto shared = dyn_cast<SharedExpertsOp>(op);
  if (!shared)
    return success();
  if (layer.shared)
    return shared.emitOpError("expected one 'moe.shared_experts' per "
                              "'moe.merge'");
  layer.shared = shared;
  return success();
}

static LogicalResult addPhases(Block &arm, LayerPhases &layer) {
  for (Operation &op : arm)
    if (!isSetUp(&op) && !op.hasTrait<OpTrait::IsTerminator>() &&
        failed(addPhase(&op, layer)))
      return failure();
  return success();
}

/// True for a branch between the two halves of a layer and the whole of it.
static bool choosesHalves(scf::IfOp branch) {
  return branch.elseBlock() && branch.getNumResults() == 0 &&
         llvm::any_of(*branch.thenBlock(), [](Operation &op) {
           PartAttr part = getPart(&op);
           return part && part.getCount() == 2;
         });
}

/// True for a `moe.merge`, alone or with other phases in one kernel.
static bool endsLayer(Operation *op) {
  auto fused = dyn_cast<FusedOp>(op);
  return isa<MergeOp>(op) ||
         (fused && !fused.getBody().getOps<MergeOp>().empty());
}

/// Splits the function's work into layers: each ends with its `moe.merge`, or
/// is a branch that holds it twice.
static FailureOr<SmallVector<Layer>>
collectLayers(FunctionOpInterface function) {
  SmallVector<Layer> layers;
  bool open = false;
  for (Operation &op : function.getFunctionBody().front()) {
    if (isSetUp(&op) || op.hasTrait<OpTrait::IsTerminator>())
      continue;
    auto branch = dyn_cast<scf::IfOp>(op);
    bool isChoice = branch && !open && choosesHalves(branch);
    if (!open)
      layers.emplace_back();
    Layer &layer = layers.back();
    if (isChoice) {
      layer.choice = branch;
      if (failed(addPhases(*branch.thenBlock(), layer.halves)) ||
          failed(addPhases(*branch.elseBlock(), layer.whole)))
        return failure();
      continue;
    }
    if (failed(addPhase(&op, layer.whole)))
      return failure();
    open = !endsLayer(&op);
  }
  return layers;
}

//===----------------------------------------------------------------------===//
// Decisions
//===----------------------------------------------------------------------===//

/// The shape that the cost model works with, of the whole layer.
static policy::LayerShape getLayerShape(LayerInfoAttr info,
                                        SharedExpertsOp shared) {
  policy::LayerShape shape;
  shape.hidden = info.getHidden();
  shape.inter = info.getIntermediate();
  shape.experts = shape.expertsLocal = info.getPlan().getExperts();
  shape.topK = info.getTopK();
  shape.sharedInter = info.getSharedIntermediate();
  Type element = cast<ShapedType>(shared.getX().getType()).getElementType();
  shape.dtypeBytes = element.getIntOrFloatBitWidth() / 8;
  shape.matrices = info.getGated() ? 3 : 2;
  return shape;
}

/// Says what was decided, why, and what would change it.
static void remarkOn(Location loc, StringRef function,
                     const policy::Decision &decision) {
  auto opts = remark::RemarkOpts::name("order")
                  .category("moe-schedule")
                  .function(function);
  auto say = [&](const policy::Outcome &outcome, const std::string &when) {
    auto finish = [&](remark::detail::InFlightRemark &&out) {
      // In one piece: every piece is shown as a remark of its own.
      out << (std::string(name(outcome.order)) + when + ": " + outcome.rule)
          << remark::metric("order", StringRef(name(outcome.order)))
          << remark::metric("rule", StringRef(outcome.rule))
          << remark::reason("{0}", outcome.reason);
      if (!outcome.suggestion.empty())
        out << remark::suggest("{0}", outcome.suggestion);
    };
    bool overlapped = outcome.order == Order::MultiStreamOverlapped ||
                      outcome.order == Order::MKInternalOverlapped;
    if (overlapped)
      finish(remark::passed(loc, opts));
    else if (outcome.order == Order::NoOverlap)
      finish(remark::missed(loc, opts));
    else
      finish(remark::analysis(loc, opts));
  };
  if (!decision.dependsOnTokens())
    return say(decision.low, "");
  std::string threshold = std::to_string(*decision.threshold);
  say(decision.low, " at T <= " + threshold);
  say(decision.high, " at T > " + threshold);
}

static void remarkOn(Location loc, StringRef function,
                     const policy::BatchDecision &batches) {
  auto opts = remark::RemarkOpts::name("batches")
                  .category("moe-schedule")
                  .function(function);
  auto say = [&](remark::detail::InFlightRemark &&out) {
    out << ((batches.twoBatches ? "two batches: " : "one batch: ") +
            batches.rule)
        << remark::reason("{0}", batches.reason);
    if (!batches.suggestion.empty())
      out << remark::suggest("{0}", batches.suggestion);
  };
  if (batches.twoBatches)
    say(remark::passed(loc, opts));
  else
    say(remark::missed(loc, opts));
}

/// The layer's number of tokens, where its buffers' types say it.
static std::optional<int64_t> getStaticTokens(const LayerPhases &layer) {
  if (!layer.shared)
    return std::nullopt;
  int64_t tokens = cast<ShapedType>(getOwnRows(layer).getType()).getDimSize(0);
  if (ShapedType::isDynamic(tokens))
    return std::nullopt;
  return tokens;
}

/// Builds runs for the phases in the order that is decided, or for both orders
/// where the number of `ownRows` decides.
static void
issueByTokens(OpBuilder &builder, Location loc, Value ownRows,
              const policy::Decision &decision,
              function_ref<SmallVector<IssuedWork>(Order)> arrange) {
  if (!decision.dependsOnTokens())
    return issue(builder, arrange(decision.low.order));
  Value zero = arith::ConstantIndexOp::create(builder, loc, 0);
  Value tokens = memref::DimOp::create(builder, loc, ownRows, zero);
  Value threshold =
      arith::ConstantIndexOp::create(builder, loc, *decision.threshold);
  Value few = arith::CmpIOp::create(builder, loc, arith::CmpIPredicate::ule,
                                    tokens, threshold);
  auto choice = scf::IfOp::create(builder, loc, few, /*withElse=*/true);
  OpBuilder low = choice.getThenBodyBuilder();
  issue(low, arrange(decision.low.order));
  OpBuilder high = choice.getElseBodyBuilder();
  issue(high, arrange(decision.high.order));
}

static void issueLayer(OpBuilder &builder, const Layer &layer,
                       const policy::Decision &decision,
                       const policy::BatchDecision &batches) {
  Location loc = layer.whole.phases.front()->getLoc();
  Value ownRows =
      decision.dependsOnTokens() ? getOwnRows(layer.whole) : Value();
  auto issueWhole = [&](OpBuilder &b) {
    issueByTokens(b, loc, ownRows, decision,
                  [&](Order order) { return arrange(layer.whole, order); });
  };
  if (!layer.choice || !batches.twoBatches)
    return issueWhole(builder);
  scf::IfOp branch = layer.choice;
  auto choice = scf::IfOp::create(builder, branch.getLoc(),
                                  branch.getCondition(), /*withElse=*/true);
  if (isUniform(branch.getCondition()))
    choice->setAttr("schedule.uniform", builder.getUnitAttr());
  OpBuilder halves = choice.getThenBodyBuilder();
  issueByTokens(halves, loc, ownRows, decision, [&](Order order) {
    return arrangeHalves(layer.halves, order);
  });
  OpBuilder whole = choice.getElseBodyBuilder();
  issueWhole(whole);
}

/// Erases what was scheduled, and the buffers of an arm that was not.
static void eraseUnscheduled(Block &entry, MutableArrayRef<Layer> layers) {
  for (Layer &layer : llvm::reverse(layers)) {
    if (layer.choice) {
      layer.choice.erase();
      continue;
    }
    for (Operation *op : llvm::reverse(layer.whole.phases))
      op->erase();
  }
  for (Operation &op : llvm::make_early_inc_range(llvm::reverse(entry)))
    if (isSetUp(&op) && isOpTriviallyDead(&op))
      op.erase();
}

LogicalResult moe::scheduleFunction(FunctionOpInterface function,
                                    const ScheduleOptions &options) {
  FailureOr<SmallVector<Layer>> layers = collectLayers(function);
  if (failed(layers))
    return failure();
  if (layers->empty())
    return success();

  // Sizes and buffers are issued by nobody: they come first, in their order.
  Block &entry = function.getFunctionBody().front();
  Operation *first = layers->front().front();
  for (Operation &op : llvm::make_early_inc_range(entry))
    if (isSetUp(&op) && first->isBeforeInBlock(&op))
      op.moveBefore(first);

  OpBuilder builder(entry.getTerminator());
  SmallVector<Attribute> decisions, infos;
  for (auto [index, layer] : llvm::enumerate(*layers)) {
    const bool hasShared = static_cast<bool>(layer.whole.shared);
    LayerInfoAttr info = getLayerInfo(function, index);
    if (!info)
      info = describePhases(function, hasShared);
    infos.push_back(info);
    if (info.getPlan().getSharedExperts() != hasShared)
      return layer.whole.phases.front()->emitOpError()
             << "expected the phases of a layer "
             << (hasShared ? "without" : "with")
             << " shared experts, as 'moe.layers' says";
    const policy::ParallelProperties properties = getProperties(info);
    policy::DecisionOptions decisionOptions = options.decision;
    if (hasShared && info.getHidden() > 0)
      decisionOptions.cost = policy::CostInputs{
          getLayerShape(info, layer.whole.shared), options.machine};
    policy::Decision decision = policy::decideOrder(
        properties, options.kernel, options.platform,
        getStaticTokens(layer.whole), *options.ruleSet, decisionOptions);
    policy::BatchDecision batches =
        policy::decideBatches(properties, options.kernel, *options.ruleSet);
    if (batches.twoBatches && !layer.choice) {
      batches.twoBatches = false;
      batches.reason = "the layer has no phases for halves of its tokens";
      batches.suggestion =
          "let --moe-expand-layer write the phases, and record "
          "no load of the experts";
    }
    Location loc = layer.whole.phases.front()->getLoc();
    remarkOn(loc, function.getName(), decision);
    const bool asksForBatches = properties.enableDbo;
    if (asksForBatches)
      remarkOn(loc, function.getName(), batches);
    decisions.push_back(getDecisionAttr(
        builder.getContext(), info.getName(), decision,
        asksForBatches ? std::optional(batches) : std::nullopt));
    issueLayer(builder, layer, decision, batches);
  }
  eraseUnscheduled(entry, *layers);
  function->setAttr(kLayersAttrName, builder.getArrayAttr(infos));
  function->setAttr(kDecisionsAttrName, builder.getArrayAttr(decisions));
  return success();
}

namespace {
struct MoESchedule : moe::impl::MoEScheduleBase<MoESchedule> {
  using MoEScheduleBase::MoEScheduleBase;

  void runOnOperation() override {
    ScheduleOptions options;
    std::string error;
    options.ruleSet = policy::findRuleSet(ruleSet.getValue(), error);
    if (!options.ruleSet) {
      getOperation().emitError(error);
      return signalPassFailure();
    }
    options.kernel.modular = !monolithicKernel;
    options.platform.name = target;
    options.platform.hasAuxStream = auxStream;
    options.decision.threshold = threshold;
    options.decision.disableSharedExpertsStream = disableSharedExpertsStream;
    options.machine = policy::getDefaultMachine(target.getValue());
    if (!machine.empty()) {
      std::optional<policy::MachineModel> loaded =
          policy::loadMachine(machine, error);
      if (!loaded) {
        getOperation().emitError(error);
        return signalPassFailure();
      }
      options.machine = *loaded;
    }
    if (failed(scheduleFunction(getOperation(), options)))
      signalPassFailure();
  }
};
} // namespace
