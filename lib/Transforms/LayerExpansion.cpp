//===- LayerExpansion.cpp - The phases of one layer -----------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The phases come in the order of the data flow. What moves between ranks and
// who sums what follows from the parallel configuration by the policy library;
// here it becomes exchanges, gathers and sums.
//
// With two-batch overlap the phases are written twice: for all tokens of a
// call, and for its halves, of which every rank has one of its own tokens.
// Which is run is decided on values that all ranks share.
//
// Inits are `bufferization.alloc_tensor`s: equal `tensor.empty`s would be
// merged, and two phases on two streams would then share a buffer.
//
//===----------------------------------------------------------------------===//

#include "LayerExpansion.h"
#include "TensorBuilder.h"

#include "mlir/Dialect/SCF/IR/SCF.h"

using namespace mlir;
using namespace moe;

namespace {
/// Writes the phases of one layer in front of it.
class LayerExpansion : TensorBuilder {
public:
  LayerExpansion(OpBuilder &builder, LayerOp layer,
                 const policy::ParallelProperties &parallel,
                 std::optional<int64_t> maxNumTokens)
      : TensorBuilder(builder, layer.getLoc()), layer(layer),
        parallel(parallel), maxNumTokens(maxNumTokens),
        grid(getGrid(builder.getContext(), parallel)),
        hidden(layer.getHiddenStates()), topkIds(layer.getTopkIds()),
        topkWeights(layer.getTopkWeights()),
        dtype(layer.getHiddenStates().getType().getElementType()) {}

  /// The layer's results, or an error that has been emitted.
  FailureOr<SmallVector<Value>> expand();

private:
  /// Tokens, and what the router says of them: row i of each is one token.
  struct Tokens {
    OpFoldResult rows;
    Value x;
    Value ids;
    Value weights;
  };
  /// What the experts of this rank read, and how it is sent back.
  struct Received {
    Value rows;
    Value weights;
    DispatchOp plan;
    OpFoldResult numPairs;
  };

  schedule::CommunicatorAttr over(StringRef axis) const {
    return schedule::CommunicatorAttr::getOver(grid, axis);
  }
  LogicalResult decideExchange();
  /// True if tokens are gathered over the pcp ranks before the dispatch.
  bool gathersOverPcp() const;
  /// R, for tokens in `rows` rows that come by the exchange or stay here.
  OpFoldResult getReceivedRows(OpFoldResult rows);

  /// Gate and route, on the tokens of all pcp ranks where they are gathered;
  /// `local` are this rank's.
  LogicalResult chooseExperts(Tokens &local, Tokens &routed);
  Received dispatch(const Tokens &tokens);
  Value runExperts(Received received);
  Value combine(const Received &received, const Tokens &tokens,
                Value expertOut);
  /// Null without shared experts.
  Value runSharedExperts();
  /// Into `init`, or a new buffer.
  Value merge(Value routed, Value shared, const Tokens &local, Value init);

  /// Gate to merge for the tokens that the members below are set to.
  FailureOr<Value> expandTokens(Value shared, Value init);
  /// The same for each half of the tokens, into the rows of `init`.
  FailureOr<Value> expandHalves(Value init);
  /// True, in all ranks alike, where a call is split into halves.
  Value askForHalves();

  LayerOp layer;
  const policy::ParallelProperties &parallel;
  std::optional<int64_t> maxNumTokens;
  schedule::GridAttr grid;
  // The tokens that are expanded: this rank's, or a half of them.
  Value hidden, topkIds, topkWeights;
  OpFoldResult numTokens;
  /// Of a half, and the row of its first token.
  schedule::PartAttr part;
  OpFoldResult firstRow;

  Type dtype;
  ExchangeAttr exchange;
  OpFoldResult numLocalExperts;
  /// Null unless the layer records it.
  Value expertLoad;
};
} // namespace

//===----------------------------------------------------------------------===//
// What moves
//===----------------------------------------------------------------------===//

schedule::GridAttr moe::getGrid(MLIRContext *context,
                                const policy::ParallelProperties &parallel) {
  auto name = [&](StringRef axis) { return StringAttr::get(context, axis); };
  return schedule::GridAttr::get(
      context, {name("dp"), name("pcp"), name("tp")},
      {parallel.dp.size, parallel.pcp.size, parallel.outerTp.size});
}

LogicalResult LayerExpansion::decideExchange() {
  auto exchangeOver = [&](ArrayRef<StringRef> axes) {
    auto communicator = schedule::CommunicatorAttr::getOver(grid, axes);
    // Over dp alone, tokens were gathered over the pcp ranks before.
    bool isGathered = parallel.gathersOverPcp && !communicator.hasAxis("pcp");
    exchange =
        ExchangeAttr::get(layer.getContext(), parallel.transport, communicator,
                          isGathered ? parallel.pcp.size : 1);
    return success();
  };
  const StringRef all[] = {"dp", "pcp", "tp"}, data[] = {"dp"};
  const policy::SizeAndRank &ep = parallel.ep, &dp = parallel.dp;
  switch (parallel.transport) {
  case Transport::none:
    return success();
  case Transport::all_gather:
    // Ranks that hold the same tokens (tp) or get them before (pcp) do not take
    // part: each computes its experts' share, which the sums below complete.
    // Sequence-parallel ranks all hold different tokens.
    if (parallel.isSequenceParallel || (parallel.useEp && ep.size == dp.size))
      return exchangeOver(all);
    return exchangeOver(data);
  case Transport::send_receive:
    return exchangeOver(all);
  case Transport::batched:
    if (!maxNumTokens)
      return layer.emitOpError()
             << "expected the function's attribute '"
             << schedule::kMaxNumTokensAttrName
             << "' or the option 'max-num-tokens': the exchange of '"
             << name(parallel.backend) << "' has a fixed capacity";
    return exchangeOver(all);
  }
  llvm_unreachable("unknown transport");
}

bool LayerExpansion::gathersOverPcp() const {
  // An exchange over all ranks reaches the pcp ranks by itself.
  return parallel.gathersOverPcp &&
         !(exchange && exchange.getCommunicator().hasAxis("pcp"));
}

OpFoldResult LayerExpansion::getReceivedRows(OpFoldResult rows) {
  if (!exchange)
    return rows;
  if (exchange.getTransport() == Transport::batched)
    return multiply(
        "num_rows", numLocalExperts,
        constant(exchange.getNumRanks() * getMaxTokens(part, *maxNumTokens)));
  Value total = schedule::TotalTokensOp::create(b, getNamedLoc("total_tokens"),
                                                b.getIndexType(), part);
  // Tensor-parallel ranks outside the exchange hold the same tokens, and the
  // total counts them once each.
  if (exchange.getCommunicator().coversGrid() || parallel.outerTp.size == 1)
    return total;
  Value replicas =
      arith::ConstantIndexOp::create(b, loc, parallel.outerTp.size);
  return arith::DivUIOp::create(b, getNamedLoc("num_rows"), total, replicas)
      .getResult();
}

//===----------------------------------------------------------------------===//
// Phases
//===----------------------------------------------------------------------===//

LogicalResult LayerExpansion::chooseExperts(Tokens &local, Tokens &routed) {
  int64_t topK = layer.getRouting().getTopK();
  int64_t pcp = parallel.pcp.size;
  OpFoldResult routedRows =
      gathersOverPcp() ? multiply("pcp_tokens", numTokens, constant(pcp))
                       : numTokens;
  routed.rows = routedRows;
  local.rows = numTokens;
  local.x = hidden;

  Value logits;
  if (Value weight = layer.getRouterWeight()) {
    Value init = alloc("logits", b.getF32Type(), {numTokens, dim(weight, 0)});
    logits = GateOp::create(b, loc, init.getType(), hidden, weight,
                            layer.getRouterBias(), init)
                 .getLogits();
  }
  Value x = hidden;
  if (Value latent = layer.getLatentIn()) {
    Value init = alloc("latent", dtype, {numTokens, dim(latent, 0)});
    x = ProjectOp::create(b, loc, init.getType(), x, latent, init)
            .getProjected();
  }
  if (gathersOverPcp()) {
    x = gather("rows_of_pcp", x, routedRows, over("pcp"));
    if (logits)
      logits = gather("logits_of_pcp", logits, routedRows, over("pcp"));
  }
  routed.x = x;

  if (!logits) {
    local.ids = topkIds;
    local.weights = topkWeights;
    routed.ids = local.ids;
    routed.weights = local.weights;
    if (gathersOverPcp()) {
      routed.ids = gather("ids_of_pcp", local.ids, routedRows, over("pcp"));
      routed.weights =
          gather("weights_of_pcp", local.weights, routedRows, over("pcp"));
    }
    return success();
  }

  SmallVector<OpFoldResult> choices = {routedRows, constant(topK)};
  Value idsInit = alloc("ids", b.getI32Type(), choices);
  Value weightsInit = alloc("weights", b.getF32Type(), choices);
  // Replicas are chosen by the row among all tokens of the rank.
  Value routedFrom;
  if (firstRow && layer.getReplicaCount())
    routedFrom = getValueOrCreateConstantIndexOp(b, loc, firstRow);
  auto route =
      RouteOp::create(b, loc, idsInit.getType(), weightsInit.getType(), logits,
                      layer.getCorrectionBias(), layer.getLogicalToPhysical(),
                      layer.getReplicaCount(), routedFrom, idsInit, weightsInit,
                      layer.getRouting());
  routed.ids = route.getIds();
  routed.weights = route.getWeights();
  if (Value load = layer.getExpertLoad()) {
    Value init = alloc("expert_load", b.getI32Type(), dim(load, 0));
    expertLoad = ExpertLoadOp::create(b, loc, init.getType(), routed.ids, init)
                     .getLoad();
  }
  if (gathersOverPcp()) {
    if (layer.getRouting().getZeroExperts() > 0)
      return layer.emitOpError()
             << "zero experts with prefill_context = " << pcp
             << " need the choices of this rank's tokens, but tokens are "
                "gathered over the pcp ranks before they are routed";
    return success();
  }
  local.ids = routed.ids;
  local.weights = routed.weights;
  return success();
}

LayerExpansion::Received LayerExpansion::dispatch(const Tokens &tokens) {
  Transport transport = exchange ? exchange.getTransport() : Transport::none;
  OpFoldResult rows = getReceivedRows(tokens.rows);
  OpFoldResult topK = constant(layer.getRouting().getTopK());
  // With fixed capacity a row arrives once per choice.
  OpFoldResult choices = transport == Transport::batched ? constant(1) : topK;
  Received received;
  received.numPairs = multiply("num_pairs", rows, choices);

  Type i32 = b.getI32Type();
  Value offsets = alloc("expert_offsets", i32,
                        {add("num_offsets", numLocalExperts, constant(1))});
  Value sourceRows = alloc("source_rows", i32, {received.numPairs});
  Value pairRows = alloc("pair_rows", i32, {rows, choices});
  Value x, weights, rowsInit, rowWeights, positions, sendCounts, receiveCounts;
  if (exchange) {
    x = tokens.x;
    weights = tokens.weights;
    rowsInit = alloc("rows", dtype, {rows, dim(x, 1)});
    rowWeights = alloc("row_weights", b.getF32Type(), {rows, choices});
  }
  if (transport == Transport::send_receive || transport == Transport::batched)
    positions = alloc("positions", i32, {tokens.rows, topK});
  if (transport == Transport::send_receive) {
    OpFoldResult ranks = constant(exchange.getNumRanks());
    sendCounts = alloc("send_counts", i32, {ranks});
    receiveCounts = alloc("receive_counts", i32, {ranks});
  }
  // Which experts are this rank's.
  PlacementAttr placement;
  if (parallel.ep.size > 1)
    placement = PlacementAttr::get(b.getContext(), parallel.numPhysicalExperts,
                                   parallel.ep.size, parallel.expertPlacement);
  auto typeOf = [](Value init) { return init ? init.getType() : Type(); };
  received.plan = DispatchOp::create(
      b, loc, typeOf(offsets), typeOf(sourceRows), typeOf(pairRows),
      typeOf(rowsInit), typeOf(rowWeights), typeOf(positions),
      typeOf(sendCounts), typeOf(receiveCounts), tokens.ids, x, weights,
      offsets, sourceRows, pairRows, rowsInit, rowWeights, positions,
      sendCounts, receiveCounts,
      b.getI64IntegerAttr(parallel.numPhysicalExperts), exchange, placement);
  received.rows = exchange ? received.plan.getRows() : tokens.x;
  received.weights = exchange ? received.plan.getRowWeights() : tokens.weights;
  return received;
}

Value LayerExpansion::runExperts(Received received) {
  Value init =
      alloc("expert_out", dtype, {received.numPairs, dim(layer.getW2(), 1)});
  Value inputWeights =
      layer.getRouting().getWeightOnInput() ? received.weights : Value();
  return ExpertsOp::create(
             b, loc, init.getType(), received.rows, received.plan.getOffsets(),
             received.plan.getSourceRows(), layer.getW13(), layer.getW2(),
             layer.getB13(), layer.getB2(), layer.getW13Scale(),
             layer.getW2Scale(), inputWeights, init, layer.getActivation(),
             layer.getQuantAttr())
      .getExpertOut();
}

Value LayerExpansion::combine(const Received &received, const Tokens &tokens,
                              Value expertOut) {
  // What another rank or a GEMM reads next is in the layer's dtype; what only
  // the merge reads stays in float32.
  bool isRead = exchange || gathersOverPcp() || layer.getLatentOut();
  Type elementType = isRead ? dtype : Type(b.getF32Type());
  Value init =
      alloc("routed", elementType, {tokens.rows, dim(layer.getW2(), 1)});
  Value weights =
      layer.getRouting().getWeightOnInput() ? Value() : received.weights;
  bool isBatched = exchange && exchange.getTransport() == Transport::batched;
  DispatchOp plan = received.plan;
  Value routed =
      CombineOp::create(
          b, loc, init.getType(), expertOut, plan.getPairRows(), weights,
          plan.getPositions(), plan.getSendCounts(), plan.getReceiveCounts(),
          init,
          b.getF64FloatAttr(layer.getRouting().getScale().getValueAsDouble()),
          exchange, isBatched ? plan.getNumExpertsAttr() : IntegerAttr())
          .getRouted();
  if (gathersOverPcp())
    routed = reduceScatter("routed_of_rank", routed, numTokens, over("pcp"));
  // The projection is linear, so it may come before the last sum.
  if (Value latent = layer.getLatentOut()) {
    Value projected =
        alloc("routed_hidden", b.getF32Type(), {numTokens, dim(latent, 0)});
    routed = ProjectOp::create(b, loc, projected.getType(), routed, latent,
                               projected)
                 .getProjected();
  }
  return routed;
}

Value LayerExpansion::runSharedExperts() {
  if (!layer.getSharedW2())
    return {};
  Value x = hidden;
  OpFoldResult rows = numTokens;
  int64_t tp = parallel.outerTp.size;
  // Sharded over sequence-parallel ranks, each computes its share for the
  // tokens of all of them. Their slices are equally long.
  if (parallel.sharedExpertsSharded) {
    rows = multiply("tp_tokens", numTokens, constant(tp));
    x = gather("shared_rows", x, rows, over("tp"));
  }
  bool isReduced = parallel.reduction == policy::Reduction::SharedOnly;
  bool isSent = isReduced || parallel.sharedExpertsSharded;
  Value init =
      alloc("shared", isSent ? dtype : Type(b.getF32Type()), {rows, dim(x, 1)});
  Value shared =
      SharedExpertsOp::create(b, loc, init.getType(), x, layer.getSharedW13(),
                              layer.getSharedW2(), layer.getSharedGate(), init,
                              layer.getActivation())
          .getShared();
  if (parallel.sharedExpertsSharded)
    return reduceScatter("shared_of_rank", shared, numTokens, over("tp"));
  if (!isReduced)
    return shared;
  Value reduced = alloc("shared_sum", dtype, {rows, dim(x, 1)});
  return collective(schedule::CollectiveKind::all_reduce, "all-reduce",
                    over("tp"), shared, reduced);
}

Value LayerExpansion::merge(Value routed, Value shared, const Tokens &local,
                            Value init) {
  RoutingAttr routing = layer.getRouting();
  if (!init)
    init = alloc("output", dtype, {numTokens, dim(hidden, 1)});
  Value x, ids, weights;
  IntegerAttr firstZeroExpert;
  FloatAttr zeroScale;
  schedule::CommunicatorAttr communicator;
  if (routing.getZeroExperts() > 0) {
    x = local.x;
    ids = local.ids;
    weights = local.weights;
    firstZeroExpert = b.getI64IntegerAttr(layer.getNumRouterOutputs() -
                                          routing.getZeroExperts());
    zeroScale = b.getF64FloatAttr(routing.getScale().getValueAsDouble());
  }
  if (parallel.reduction == policy::Reduction::Sum)
    communicator = over("tp");
  return MergeOp::create(b, loc, init.getType(), routed, shared, x, ids,
                         weights, init, firstZeroExpert, zeroScale,
                         communicator)
      .getOutput();
}

FailureOr<Value> LayerExpansion::expandTokens(Value shared, Value init) {
  Tokens local, routed;
  if (failed(chooseExperts(local, routed)))
    return failure();
  numLocalExperts = dim(layer.getW13(), 0, "num_local_experts");
  Received received = dispatch(routed);
  Value expertOut = runExperts(received);
  Value routedOut = combine(received, routed, expertOut);
  if (!shared)
    shared = runSharedExperts();
  return merge(routedOut, shared, local, init);
}

//===----------------------------------------------------------------------===//
// Two batches
//===----------------------------------------------------------------------===//

Value LayerExpansion::askForHalves() {
  Value tokens = schedule::MaxTokensOp::create(b, getNamedLoc("max_tokens"),
                                               b.getIndexType());
  Value decodes = schedule::CallValueOp::create(b, getNamedLoc("decodes"),
                                                b.getI1Type(), "decodes");
  Value threshold = arith::SelectOp::create(
      b, getNamedLoc("dbo_threshold"), decodes,
      arith::ConstantIndexOp::create(b, loc, parallel.dboDecodeTokenThreshold),
      arith::ConstantIndexOp::create(b, loc,
                                     parallel.dboPrefillTokenThreshold));
  return arith::CmpIOp::create(b, loc, arith::CmpIPredicate::uge, tokens,
                               threshold);
}

FailureOr<Value> LayerExpansion::expandHalves(Value init) {
  // The shared experts exchange no rows by themselves: all tokens at once.
  Value shared = runSharedExperts();
  OpFoldResult all = numTokens;
  OpFoldResult first = compute<arith::DivUIOp>(
      "half_tokens", add("tokens_and_one", all, constant(1)), constant(2),
      [](int64_t a, int64_t b) { return a / b; });
  OpFoldResult rest = compute<arith::SubIOp>(
      "rest_tokens", all, first, [](int64_t a, int64_t b) { return a - b; });
  auto take = [&](StringRef name, Value tensor) {
    return tensor ? takeRows(name, tensor, firstRow, numTokens) : Value();
  };
  Block *block = b.getInsertionBlock();
  for (int64_t number : {0, 1}) {
    part = schedule::PartAttr::get(b.getContext(), number, /*count=*/2);
    numTokens = number == 0 ? first : rest;
    // Of one token, nothing is left: no rows begin behind the last one.
    bool isFirst = number == 0 || isConstantIntValue(rest, 0);
    firstRow = isFirst ? constant(0) : first;
    hidden = take("hidden_half", layer.getHiddenStates());
    topkIds = take("ids_half", layer.getTopkIds());
    topkWeights = take("weights_half", layer.getTopkWeights());
    Value sharedHalf = take("shared_half", shared);
    Value outputHalf = take("output_half", init);
    Operation *last = &block->back();
    FailureOr<Value> output = expandTokens(sharedHalf, outputHalf);
    if (failed(output))
      return failure();
    while ((last = last->getNextNode()))
      if (auto collective = dyn_cast<schedule::CollectiveOp>(last))
        collective.setPartAttr(part);
      else if (isa<PhaseOpInterface>(last))
        last->setAttr(kPartAttrName, part);
    init = replaceRows(*output, init, firstRow, numTokens);
  }
  return init;
}

FailureOr<SmallVector<Value>> LayerExpansion::expand() {
  numTokens = dim(hidden, 0, "num_tokens");
  if (failed(decideExchange()))
    return failure();
  bool takesHalves = parallel.enableDbo && exchange;
  if (takesHalves && layer.getExpertLoad()) {
    layer.emitWarning("runs in one batch: the load of the experts is counted "
                      "over all tokens at once");
    takesHalves = false;
  }
  if (!takesHalves) {
    FailureOr<Value> output = expandTokens(/*shared=*/{}, /*init=*/{});
    if (failed(output))
      return failure();
    SmallVector<Value> results = {*output};
    if (expertLoad)
      results.push_back(expertLoad);
    return results;
  }

  Value init = alloc("output", dtype, {numTokens, dim(hidden, 1)});
  OpBuilder::InsertionGuard guard(b);
  auto choice = scf::IfOp::create(b, loc, init.getType(), askForHalves(),
                                  /*withElseRegion=*/true);
  b.setInsertionPointToEnd(choice.elseBlock());
  FailureOr<Value> whole = expandTokens(/*shared=*/{}, init);
  if (failed(whole))
    return failure();
  scf::YieldOp::create(b, loc, *whole);
  b.setInsertionPointToEnd(choice.thenBlock());
  FailureOr<Value> halves = expandHalves(init);
  if (failed(halves))
    return failure();
  scf::YieldOp::create(b, loc, *halves);
  return SmallVector<Value>(choice.getResults());
}

FailureOr<SmallVector<Value>>
moe::expandLayer(OpBuilder &builder, LayerOp layer,
                 const policy::ParallelProperties &parallel,
                 std::optional<int64_t> maxNumTokens) {
  return LayerExpansion(builder, layer, parallel, maxNumTokens).expand();
}
