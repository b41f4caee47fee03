//===- Schedule.cpp - Choosing and building a schedule --------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The policy says in which order a layer's phases run; this pass knows what
// each order means (the table in docs/scheduling.md) and leaves the events to
// Issue.cpp, which places them where buffers ask for them.
//
//===----------------------------------------------------------------------===//

#include "moe-mlir/Transforms/Schedule.h"
#include "Issue.h"
#include "moe-mlir/Dialect/MoE/IR/MoE.h"
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
using policy::Order;

namespace {
/// The phases of one layer, in the order of the data flow.
struct LayerPhases {
  SmallVector<Operation *> phases;
  SharedExpertsOp shared;
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

static StringRef getLabel(Operation *op) {
  if (auto phase = dyn_cast<PhaseOpInterface>(op))
    return phase.getPhaseName();
  return op->getName().getStringRef();
}

/// Splits the function's work into layers: each ends with its `moe.merge`.
static FailureOr<SmallVector<LayerPhases>>
collectLayers(FunctionOpInterface function) {
  SmallVector<LayerPhases> layers;
  bool open = false;
  for (Operation &op : function.getFunctionBody().front()) {
    if (isSetUp(&op) || op.hasTrait<OpTrait::IsTerminator>())
      continue;
    if (op.getNumRegions() != 0 || op.getNumResults() != 0)
      return op.emitOpError("expected work on buffers to schedule, without "
                            "regions and results; bufferize first and keep "
                            "control flow out of scheduled functions");
    if (!open)
      layers.emplace_back();
    open = true;
    layers.back().phases.push_back(&op);
    if (auto shared = dyn_cast<SharedExpertsOp>(op)) {
      if (layers.back().shared)
        return shared.emitOpError("expected one 'moe.shared_experts' per "
                                  "'moe.merge'");
      layers.back().shared = shared;
    }
    if (isa<MergeOp>(op))
      open = false;
  }
  return layers;
}

//===----------------------------------------------------------------------===//
// What each order means
//===----------------------------------------------------------------------===//

/// Phases that only prepare the input of the shared experts, such as a gather
/// of the rows that sharded weights need: they come with them.
static SmallVector<Operation *> getPreparation(const LayerPhases &layer) {
  SmallVector<Operation *> preparation;
  SharedExpertsOp shared = layer.shared;
  Value input = shared.getX();
  for (Operation *op : llvm::reverse(layer.phases)) {
    auto phase = dyn_cast<DestinationStyleOpInterface>(op);
    if (!phase || !phase->isBeforeInBlock(shared) ||
        !llvm::is_contained(phase.getDpsInits(), input))
      continue;
    preparation.insert(preparation.begin(), op);
    input = phase.getDpsInputs().front();
  }
  return preparation;
}

/// The rows of the shared experts that are this rank's own: T is their number,
/// and not that of gathered ones.
static Value getOwnRows(const LayerPhases &layer) {
  SmallVector<Operation *> preparation = getPreparation(layer);
  SharedExpertsOp shared = layer.shared;
  if (preparation.empty())
    return shared.getX();
  return cast<DestinationStyleOpInterface>(preparation.front())
      .getDpsInputs()
      .front();
}

/// The work of a layer in the order of `order`, each on its stream.
static SmallVector<IssuedWork> arrange(const LayerPhases &layer, Order order) {
  MLIRContext *context = layer.phases.front()->getContext();
  auto compute = StreamAttr::get(context);
  auto aux = StreamAttr::get(context, StreamKind::aux);
  SmallVector<Operation *> preparation;
  if (layer.shared)
    preparation = getPreparation(layer);
  SmallVector<IssuedWork> work;
  for (Operation *op : layer.phases)
    if (op != layer.shared && !llvm::is_contained(preparation, op))
      work.push_back({op, compute, getLabel(op)});
  if (!layer.shared)
    return work;

  IssuedWork shared = {layer.shared, compute, getLabel(layer.shared)};
  auto insertBefore = [&](auto position) {
    position = work.insert(position, shared);
    for (Operation *op : llvm::reverse(preparation))
      position = work.insert(position, {op, compute, getLabel(op)});
  };
  switch (order) {
  case Order::None:
  case Order::NoOverlap: {
    // After the gate and the gathers of hidden states and logits that follow
    // it, before the routed experts.
    auto position = llvm::find_if_not(work, [](const IssuedWork &item) {
      return isa<GateOp, AllGatherOp, ProjectOp>(item.op);
    });
    insertBefore(position);
    return work;
  }
  case Order::MultiStreamOverlapped:
    // The fork lies before the gate, so the shared experts overlap with all of
    // the routed path; whoever reads their output joins.
    shared.stream = aux;
    insertBefore(work.begin());
    return work;
  case Order::MKInternalOverlapped: {
    // Dispatch and combine go to the communication stream; the shared experts
    // run between the launch of the combine and its wait.
    for (IssuedWork &item : work) {
      StringRef communicator;
      if (auto dispatch = dyn_cast<DispatchOp>(item.op))
        communicator = dispatch.getCommunicatorName();
      else if (auto combine = dyn_cast<CombineOp>(item.op))
        communicator = combine.getCommunicatorName();
      if (!communicator.empty())
        item.stream = StreamAttr::get(context, StreamKind::comm, communicator);
    }
    auto combine = llvm::find_if(
        work, [](const IssuedWork &item) { return isa<CombineOp>(item.op); });
    insertBefore(combine == work.end() ? combine : std::next(combine));
    return work;
  }
  }
  llvm_unreachable("unknown order");
}

//===----------------------------------------------------------------------===//
// Decisions
//===----------------------------------------------------------------------===//

policy::LayerTraits moe::readLayerTraits(DictionaryAttr info) {
  policy::LayerTraits traits;
  auto integer = [&](StringRef key) {
    auto attr = info.getAs<IntegerAttr>(key);
    return attr ? attr.getInt() : 0;
  };
  traits.numExperts = integer("num_experts");
  traits.intermediateSize = integer("intermediate_size");
  traits.sharedIntermediateSize = integer("shared_intermediate_size");
  traits.numExpertGroups = integer("n_group");
  traits.hasSharedExperts = traits.sharedIntermediateSize > 0;
  return traits;
}

/// The shape that the cost model works with, of the whole layer.
static policy::LayerShape readLayerShape(DictionaryAttr info,
                                         SharedExpertsOp shared) {
  auto integer = [&](StringRef key) {
    auto attr = info.getAs<IntegerAttr>(key);
    return attr ? attr.getInt() : 0;
  };
  policy::LayerShape shape;
  shape.hidden = integer("hidden_size");
  shape.inter = integer("intermediate_size");
  shape.experts = shape.expertsLocal = integer("num_experts");
  shape.topK = integer("top_k");
  shape.sharedInter = integer("shared_intermediate_size");
  Type element = cast<ShapedType>(shared.getX().getType()).getElementType();
  shape.dtypeBytes = element.getIntOrFloatBitWidth() / 8;
  shape.matrices = shared.getActivation().isGated() ? 3 : 2;
  return shape;
}

/// A decision as an entry of `moe.decisions`; readDecision is its inverse.
static Attribute describe(Builder &b, const policy::Decision &decision,
                          StringAttr layer) {
  auto string = [&](std::string_view text) {
    return b.getStringAttr(StringRef(text.data(), text.size()));
  };
  auto outcome = [&](const policy::Outcome &out) -> Attribute {
    return b.getDictionaryAttr(
        {b.getNamedAttr("order", string(policy::stringify(out.order))),
         b.getNamedAttr("rule", string(out.rule)),
         b.getNamedAttr("reason", string(out.reason)),
         b.getNamedAttr("suggestion", string(out.suggestion))});
  };
  NamedAttrList list;
  if (layer)
    list.append("layer", layer);
  list.append("rule_set", string(decision.ruleSet));
  if (decision.dependsOnTokens()) {
    list.append("at_or_below_threshold", outcome(decision.low));
    list.append("above_threshold", outcome(decision.high));
    list.append("threshold", b.getI64IntegerAttr(*decision.threshold));
  } else {
    list.append("always", outcome(decision.low));
  }
  return list.getDictionary(b.getContext());
}

policy::Decision moe::readDecision(DictionaryAttr attr) {
  auto outcome = [](DictionaryAttr dictionary) {
    auto string = [&](StringRef key) {
      return dictionary.getAs<StringAttr>(key).str();
    };
    policy::Outcome out;
    out.order = *policy::parseOrder(string("order"));
    out.rule = string("rule");
    out.reason = string("reason");
    out.suggestion = string("suggestion");
    return out;
  };
  policy::Decision decision;
  decision.ruleSet = attr.getAs<StringAttr>("rule_set").str();
  if (auto threshold = attr.getAs<IntegerAttr>("threshold")) {
    decision.threshold = threshold.getInt();
    decision.low = outcome(attr.getAs<DictionaryAttr>("at_or_below_threshold"));
    decision.high = outcome(attr.getAs<DictionaryAttr>("above_threshold"));
  } else {
    decision.low = outcome(attr.getAs<DictionaryAttr>("always"));
    decision.high = decision.low;
  }
  return decision;
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
      out << (std::string(policy::stringify(outcome.order)) + when + ": " +
              outcome.rule)
          << remark::metric("order",
                            StringRef(policy::stringify(outcome.order).data()))
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

LogicalResult moe::scheduleFunction(FunctionOpInterface function,
                                    const ScheduleOptions &options) {
  FailureOr<SmallVector<LayerPhases>> layers = collectLayers(function);
  if (failed(layers))
    return failure();
  if (layers->empty())
    return success();

  auto infos = function->getAttrOfType<ArrayAttr>("moe.layers");
  auto parallelAttr = function->getAttrOfType<ParallelAttr>("moe.parallel");
  if (!parallelAttr)
    parallelAttr = ParallelAttr::get(function.getContext());
  FailureOr<policy::ParallelConfig> config =
      getParallelConfig(parallelAttr, [&] { return function.emitError(); });
  if (failed(config))
    return failure();

  // Sizes and buffers are issued by nobody: they come first, in their order.
  Block &entry = function.getFunctionBody().front();
  Operation *first = layers->front().phases.front();
  for (Operation &op : llvm::make_early_inc_range(entry))
    if (isSetUp(&op) && first->isBeforeInBlock(&op))
      op.moveBefore(first);

  OpBuilder builder(entry.getTerminator());
  SmallVector<Attribute> decisions;
  for (auto [index, layer] : llvm::enumerate(*layers)) {
    DictionaryAttr info;
    if (infos && index < infos.size())
      info = cast<DictionaryAttr>(infos[index]);
    policy::LayerTraits traits =
        info ? readLayerTraits(info) : policy::LayerTraits();
    traits.hasSharedExperts = static_cast<bool>(layer.shared);
    traits.optsIntoSequenceParallel = parallelAttr.getSequenceParallelFamily();
    policy::DecisionOptions decisionOptions = options.decision;
    if (info && layer.shared)
      decisionOptions.cost = policy::CostInputs{
          readLayerShape(info, layer.shared), options.machine};
    policy::Decision decision = policy::decideOrder(
        *config, traits, options.kernel, options.platform, options.staticTokens,
        *options.ruleSet, decisionOptions);
    Location loc = layer.phases.front()->getLoc();
    remarkOn(loc, function.getName(), decision);
    decisions.push_back(
        describe(builder, decision,
                 info ? info.getAs<StringAttr>("name") : StringAttr()));

    if (!decision.dependsOnTokens()) {
      issue(builder, arrange(layer, decision.low.order));
      continue;
    }
    Value zero = arith::ConstantIndexOp::create(builder, loc, 0);
    Value tokens = memref::DimOp::create(builder, loc, getOwnRows(layer), zero);
    Value threshold =
        arith::ConstantIndexOp::create(builder, loc, *decision.threshold);
    Value few = arith::CmpIOp::create(builder, loc, arith::CmpIPredicate::ule,
                                      tokens, threshold);
    auto choice = scf::IfOp::create(builder, loc, few, /*withElse=*/true);
    OpBuilder low = choice.getThenBodyBuilder();
    issue(low, arrange(layer, decision.low.order));
    OpBuilder high = choice.getElseBodyBuilder();
    issue(high, arrange(layer, decision.high.order));
  }
  for (LayerPhases &layer : llvm::reverse(*layers))
    for (Operation *op : llvm::reverse(layer.phases))
      op->erase();
  function->setAttr("moe.decisions", builder.getArrayAttr(decisions));
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
    if (staticNumTokens >= 0)
      options.staticTokens = staticNumTokens;
    if (failed(scheduleFunction(getOperation(), options)))
      signalPassFailure();
  }
};
} // namespace
