//===- LowerExchanges.cpp - What phases do on several ranks ---------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "LayerExpansion.h"
#include "moe-mlir/Dialect/MoE/IR/MoE.h"
#include "moe-mlir/Dialect/Schedule/IR/SetUp.h"
#include "moe-mlir/Transforms/Passes.h"

#include "mlir/Dialect/Utils/StaticValueUtils.h"
#include "llvm/ADT/TypeSwitch.h"

namespace moe {
#define GEN_PASS_DEF_MOELOWEREXCHANGES
#include "moe-mlir/Transforms/Passes.h.inc"
} // namespace moe

using namespace mlir;
using namespace moe;
using schedule::CollectiveKind;

namespace {
/// The ranks that take part, how many rows each has for one of its tokens, and
/// the part of its tokens that takes part, if not all do.
struct Communicator {
  schedule::CommunicatorAttr attr;
  schedule::PartAttr part;
  int64_t rowsPerToken = 1;

  int64_t getNumRanks() const { return attr.getNumRanks(); }
};

/// Writes what a phase is made of in front of it, and its temporaries to the
/// entry of the function.
class PhaseLowering {
public:
  explicit PhaseLowering(Operation *phase)
      : phase(phase), loc(phase->getLoc()), b(phase),
        setUp(schedule::atEndOfSetUp(
            phase->getParentOfType<FunctionOpInterface>())) {}

  LogicalResult dispatch(DispatchOp op);
  /// The op has an exchange.
  LogicalResult combine(CombineOp op);
  /// The op sums over ranks.
  LogicalResult merge(MergeOp op);

private:
  // Sizes are values of the function's entry.
  OpFoldResult getDim(Value buffer, int64_t dim);
  OpFoldResult multiply(OpFoldResult size, int64_t factor);
  OpFoldResult divide(OpFoldResult size, int64_t divisor);
  Value allocate(Type element, ArrayRef<OpFoldResult> sizes);

  Communicator getCommunicator(ExchangeAttr exchange);
  FailureOr<int64_t> getCapacity();
  schedule::CollectiveOp exchange(StringRef label, CollectiveKind kind,
                                  const Communicator &communicator,
                                  ValueRange sends, ValueRange receives);

  void gatherAll(DispatchOp op);
  void sendByCounts(DispatchOp op);
  LogicalResult sendBatched(DispatchOp op);
  void plan(DispatchOp op, Value ids);
  /// `x` in the order of `rows`.
  Value pack(Value x, Value rows);

  Operation *phase;
  Location loc;
  OpBuilder b, setUp;
};
} // namespace

//===----------------------------------------------------------------------===//
// Buffers and collectives
//===----------------------------------------------------------------------===//

static Type getElementType(Value buffer) {
  return cast<MemRefType>(buffer.getType()).getElementType();
}

OpFoldResult PhaseLowering::getDim(Value buffer, int64_t dim) {
  int64_t size = cast<MemRefType>(buffer.getType()).getDimSize(dim);
  if (!ShapedType::isDynamic(size))
    return setUp.getIndexAttr(size);
  Value position = arith::ConstantIndexOp::create(setUp, loc, dim);
  return memref::DimOp::create(setUp, loc, buffer, position).getResult();
}

OpFoldResult PhaseLowering::multiply(OpFoldResult size, int64_t factor) {
  if (std::optional<int64_t> constant = getConstantIntValue(size))
    return setUp.getIndexAttr(*constant * factor);
  Value by = arith::ConstantIndexOp::create(setUp, loc, factor);
  return arith::MulIOp::create(setUp, loc, cast<Value>(size), by).getResult();
}

OpFoldResult PhaseLowering::divide(OpFoldResult size, int64_t divisor) {
  if (std::optional<int64_t> constant = getConstantIntValue(size))
    return setUp.getIndexAttr(*constant / divisor);
  Value by = arith::ConstantIndexOp::create(setUp, loc, divisor);
  return arith::DivUIOp::create(setUp, loc, cast<Value>(size), by).getResult();
}

Value PhaseLowering::allocate(Type element, ArrayRef<OpFoldResult> sizes) {
  SmallVector<int64_t> shape;
  SmallVector<Value> dynamicSizes;
  dispatchIndexOpFoldResults(sizes, dynamicSizes, shape);
  constexpr int64_t cacheLine = 64;
  return memref::AllocOp::create(setUp, loc, MemRefType::get(shape, element),
                                 dynamicSizes,
                                 setUp.getI64IntegerAttr(cacheLine));
}

schedule::CollectiveOp PhaseLowering::exchange(StringRef label,
                                               CollectiveKind kind,
                                               const Communicator &communicator,
                                               ValueRange sends,
                                               ValueRange receives) {
  // Only these know their rows from the tokens of the ranks.
  bool goesByTokens = kind == CollectiveKind::all_gather ||
                      kind == CollectiveKind::reduce_scatter;
  return schedule::CollectiveOp::create(
      b, loc, /*results=*/TypeRange(), kind, communicator.attr, sends, receives,
      /*counts=*/ValueRange(), b.getI64IntegerAttr(communicator.rowsPerToken),
      goesByTokens ? communicator.part : schedule::PartAttr(),
      /*blocks=*/DenseI64ArrayAttr(), /*blocks_by_source=*/UnitAttr(),
      b.getStringAttr(label));
}

Communicator PhaseLowering::getCommunicator(ExchangeAttr exchange) {
  return {exchange.getCommunicator(), getPart(phase),
          exchange.getRowsPerToken()};
}

FailureOr<int64_t> PhaseLowering::getCapacity() {
  auto function = phase->getParentOfType<FunctionOpInterface>();
  auto attr =
      function->getAttrOfType<IntegerAttr>(schedule::kMaxNumTokensAttrName);
  if (!attr)
    return phase->emitOpError("expected the function's attribute '")
           << schedule::kMaxNumTokensAttrName
           << "': the exchange has a fixed capacity";
  return getMaxTokens(getPart(phase), attr.getInt());
}

//===----------------------------------------------------------------------===//
// Dispatch and combine
//===----------------------------------------------------------------------===//

static PlacementAttr getPlacement(DispatchOp op) {
  if (PlacementAttr placement = op.getPlacementAttr())
    return placement;
  return PlacementAttr::get(op.getContext(), op.getNumExperts(), /*ranks=*/1,
                            PlacementKind::linear);
}

/// The plan of `ids`, of which some may be of other ranks' experts.
void PhaseLowering::plan(DispatchOp op, Value ids) {
  PlacementAttr placement = getPlacement(op);
  Value map;
  if (placement.getRanks() > 1) {
    Value rank = schedule::RankOp::create(setUp, loc, setUp.getIndexType());
    OpFoldResult size = setUp.getIndexAttr(placement.getExperts());
    map = allocate(b.getI32Type(), size);
    ExpertMapOp::create(b, loc, rank, map, placement);
  }
  DispatchPlanOp::create(b, loc, ids, map, op.getOffsetsInit(),
                         op.getSourceRowsInit(), op.getPairRowsInit());
}

LogicalResult PhaseLowering::dispatch(DispatchOp op) {
  if (!op.getExchange())
    return plan(op, op.getIds()), success();
  switch (op.getExchange()->getTransport()) {
  case Transport::all_gather:
    return gatherAll(op), success();
  case Transport::send_receive:
    return sendByCounts(op), success();
  case Transport::batched:
    return sendBatched(op);
  case Transport::none:
    break;
  }
  llvm_unreachable("an exchange has a transport");
}

void PhaseLowering::gatherAll(DispatchOp op) {
  Value ids = allocate(getElementType(op.getIds()),
                       {getDim(op.getRowsInit(), 0), getDim(op.getIds(), 1)});
  exchange("dispatch", CollectiveKind::all_gather,
           getCommunicator(op.getExchangeAttr()),
           {op.getX(), op.getWeights(), op.getIds()},
           {op.getRowsInit(), op.getRowWeightsInit(), ids});
  plan(op, ids);
}

Value PhaseLowering::pack(Value x, Value rows) {
  Value packed = allocate(getElementType(x), {getDim(rows, 0), getDim(x, 1)});
  GatherRowsOp::create(b, loc, x, rows, packed);
  return packed;
}

/// Rows for the tokens of which `positions` [T, k] tells the choices, where
/// each goes at most once to one of `ranks` ranks.
static int64_t getRowsPerToken(Value positions, int64_t ranks) {
  return std::min(cast<MemRefType>(positions.getType()).getDimSize(1), ranks);
}

/// A token goes once to each rank that has one of its experts, with all of its
/// choices; that rank's plan leaves out those that are not its own.
void PhaseLowering::sendByCounts(DispatchOp op) {
  Communicator communicator = getCommunicator(op.getExchangeAttr());
  Type i32 = b.getI32Type();
  Value positions = op.getPositionsInit();
  Value sendCounts = op.getSendCountsInit();
  Value receiveCounts = op.getReceiveCountsInit();
  int64_t perToken = getRowsPerToken(positions, communicator.getNumRanks());
  Value rows = allocate(i32, multiply(getDim(positions, 0), perToken));
  Value ids =
      allocate(i32, {getDim(op.getRowsInit(), 0), getDim(op.getIds(), 1)});
  SendPlanOp::create(b, loc, op.getIds(), sendCounts, rows, positions,
                     getPlacement(op));
  exchange("dispatch.counts", CollectiveKind::all_to_all, communicator,
           sendCounts, receiveCounts);
  SmallVector<Value> packed;
  for (Value x : {op.getX(), op.getWeights(), op.getIds()})
    packed.push_back(pack(x, rows));
  // Fewer rows may come than there is room for.
  ClearIdsOp::create(b, loc, ids);
  exchange("dispatch.rows", CollectiveKind::all_to_all, communicator, packed,
           {op.getRowsInit(), op.getRowWeightsInit(), ids})
      .getCountsMutable()
      .append({sendCounts, receiveCounts});
  plan(op, ids);
}

/// Blocks of `capacity` rows for each expert, in the order of ranks.
static DenseI64ArrayAttr getBlocks(PlacementAttr placement, int64_t capacity) {
  SmallVector<int64_t> blocks;
  for (int64_t rank = 0; rank < placement.getRanks(); ++rank)
    blocks.push_back(placement.getNumExpertsOf(rank) * capacity);
  return DenseI64ArrayAttr::get(placement.getContext(), blocks);
}

LogicalResult PhaseLowering::sendBatched(DispatchOp op) {
  FailureOr<int64_t> capacity = getCapacity();
  if (failed(capacity))
    return failure();
  PlacementAttr placement = getPlacement(op);
  Communicator communicator = getCommunicator(op.getExchangeAttr());
  Type i32 = b.getI32Type();
  OpFoldResult numExperts = setUp.getIndexAttr(placement.getExperts());
  OpFoldResult numRows = setUp.getIndexAttr(placement.getExperts() * *capacity);
  Value rows = allocate(i32, numRows);
  Value weights = allocate(b.getF32Type(), {numRows, setUp.getIndexAttr(1)});
  Value counts = allocate(i32, numExperts);
  // One count for each of this rank's experts from every rank.
  Value receivedCounts =
      allocate(i32, divide(getDim(op.getRowsInit(), 0), *capacity));
  BatchedSendPlanOp::create(b, loc, op.getIds(), op.getWeights(), counts, rows,
                            weights, op.getPositionsInit(), placement,
                            *capacity);
  Value packed = pack(op.getX(), rows);
  exchange("dispatch.counts", CollectiveKind::all_to_all, communicator, counts,
           receivedCounts)
      .setBlocksAttr(getBlocks(placement, 1));
  exchange("dispatch.rows", CollectiveKind::all_to_all, communicator,
           {packed, weights}, {op.getRowsInit(), op.getRowWeightsInit()})
      .setBlocksAttr(getBlocks(placement, *capacity));
  BatchedPlanOp::create(b, loc, receivedCounts, op.getOffsetsInit(),
                        op.getSourceRowsInit(), op.getPairRowsInit(),
                        communicator.getNumRanks(), *capacity);
  return success();
}

/// A combine on this rank alone.
static void combineHere(OpBuilder &b, Location loc, Value expertOut,
                        Value pairRows, Value weights, Value init,
                        FloatAttr scale) {
  CombineOp::create(b, loc, Type(), expertOut, pairRows, weights,
                    /*positions=*/Value(), /*send_counts=*/Value(),
                    /*receive_counts=*/Value(), init, scale, ExchangeAttr(),
                    /*num_experts=*/IntegerAttr());
}

/// Each rank sums what its experts add to every row that it got. By all-gather
/// these are the rows of all tokens, and a reduce-scatter adds the ranks up;
/// else the sums go back to where the rows came from and are added there.
LogicalResult PhaseLowering::combine(CombineOp op) {
  ExchangeAttr attr = op.getExchangeAttr();
  Communicator communicator = getCommunicator(attr);
  Type element = getElementType(op.getInit());
  OpFoldResult columns = getDim(op.getInit(), 1);
  Value partial = allocate(element, {getDim(op.getPairRows(), 0), columns});
  combineHere(b, loc, op.getExpertOut(), op.getPairRows(), op.getWeights(),
              partial, op.getScaleAttr());
  if (attr.getTransport() == Transport::all_gather) {
    exchange("combine", CollectiveKind::reduce_scatter, communicator, partial,
             op.getInit());
    return success();
  }
  Value positions = op.getPositions();
  OpFoldResult numRows;
  DenseI64ArrayAttr blocks;
  if (attr.getTransport() == Transport::send_receive) {
    numRows = multiply(getDim(positions, 0),
                       getRowsPerToken(positions, communicator.getNumRanks()));
  } else {
    FailureOr<int64_t> capacity = getCapacity();
    if (failed(capacity))
      return failure();
    auto placement =
        PlacementAttr::get(op.getContext(), *op.getNumExperts(),
                           communicator.getNumRanks(), PlacementKind::linear);
    numRows = setUp.getIndexAttr(placement.getExperts() * *capacity);
    blocks = getBlocks(placement, *capacity);
  }
  Value returned = allocate(element, {numRows, columns});
  schedule::CollectiveOp back =
      exchange("combine.rows", CollectiveKind::all_to_all, communicator,
               partial, returned);
  if (blocks) {
    back.setBlocksAttr(blocks);
    back.setBlocksBySource(true);
  } else {
    back.getCountsMutable().append({op.getReceiveCounts(), op.getSendCounts()});
  }
  combineHere(b, loc, returned, positions, /*weights=*/{}, op.getInit(),
              b.getF64FloatAttr(1.0));
  return success();
}

//===----------------------------------------------------------------------===//
// Merge
//===----------------------------------------------------------------------===//

/// The sum over the ranks is one of float32 and rounded once; what is not to be
/// summed, zero experts, is added afterwards.
LogicalResult PhaseLowering::merge(MergeOp op) {
  SmallVector<OpFoldResult> sizes = {getDim(op.getRouted(), 0),
                                     getDim(op.getRouted(), 1)};
  Type f32 = b.getF32Type();
  Value partial = allocate(f32, sizes);
  MergeOp::create(b, loc, Type(), op.getRouted(), op.getShared(), /*x=*/Value(),
                  /*ids=*/Value(), /*weights=*/Value(), partial,
                  /*first_zero_expert=*/IntegerAttr(),
                  /*zero_scale=*/FloatAttr(),
                  /*communicator=*/schedule::CommunicatorAttr());
  bool isSum = getElementType(op.getInit()).isF32() && !op.getX();
  Value total = isSum ? Value(op.getInit()) : allocate(f32, sizes);
  exchange("merge", CollectiveKind::all_reduce,
           {*op.getCommunicator(), getPart(op)}, partial, total);
  if (!isSum)
    MergeOp::create(b, loc, Type(), total, /*shared=*/Value(), op.getX(),
                    op.getIds(), op.getWeights(), op.getInit(),
                    op.getFirstZeroExpertAttr(), op.getZeroScaleAttr(),
                    /*communicator=*/schedule::CommunicatorAttr());
  return success();
}

//===----------------------------------------------------------------------===//
// The pass
//===----------------------------------------------------------------------===//

/// Writes what the op is made of in front of it, and erases it; leaves phases
/// of this rank alone as they are.
static LogicalResult lowerPhase(Operation *phase) {
  PhaseLowering lowering(phase);
  // Nothing where the phase stays.
  auto lowered =
      llvm::TypeSwitch<Operation *, std::optional<LogicalResult>>(phase)
          .Case([&](DispatchOp op) { return lowering.dispatch(op); })
          .Case([&](CombineOp op) -> std::optional<LogicalResult> {
            if (!op.getExchange())
              return std::nullopt;
            return lowering.combine(op);
          })
          .Case([&](MergeOp op) -> std::optional<LogicalResult> {
            if (!op.getCommunicator())
              return std::nullopt;
            return lowering.merge(op);
          })
          .Default(std::nullopt);
  if (!lowered)
    return success();
  if (failed(*lowered))
    return failure();
  phase->erase();
  return success();
}

namespace {
struct MoELowerExchanges : moe::impl::MoELowerExchangesBase<MoELowerExchanges> {
  void runOnOperation() override {
    SmallVector<Operation *> phases;
    getOperation().walk([&](schedule::RunOp run) {
      for (auto phase : run.getBody().getOps<PhaseOpInterface>())
        phases.push_back(phase);
    });
    for (Operation *phase : phases)
      if (failed(lowerPhase(phase)))
        return signalPassFailure();
  }
};
} // namespace
