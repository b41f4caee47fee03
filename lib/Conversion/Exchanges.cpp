//===- Exchanges.cpp - Phases that exchange rows between ranks ------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Exchanges.h"
#include "moe-mlir/Dialect/Schedule/IR/Schedule.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Utils/StaticValueUtils.h"
#include "mlir/Interfaces/FunctionInterfaces.h"

using namespace mlir;
using namespace moe;
using schedule::CollectiveKind;
using Place = PhaseGenerator::Place;

//===----------------------------------------------------------------------===//
// Buffers and collectives
//===----------------------------------------------------------------------===//

/// The size of a dimension, as a value of the function's entry if it is
/// dynamic.
static OpFoldResult getDim(const Place &place, Value buffer, int64_t dim) {
  int64_t size = cast<MemRefType>(buffer.getType()).getDimSize(dim);
  OpBuilder &b = place.scratch;
  if (!ShapedType::isDynamic(size))
    return b.getIndexAttr(size);
  Value position = arith::ConstantIndexOp::create(b, place.loc, dim);
  return memref::DimOp::create(b, place.loc, buffer, position).getResult();
}

static Value allocate(const Place &place, Type element,
                      ArrayRef<OpFoldResult> sizes) {
  SmallVector<int64_t> shape;
  SmallVector<Value> dynamicSizes;
  dispatchIndexOpFoldResults(sizes, dynamicSizes, shape);
  constexpr int64_t cacheLine = 64;
  return memref::AllocOp::create(place.scratch, place.loc,
                                 MemRefType::get(shape, element), dynamicSizes,
                                 place.scratch.getI64IntegerAttr(cacheLine));
}

static OpFoldResult multiply(const Place &place, OpFoldResult size,
                             int64_t factor) {
  OpBuilder &b = place.scratch;
  if (std::optional<int64_t> constant = getConstantIntValue(size))
    return b.getIndexAttr(*constant * factor);
  Value by = arith::ConstantIndexOp::create(b, place.loc, factor);
  return arith::MulIOp::create(b, place.loc, cast<Value>(size), by).getResult();
}

static OpFoldResult divide(const Place &place, OpFoldResult size,
                           int64_t divisor) {
  OpBuilder &b = place.scratch;
  if (std::optional<int64_t> constant = getConstantIntValue(size))
    return b.getIndexAttr(*constant / divisor);
  Value by = arith::ConstantIndexOp::create(b, place.loc, divisor);
  return arith::DivUIOp::create(b, place.loc, cast<Value>(size), by)
      .getResult();
}

static Type getElementType(Value buffer) {
  return cast<MemRefType>(buffer.getType()).getElementType();
}

namespace {
/// The ranks that take part, how many rows each has for one of its tokens, and
/// the half of its tokens that takes part, if not all do.
struct Communicator {
  StringRef name;
  int64_t ranks;
  IntegerAttr half;
  int64_t rowsPerToken = 1;
};
} // namespace

static schedule::CollectiveOp exchange(const Place &place, StringRef label,
                                       CollectiveKind kind,
                                       const Communicator &communicator,
                                       ValueRange sends, ValueRange receives) {
  OpBuilder &b = place.builder;
  // Only these know their rows from the tokens of the ranks.
  bool goesByTokens = kind == CollectiveKind::all_gather ||
                      kind == CollectiveKind::reduce_scatter;
  return schedule::CollectiveOp::create(
      b, place.loc, kind, b.getStringAttr(communicator.name),
      b.getI64IntegerAttr(communicator.ranks), sends, receives,
      /*counts=*/ValueRange(), b.getI64IntegerAttr(communicator.rowsPerToken),
      goesByTokens ? communicator.half : IntegerAttr(),
      /*blocks=*/DenseI64ArrayAttr(), /*blocks_by_source=*/UnitAttr(),
      b.getStringAttr(label));
}

/// The communicator of an exchange. Over dp alone, tokens were gathered over
/// the pcp ranks before.
static Communicator getCommunicator(Operation *op, ExchangeAttr exchange) {
  Communicator communicator{exchange.getCommunicator().strref(),
                            exchange.getRanks(), getHalf(op)};
  auto function = op->getParentOfType<FunctionOpInterface>();
  auto parallel = function->getAttrOfType<ParallelAttr>("moe.parallel");
  if (communicator.name == "dp" && parallel)
    communicator.rowsPerToken = parallel.getPrefillContext();
  return communicator;
}

//===----------------------------------------------------------------------===//
// Dispatch and combine
//===----------------------------------------------------------------------===//

static codegen::PlacementParams getPlacement(DispatchOp op) {
  codegen::PlacementParams params;
  params.numExperts = op.getNumExperts();
  if (ParallelAttr parallel = op.getParallelAttr()) {
    params.ranks = parallel.getNumExpertRanks();
    params.roundRobin = parallel.getExpertPlacement().strref() == "round_robin";
  }
  return params;
}

/// Null where all experts are here.
FailureOr<Value> ExchangeLowering::makeExpertMap(const Place &place,
                                                 DispatchOp op) {
  codegen::PlacementParams params = getPlacement(op);
  if (params.ranks == 1)
    return Value();
  OpBuilder &b = place.scratch;
  Value rank =
      schedule::RankOp::create(b, place.loc, b.getIndexType()).getResult();
  OpFoldResult numExperts = b.getIndexAttr(params.numExperts);
  Value map = allocate(place, b.getI32Type(), numExperts);
  if (failed(generator.expertMap(place, {rank, map}, params)))
    return failure();
  return map;
}

LogicalResult ExchangeLowering::plan(const Place &place, DispatchOp op,
                                     Value ids) {
  FailureOr<Value> map = makeExpertMap(place, op);
  if (failed(map))
    return failure();
  return generator.dispatchPlan(place, {ids, op.getOffsetsInit(),
                                        op.getSourceRowsInit(),
                                        op.getPairRowsInit(), *map});
}

LogicalResult ExchangeLowering::dispatch(const Place &place, DispatchOp op) {
  if (!op.getExchange())
    return plan(place, op, op.getIds());
  switch (op.getExchange()->getTransport()) {
  case Transport::all_gather:
    return gatherAll(place, op);
  case Transport::send_receive:
    return sendByCounts(place, op);
  case Transport::batched:
    return sendBatched(place, op);
  case Transport::none:
    break;
  }
  llvm_unreachable("an exchange has a transport");
}

LogicalResult ExchangeLowering::gatherAll(const Place &place, DispatchOp op) {
  Value ids = allocate(
      place, getElementType(op.getIds()),
      {getDim(place, op.getRowsInit(), 0), getDim(place, op.getIds(), 1)});
  exchange(place, "dispatch", CollectiveKind::all_gather,
           getCommunicator(op, op.getExchangeAttr()),
           {op.getX(), op.getWeights(), op.getIds()},
           {op.getRowsInit(), op.getRowWeightsInit(), ids});
  return plan(place, op, ids);
}

FailureOr<Value> ExchangeLowering::pack(const Place &place, Value x,
                                        Value rows) {
  Value packed = allocate(place, getElementType(x),
                          {getDim(place, rows, 0), getDim(place, x, 1)});
  if (failed(generator.gatherRows(place, {x, rows, packed})))
    return failure();
  return packed;
}

static std::pair<Value, Block *> getKey(Value pairRows, Operation *op) {
  return {pairRows, op->getParentOp()->getBlock()};
}

/// A token goes once to each rank that has one of its experts, with all of its
/// choices; that rank's plan leaves out those that are not its own.
LogicalResult ExchangeLowering::sendByCounts(const Place &place,
                                             DispatchOp op) {
  codegen::PlacementParams params = getPlacement(op);
  Communicator communicator = getCommunicator(op, op.getExchangeAttr());
  OpBuilder &b = place.scratch;
  Type i32 = b.getI32Type();
  OpFoldResult ranks = b.getIndexAttr(communicator.ranks);
  OpFoldResult tokens = getDim(place, op.getIds(), 0);
  int64_t choices = cast<MemRefType>(op.getIds().getType()).getDimSize(1);
  Sent &state = sent[getKey(op.getPairRowsInit(), op)];
  state.rows = multiply(place, tokens, std::min(choices, communicator.ranks));
  state.positions = allocate(place, i32, {tokens, b.getIndexAttr(choices)});
  state.sendCounts = allocate(place, i32, ranks);
  state.receiveCounts = allocate(place, i32, ranks);
  Value rows = allocate(place, i32, state.rows);
  Value ids =
      allocate(place, i32,
               {getDim(place, op.getRowsInit(), 0), b.getIndexAttr(choices)});
  if (failed(generator.sendPlan(
          place, {op.getIds(), state.sendCounts, rows, state.positions},
          params)))
    return failure();
  exchange(place, "dispatch.counts", CollectiveKind::all_to_all, communicator,
           state.sendCounts, state.receiveCounts);
  SmallVector<Value> packed;
  for (Value x : {op.getX(), op.getWeights(), op.getIds()}) {
    FailureOr<Value> part = pack(place, x, rows);
    if (failed(part))
      return failure();
    packed.push_back(*part);
  }
  // Fewer rows may come than there is room for.
  if (failed(generator.clearIds(place, ids)))
    return failure();
  exchange(place, "dispatch.rows", CollectiveKind::all_to_all, communicator,
           packed, {op.getRowsInit(), op.getRowWeightsInit(), ids})
      .getCountsMutable()
      .append({state.sendCounts, state.receiveCounts});
  return plan(place, op, ids);
}

/// Blocks of `capacity` rows for each expert, in the order of ranks.
static DenseI64ArrayAttr getBlocks(Builder &b,
                                   const codegen::PlacementParams &params,
                                   int64_t capacity) {
  SmallVector<int64_t> blocks;
  for (int64_t rank = 0; rank < params.ranks; ++rank)
    blocks.push_back((params.numExperts / params.ranks +
                      (rank < params.numExperts % params.ranks)) *
                     capacity);
  return b.getDenseI64ArrayAttr(blocks);
}

static FailureOr<int64_t> getCapacity(Operation *op) {
  auto function = op->getParentOfType<FunctionOpInterface>();
  auto attr = function->getAttrOfType<IntegerAttr>("moe.max_num_tokens");
  if (!attr)
    return op->emitOpError("expected the function's attribute "
                           "'moe.max_num_tokens': the exchange has a fixed "
                           "capacity");
  return getMaxTokens(getHalf(op), attr.getInt());
}

LogicalResult ExchangeLowering::sendBatched(const Place &place, DispatchOp op) {
  FailureOr<int64_t> capacity = getCapacity(op);
  if (failed(capacity))
    return failure();
  codegen::PlacementParams params = getPlacement(op);
  Communicator communicator = getCommunicator(op, op.getExchangeAttr());
  OpBuilder &b = place.scratch;
  Type i32 = b.getI32Type();
  OpFoldResult numExperts = b.getIndexAttr(params.numExperts);
  OpFoldResult one = b.getIndexAttr(1);
  Sent &state = sent[getKey(op.getPairRowsInit(), op)];
  state.rows = b.getIndexAttr(params.numExperts * *capacity);
  state.positions =
      allocate(place, i32,
               {getDim(place, op.getIds(), 0), getDim(place, op.getIds(), 1)});
  Value rows = allocate(place, i32, state.rows);
  Value weights = allocate(place, b.getF32Type(), {state.rows, one});
  Value counts = allocate(place, i32, numExperts);
  state.blocks = getBlocks(b, params, *capacity);
  // One count for each of this rank's experts from every rank.
  OpFoldResult numCounts =
      divide(place, getDim(place, op.getRowsInit(), 0), *capacity);
  Value receivedCounts = allocate(place, i32, numCounts);
  if (failed(generator.batchedSendPlan(place,
                                       {op.getIds(), op.getWeights(), counts,
                                        rows, weights, state.positions},
                                       params, *capacity)))
    return failure();
  FailureOr<Value> packed = pack(place, op.getX(), rows);
  if (failed(packed))
    return failure();
  exchange(place, "dispatch.counts", CollectiveKind::all_to_all, communicator,
           counts, receivedCounts)
      .setBlocksAttr(getBlocks(b, params, 1));
  exchange(place, "dispatch.rows", CollectiveKind::all_to_all, communicator,
           {*packed, weights}, {op.getRowsInit(), op.getRowWeightsInit()})
      .setBlocksAttr(state.blocks);
  return generator.batchedPlan(place,
                               {receivedCounts, op.getOffsetsInit(),
                                op.getSourceRowsInit(), op.getPairRowsInit()},
                               communicator.ranks, *capacity);
}

/// Each rank sums what its experts add to every row that it got. By all-gather
/// these are the rows of all tokens, and a reduce-scatter adds the ranks up;
/// else the sums go back to where the rows came from and are added there.
LogicalResult ExchangeLowering::combine(const Place &place, CombineOp op) {
  ExchangeAttr attr = op.getExchangeAttr();
  Communicator communicator = getCommunicator(op, attr);
  Type element = getElementType(op.getInit());
  OpFoldResult columns = getDim(place, op.getInit(), 1);
  Value partial =
      allocate(place, element, {getDim(place, op.getPairRows(), 0), columns});
  if (failed(generator.combine(
          place,
          {op.getExpertOut(), op.getPairRows(), op.getWeights(), partial},
          op.getScale().convertToDouble())))
    return failure();
  if (attr.getTransport() == Transport::all_gather) {
    exchange(place, "combine", CollectiveKind::reduce_scatter, communicator,
             partial, op.getInit());
    return success();
  }
  auto found = sent.find(getKey(op.getPairRows(), op));
  if (found == sent.end())
    return op.emitOpError("expected the dispatch of its 'pair_rows' before it "
                          "in the same block");
  const Sent &state = found->second;
  Value returned = allocate(place, element, {state.rows, columns});
  schedule::CollectiveOp back =
      exchange(place, "combine.rows", CollectiveKind::all_to_all, communicator,
               partial, returned);
  if (state.sendCounts) {
    back.getCountsMutable().append({state.receiveCounts, state.sendCounts});
  } else {
    back.setBlocksAttr(state.blocks);
    back.setBlocksBySource(true);
  }
  return generator.combine(
      place, {returned, state.positions, /*weights=*/Value(), op.getInit()},
      1.0);
}

//===----------------------------------------------------------------------===//
// Merge, and phases that are collectives
//===----------------------------------------------------------------------===//

/// The sum over the ranks is one of float32 and rounded once; what is not to be
/// summed, zero experts, is added afterwards.
LogicalResult ExchangeLowering::merge(const Place &place, MergeOp op,
                                      const codegen::MergeOperands &operands) {
  SmallVector<OpFoldResult> sizes = {getDim(place, operands.routed, 0),
                                     getDim(place, operands.routed, 1)};
  Type f32 = place.builder.getF32Type();
  codegen::MergeOperands before;
  before.routed = operands.routed;
  before.shared = operands.shared;
  before.y = allocate(place, f32, sizes);
  if (failed(generator.merge(place, before)))
    return failure();
  codegen::MergeOperands after = operands;
  bool isSum = getElementType(operands.y).isF32() && !operands.x;
  after.routed = isSum ? operands.y : allocate(place, f32, sizes);
  after.shared = {};
  exchange(place, "merge", CollectiveKind::all_reduce,
           {op.getCommunicatorName(), static_cast<int64_t>(*op.getRanks()),
            getHalf(op)},
           before.y, after.routed);
  return isSum ? success() : generator.merge(place, after);
}

template <typename OpTy>
static LogicalResult lower(const Place &place, OpTy op, CollectiveKind kind) {
  exchange(
      place, op.getPhaseName(), kind,
      {op.getCommunicator(), static_cast<int64_t>(op.getRanks()), getHalf(op)},
      op.getX(), op.getInit());
  return success();
}

LogicalResult ExchangeLowering::collective(const Place &place, AllReduceOp op) {
  return lower(place, op, CollectiveKind::all_reduce);
}

LogicalResult ExchangeLowering::collective(const Place &place, AllGatherOp op) {
  return lower(place, op, CollectiveKind::all_gather);
}

LogicalResult ExchangeLowering::collective(const Place &place,
                                           ReduceScatterOp op) {
  return lower(place, op, CollectiveKind::reduce_scatter);
}
