//===- FewRows.cpp - GEMMs that read weights for few rows -----------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// With few rows the time is that of reading weights. So one warp does nothing
// but start copies of weights into a ring of stages in shared memory, from one
// item of work to the next without a pause, and the others multiply what has
// arrived with mma.sync.
//
// An item is 16 rows of the weights, the M side of m16n8k16 (8 gates and 8 ups
// of the same columns, which then meet in one thread), against up to 8 rows of
// x, its N side. A stage is a slice of K of these rows; each warp takes some of
// the slice, and at the end of the item their sums are added.
//
// Lane 4 g + t of mma.sync holds of its operands row g and elements 2 t, 2 t +
// 1 and 2 t + 8, 2 t + 9 of K. Since a sum does not care which elements of K
// are called how, the lane takes 8 neighbours of memory for two instructions.
//
//===----------------------------------------------------------------------===//

#include "FewRows.h"
#include "Activation.h"
#include "GemmEpilogue.h"
#include "MbarrierRing.h"

#include "mlir/Dialect/LLVMIR/NVVMDialect.h"

using namespace mlir;

namespace moe::codegen::cuda {

namespace {
/// Warps that multiply; one more loads.
constexpr int64_t kConsumers = 8;
constexpr int64_t kWarps = kConsumers + 1;
constexpr int64_t kThreads = kWarps * kWarpSize;
/// Blocks of the persistent grid for each multiprocessor.
constexpr int64_t kResidentBlocks = 2;
/// Rows of x, and rows of the weights, of an item.
constexpr int64_t kRows = 8;
constexpr int64_t kHalves = 2;
constexpr int64_t kHalfRows = 8;
constexpr int64_t kWeightRows = kHalves * kHalfRows;
/// Elements of K that a lane loads at once, a warp, and a stage.
constexpr int64_t kLaneDepth = 8;
constexpr int64_t kStepDepth = 4 * kLaneDepth;
constexpr int64_t kSliceDepth = 512;
/// Bytes of an element, and between rows of a stage: off by 16 from a multiple
/// of all banks, so that rows are read without conflicts.
constexpr int64_t kElementBytes = 2;
constexpr int64_t kRowBytes = kSliceDepth * kElementBytes + kVectorBytes;
constexpr int64_t kStageBytes = kWeightRows * kRowBytes;
constexpr int64_t kStages = 5;
/// Sums of a lane: two rows of x for each half.
constexpr int64_t kSums = 4;

/// Rows of one expert, as i32: the kRows from the first on, up to the end.
struct RowTile {
  Expr expert, firstRow, endRow;
};
constexpr int64_t kTileValues = 3;

/// The kernel.
class FewRows {
public:
  FewRows(Launch &launch, const GemmOperands &operands);

  void emit(KernelBuilder &k);
  int64_t getItemColumns() const {
    return finish.isGated() ? kHalfRows : kHalves * kHalfRows;
  }
  int64_t getColumnItems() const {
    return llvm::divideCeil(columns, getItemColumns());
  }

private:
  using Item = llvm::function_ref<Exprs(const RowTile &, Expr column,
                                        ArrayRef<Expr> carried)>;
  Exprs forEachItem(KernelBuilder &k, Expr numTiles, ArrayRef<Expr> init,
                    Item body);
  Array rowTiles(KernelBuilder &k) {
    return k.shared("tiles", {kMaxFewRows, kTileValues}, k.getI32Type());
  }
  Expr emitRowTiles(KernelBuilder &k);
  RowTile findRowTile(KernelBuilder &k, Expr number);

  void produce(KernelBuilder &k, MbarrierRing &ring, Expr numTiles);
  Expr weightLine(KernelBuilder &k, const RowTile &tile, Expr column);

  void consume(KernelBuilder &k, MbarrierRing &ring, Expr numTiles);
  Exprs multiplySlice(KernelBuilder &k, MbarrierRing &ring,
                      const RingPosition &position, Expr xLine, Expr first,
                      ArrayRef<Expr> sums);
  Exprs sumWarps(KernelBuilder &k, Expr turn, ArrayRef<Expr> sums);
  void store(KernelBuilder &k, const RowTile &tile, Expr column,
             ArrayRef<Expr> sums);

  Array stages(KernelBuilder &k) {
    return k.dynamicShared(0, {kStages, kWeightRows, kRowBytes}, k.getI8Type());
  }
  int64_t getSlices() const { return llvm::divideCeil(depth, kSliceDepth); }

  Buffer x, weights, sourceRows, expertOffsets;
  GemmFinish finish;
  Buffer y;
  int64_t depth, columns;
};
} // namespace

FewRows::FewRows(Launch &launch, const GemmOperands &operands)
    : x(launch.read(operands.x)), weights(launch.read(operands.weights)),
      sourceRows(launch.read(operands.sourceRows)),
      expertOffsets(launch.read(operands.expertOffsets)),
      finish(launch, operands, sourceRows), y(launch.write(operands.y)),
      depth(x.type.getDimSize(1)), columns(y.type.getDimSize(1)) {
  launch.setThreads(kThreads);
  launch.setResidentBlocks(kResidentBlocks);
  launch.setSharedBytes(kStages * kStageBytes +
                        MbarrierRing::getBytes(kStages));
  launch.setKey(describe(operands));
}

void FewRows::emit(KernelBuilder &k) {
  MbarrierRing ring(k, kStages * kStageBytes, kStages);
  k.startDependents();
  k.ifThen(k.thread() == 0, [&] {
    ring.init(/*fullArrivals=*/1, /*emptyArrivals=*/kConsumers);
  });
  k.barrier();
  k.awaitPrevious();
  Expr numTiles = expertOffsets ? emitRowTiles(k) : ceilDiv(k.dim(y, 0), kRows);
  k.ifElse(
      k.warp() == kConsumers,
      [&] {
        produce(k, ring, numTiles);
        return Exprs();
      },
      [&] {
        consume(k, ring, numTiles);
        return Exprs();
      });
}

/// Deals the items to blocks, those of a tile of rows next to each other.
Exprs FewRows::forEachItem(KernelBuilder &k, Expr numTiles, ArrayRef<Expr> init,
                           Item body) {
  int64_t columnItems = getColumnItems();
  return k.forEach(k.block(), numTiles * columnItems, k.numBlocks(), init,
                   [&](Expr item, ArrayRef<Expr> carried) {
                     RowTile tile = findRowTile(k, item / columnItems);
                     Expr column = item % columnItems * getItemColumns();
                     return body(tile, column, carried);
                   });
}

//===----------------------------------------------------------------------===//
// Rows
//===----------------------------------------------------------------------===//

/// Lists the tiles of all experts in shared memory, in order; hands back how
/// many there are.
Expr FewRows::emitRowTiles(KernelBuilder &k) {
  Expr numExperts = k.dim(expertOffsets, 0) - 1;
  auto listWindow = [&](Expr first, ArrayRef<Expr> carried) -> Exprs {
    Expr expert = first + k.thread();
    Expr isThere = expert < numExperts;
    Expr place = min(expert, numExperts - 1);
    Expr begin = k.load(expertOffsets, place);
    Expr end = k.load(expertOffsets, place + 1);
    Expr count = k.select(isThere, ceilDiv(end - begin, kRows), k.i32(0));
    auto [before, total] = k.scanBlock(count, kWarps);
    Expr number = carried[0] + before;
    k.forEach(k.i32(0), count, k.i32(1), [&](Expr i) {
      Exprs values{expert, begin + i * kRows, end};
      for (int64_t j = 0; j < kTileValues; ++j)
        k.store(values[j], rowTiles(k), {number + i, k.i32(j)});
    });
    return {carried[0] + total};
  };
  Expr count =
      k.forEach(k.i32(0), numExperts, k.i32(kThreads), k.i32(0), listWindow)
          .front();
  k.barrier();
  return count;
}

RowTile FewRows::findRowTile(KernelBuilder &k, Expr number) {
  if (!expertOffsets)
    return {k.i32(0), number * kRows, k.dim(y, 0)};
  auto load = [&](int64_t j) {
    return k.load(rowTiles(k), {number, k.i32(j)});
  };
  return {load(0), load(1), load(2)};
}

//===----------------------------------------------------------------------===//
// Loading
//===----------------------------------------------------------------------===//

/// The address of row `lane` of the item's weights. Behind the last row that is
/// the last, whose sums nobody stores.
Expr FewRows::weightLine(KernelBuilder &k, const RowTile &tile, Expr column) {
  Expr half = k.lane() / kHalfRows, row = column + k.lane() % kHalfRows;
  if (finish.isGated()) {
    row = min(row, columns - 1);
    row = k.select(half == 0, gateRow(*finish.activation, row),
                   upRow(*finish.activation, row, columns));
  } else {
    row = min(row + half * kHalfRows, columns - 1);
  }
  return expertOffsets ? k.address(weights, {tile.expert, row})
                       : k.address(weights, row);
}

/// Starts a copy from global to shared memory, which arrives at the barrier.
static void emitCopy(KernelBuilder &k, Expr target, Expr source, Expr bytes,
                     Expr barrier) {
  // The instruction writes to the shared memory of a cluster, of which a
  // block's own is a part.
  auto clusterPointer = LLVM::LLVMPointerType::get(
      k.getContext(),
      static_cast<unsigned>(NVVM::NVVMMemorySpace::SharedCluster));
  NVVM::CpAsyncBulkGlobalToSharedClusterOp::create(
      k, LLVM::AddrSpaceCastOp::create(k, clusterPointer, target), source,
      barrier, bytes, /*multicastMask=*/Value(), /*l2CacheHint=*/Value());
}

void FewRows::produce(KernelBuilder &k, MbarrierRing &ring, Expr numTiles) {
  int64_t last = (getSlices() - 1) * kSliceDepth;
  auto loadItem = [&](const RowTile &tile, Expr column,
                      ArrayRef<Expr> carried) {
    Array line{weightLine(k, tile, column), weights.type.getElementType(), {}};
    line.sizes.push_back(k.i32(depth));
    auto loadSlice = [&](Expr first, ArrayRef<Expr> carried) {
      RingPosition position = RingPosition::from(carried);
      Expr barrier = ring.full(position.stage);
      Expr bytes =
          k.select(first == last, k.i32((depth - last) * kElementBytes),
                   k.i32(kSliceDepth * kElementBytes));
      ring.waitEmpty(position);
      k.ifThen(k.lane() == 0, [&] {
        NVVM::MBarrierArriveExpectTxOp::create(
            k, Type(), barrier, bytes * kWeightRows, NVVM::MemScopeKind::CTA,
            /*relaxed=*/false, Value());
      });
      k.syncWarp();
      k.ifThen(k.lane() < kWeightRows, [&] {
        emitCopy(k, k.address(stages(k), {position.stage, k.lane()}),
                 k.address(line, first), bytes, barrier);
      });
      return ring.next(position).values();
    };
    return k.forEach(k.i32(0), k.i32(depth), k.i32(kSliceDepth), carried,
                     loadSlice);
  };
  forEachItem(k, numTiles, ring.begin().values(), loadItem);
}

//===----------------------------------------------------------------------===//
// Products
//===----------------------------------------------------------------------===//

void FewRows::consume(KernelBuilder &k, MbarrierRing &ring, Expr numTiles) {
  // Carried are the place in the ring and the number of the item.
  Exprs init = ring.begin().values();
  init.push_back(k.i32(0));
  auto computeItem = [&](const RowTile &tile, Expr column,
                         ArrayRef<Expr> carried) -> Exprs {
    // Lanes behind the last row take it once more.
    Expr row = min(tile.firstRow + k.lane() / 4, tile.endRow - 1);
    Expr xLine = k.address(x, sourceRows ? k.load(sourceRows, row) : row);
    Exprs start{carried[0], carried[1]};
    start.append(kSums, k.f32(0.0));
    Exprs end = k.forEach(k.i32(0), k.i32(depth), k.i32(kSliceDepth), start,
                          [&](Expr first, ArrayRef<Expr> carried) {
                            RingPosition position = RingPosition::from(carried);
                            Exprs sums =
                                multiplySlice(k, ring, position, xLine, first,
                                              carried.drop_front(2));
                            Exprs next = ring.next(position).values();
                            next.append(sums);
                            return next;
                          });
    Expr turn = carried[2];
    Exprs sums = sumWarps(k, turn, ArrayRef(end).drop_front(2));
    k.ifThen(k.warp() == turn % kConsumers,
             [&] { store(k, tile, column, sums); });
    return {end[0], end[1], turn + 1};
  };
  forEachItem(k, numTiles, init, computeItem);
}

/// Sums + weights * x of m16n8k16, whose operands are words of two elements.
static Exprs emitMma(KernelBuilder &k, Type element, ArrayRef<Expr> weights,
                     ArrayRef<Expr> x, ArrayRef<Expr> sums) {
  bool isBF16 = isa<BFloat16Type>(element);
  auto toValues = [&](ArrayRef<Expr> words) {
    return llvm::map_to_vector(words, [&](Expr word) -> Value {
      return isBF16 ? word : k.bitcast(word, VectorType::get(2, element));
    });
  };
  auto type = isBF16 ? NVVM::MMATypes::bf16 : NVVM::MMATypes::f16;
  auto resultType = LLVM::LLVMStructType::getLiteral(
      k.getContext(), SmallVector<Type>(kSums, k.getF32Type()));
  Value result = NVVM::MmaOp::create(
      k, resultType, toValues(weights), toValues(x),
      SmallVector<Value>(sums.begin(), sums.end()),
      ArrayRef<int64_t>{16, 8, 16}, /*b1Op=*/std::nullopt,
      /*intOverflow=*/std::nullopt, std::array{type, type},
      std::array{NVVM::MMALayout::row, NVVM::MMALayout::col});
  Exprs results;
  for (int64_t i = 0; i < kSums; ++i)
    results.push_back(k.wrap(LLVM::ExtractValueOp::create(k, result, i)));
  return results;
}

/// Adds the warp's part of the slice from element `first` of K on.
Exprs FewRows::multiplySlice(KernelBuilder &k, MbarrierRing &ring,
                             const RingPosition &position, Expr xLine,
                             Expr first, ArrayRef<Expr> before) {
  Type element = x.type.getElementType(), word = k.getI32Type();
  constexpr int64_t kWords = kLaneDepth / 2;
  constexpr int64_t kSteps = kSliceDepth / kStepDepth / kConsumers;
  bool mayEnd = depth % kSliceDepth != 0;
  Expr zeros = k.pack(Exprs(kWords, k.i32(0)));
  // Behind the end of K there are zeros on both sides.
  auto maskEnd = [&](Expr words, Expr place) {
    return mayEnd ? k.select(place < depth, words, zeros) : words;
  };
  // Warps take steps in turn, so that a slice cut short is shared, too.
  auto placeOf = [&](int64_t step) {
    return (k.warp() + step * kConsumers) * kStepDepth +
           k.lane() % 4 * kLaneDepth;
  };
  Array xRow{xLine, element, {k.i32(depth)}};
  Exprs xWords;
  for (int64_t step = 0; step < kSteps; ++step) {
    Expr place = first + placeOf(step);
    Expr inside = mayEnd ? min(place, depth - kLaneDepth) : place;
    xWords.push_back(
        maskEnd(k.loadRaw(k.address(xRow, inside), word, kWords), place));
  }
  ring.waitFull(position);
  SmallVector<Exprs> weightWords;
  for (int64_t step = 0; step < kSteps; ++step) {
    weightWords.emplace_back();
    for (int64_t half = 0; half < kHalves; ++half) {
      Expr row = k.lane() / 4 + half * kHalfRows;
      Expr words =
          k.loadRaw(k.address(stages(k), {position.stage, row,
                                          placeOf(step) * kElementBytes}),
                    word, kWords);
      weightWords.back().push_back(maskEnd(words, first + placeOf(step)));
    }
  }
  Exprs sums(before);
  for (int64_t step = 0; step < kSteps; ++step)
    for (int64_t j = 0; j < kWords; j += 2) {
      Exprs ownWeights;
      for (int64_t i : {j, j + 1})
        for (int64_t half = 0; half < kHalves; ++half)
          ownWeights.push_back(k.element(weightWords[step][half], i));
      Exprs ownX{k.element(xWords[step], j), k.element(xWords[step], j + 1)};
      sums = emitMma(k, element, ownWeights, ownX, sums);
    }
  k.syncWarp();
  k.ifThen(k.lane() == 0, [&] { ring.release(position.stage); });
  return sums;
}

//===----------------------------------------------------------------------===//
// Output
//===----------------------------------------------------------------------===//

/// Adds the sums of all warps, always in the same order.
Exprs FewRows::sumWarps(KernelBuilder &k, Expr turn, ArrayRef<Expr> sums) {
  constexpr int64_t kBarrier = 1;
  // Two sets, so that a warp may go on while another still reads the last.
  constexpr int64_t kSets = 2;
  Array parts =
      k.shared("parts", {kSets, kConsumers, kWarpSize, kSums}, k.getF32Type());
  Expr set = turn % kSets;
  k.store(k.pack(sums), parts, {set, k.warp(), k.lane()});
  k.barrier(k.i32(kBarrier), kConsumers * kWarpSize);
  Exprs results(kSums, k.f32(0.0));
  for (int64_t warp = 0; warp < kConsumers; ++warp) {
    Expr part = k.load(parts, {set, k.i32(warp), k.lane()}, kSums);
    for (int64_t i = 0; i < kSums; ++i)
      results[i] = results[i] + k.element(part, i);
  }
  return results;
}

void FewRows::store(KernelBuilder &k, const RowTile &tile, Expr column,
                    ArrayRef<Expr> sums) {
  // A lane has rows 2 t and 2 t + 1 of x, and of both halves weight g.
  constexpr int64_t kLaneRows = 2;
  int64_t outputHalves = finish.isGated() ? 1 : kHalves;
  for (int64_t half = 0; half < outputHalves; ++half) {
    Expr own = column + k.lane() / 4 + half * kHalfRows;
    auto bias = finish.loadBias(k, tile.expert, own, columns);
    for (int64_t i = 0; i < kLaneRows; ++i) {
      Expr row = tile.firstRow + k.lane() % 4 * kLaneRows + i;
      k.ifThen((row < tile.endRow) & (own < columns), [&] {
        SmallVector<Expr, 2> values{sums[half * kLaneRows + i]};
        if (finish.isGated())
          values.push_back(sums[kLaneRows + i]);
        Expr scale = finish.scale ? finish.scale(k, row) : Expr();
        k.store(finish.apply(values, scale, bias), y, {row, own});
      });
    }
  }
}

//===----------------------------------------------------------------------===//
// The launch
//===----------------------------------------------------------------------===//

bool hasFewRowsPath(const GemmOperands &operands) {
  MemRefType x = getMemRefType(operands.x);
  MemRefType weights = getMemRefType(operands.weights);
  return isa<BFloat16Type, Float16Type>(x.getElementType()) &&
         weights.getElementType() == x.getElementType() &&
         x.getDimSize(1) % kLaneDepth == 0 &&
         !ShapedType::isDynamic(getMemRefType(operands.y).getDimSize(1));
}

void launchFewRows(const Emission &emission, StringRef stem, StringRef label,
                   const GemmOperands &operands) {
  Launch launch(emission, stem, label);
  FewRows kernel(launch, operands);
  ExprBuilder grid = gridBuilder(emission);
  Expr rows = dimOf(grid, operands.y, 0);
  // At most so many tiles: each expert may leave one that is not full.
  Expr rowTiles = ceilDiv(rows, kRows);
  if (operands.expertOffsets)
    rowTiles = min(rowTiles + dimOf(grid, operands.weights, 0), rows);
  Expr blocks = min(rowTiles * kernel.getColumnItems(),
                    emission.target.multiprocessors * kResidentBlocks);
  launch.emit(blocks, [&](KernelBuilder &k) { kernel.emit(k); });
}

} // namespace moe::codegen::cuda
