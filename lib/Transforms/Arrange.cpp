//===- Arrange.cpp - What each order of work means ------------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The table in docs/scheduling.md, as lists of work on streams.
//
//===----------------------------------------------------------------------===//

#include "Arrange.h"

using namespace mlir;
using namespace moe;
using namespace moe::schedule;

static StringRef getLabel(Operation *op) {
  if (auto phase = dyn_cast<PhaseOpInterface>(op))
    return phase.getPhaseName();
  if (auto collective = dyn_cast<CollectiveOp>(op))
    return collective.getLabel().value_or(
        stringifyCollectiveKind(collective.getKind()));
  return op->getName().getStringRef();
}

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

Value moe::getOwnRows(const LayerPhases &layer) {
  SmallVector<Operation *> preparation = getPreparation(layer);
  SharedExpertsOp shared = layer.shared;
  if (preparation.empty())
    return shared.getX();
  return cast<DestinationStyleOpInterface>(preparation.front())
      .getDpsInputs()
      .front();
}

/// The stream of an exchange's communicator; null for other phases.
static StreamAttr getCommStream(Operation *op) {
  std::optional<ExchangeAttr> exchange;
  if (auto dispatch = dyn_cast<DispatchOp>(op))
    exchange = dispatch.getExchange();
  else if (auto combine = dyn_cast<CombineOp>(op))
    exchange = combine.getExchange();
  if (!exchange)
    return {};
  return StreamAttr::get(op->getContext(), StreamKind::comm,
                         exchange->getCommunicator());
}

static bool isGather(Operation *op) {
  auto collective = dyn_cast<CollectiveOp>(op);
  return collective && collective.getKind() == CollectiveKind::all_gather;
}

SmallVector<IssuedWork> moe::arrange(const LayerPhases &layer, Order order) {
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
      return isa<GateOp, ProjectOp>(item.op) || isGather(item.op);
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
    for (IssuedWork &item : work)
      if (StreamAttr comm = getCommStream(item.op))
        item.stream = comm;
    auto combine = llvm::find_if(
        work, [](const IssuedWork &item) { return isa<CombineOp>(item.op); });
    // One that is a kernel with the merge leaves the place before both.
    if (combine != work.end())
      insertBefore(std::next(combine));
    else
      insertBefore(work.empty() ? work.end() : std::prev(work.end()));
    return work;
  }
  }
  llvm_unreachable("unknown order");
}

SmallVector<IssuedWork> moe::arrangeHalves(const LayerPhases &layer,
                                           Order order) {
  MLIRContext *context = layer.phases.front()->getContext();
  auto compute = StreamAttr::get(context);
  // Of each half: what leads to the exchange of rows and that, the experts, the
  // way back, and the rest. What is of no half are the shared experts, their
  // preparation, and the sums over ranks that follow them.
  enum Stage { Dispatch, Experts, Combine, Rest, numStages };
  SmallVector<IssuedWork> stages[2][numStages], shared, sums;
  Stage stage[2] = {Dispatch, Dispatch};
  for (Operation *op : layer.phases) {
    PartAttr part = getPart(op);
    if (!part) {
      bool isSum = layer.shared && layer.shared->isBeforeInBlock(op);
      (isSum ? sums : shared).push_back({op, compute, getLabel(op)});
      continue;
    }
    Stage &at = stage[part.getIndex()];
    if (isa<CombineOp>(op))
      at = Combine;
    StreamAttr comm = getCommStream(op);
    stages[part.getIndex()][at].push_back(
        {op, comm ? comm : compute, getLabel(op)});
    if (isa<DispatchOp>(op))
      at = Experts;
    else if (isa<CombineOp>(op))
      at = Rest;
  }

  SmallVector<IssuedWork> work;
  bool waitsForCombine = order == Order::MKInternalOverlapped;
  if (order == Order::MultiStreamOverlapped)
    for (IssuedWork &item : shared)
      if (item.op == layer.shared)
        item.stream = StreamAttr::get(context, StreamKind::aux);
  if (!waitsForCombine)
    llvm::append_range(work, shared);
  llvm::append_range(work, stages[0][Dispatch]);
  llvm::append_range(work, stages[1][Dispatch]);
  for (auto &half : stages) {
    llvm::append_range(work, half[Experts]);
    llvm::append_range(work, half[Combine]);
  }
  if (waitsForCombine)
    llvm::append_range(work, shared);
  llvm::append_range(work, sums);
  llvm::append_range(work, stages[0][Rest]);
  llvm::append_range(work, stages[1][Rest]);
  return work;
}
