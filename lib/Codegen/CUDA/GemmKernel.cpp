//===- GemmKernel.cpp - GEMMs on tensor cores -----------------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "GemmKernel.h"
#include "Activation.h"
#include "GatherProducer.h"
#include "GemmEpilogue.h"
#include "MbarrierRing.h"
#include "TmaTile.h"
#include "Turns.h"

#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"

using namespace mlir;

namespace moe::codegen::cuda {

namespace {
/// The kernel: its buffers, and its parts in the order in which they run.
class GemmKernel {
public:
  GemmKernel(Launch &launch, const Emission &emission,
             const GemmOperands &operands, const GemmTile &shape);

  void emit(KernelBuilder &k);
  /// Blocks of the grid (index type).
  Value getGrid(const Emission &emission, const GemmOperands &operands) const;

private:
  void produce(KernelBuilder &k, MbarrierRing &ring);
  void loadTiles(KernelBuilder &k, const OutputTile &tile, Expr step,
                 Expr stage, Expr barrier);
  void consume(KernelBuilder &k, MbarrierRing &ring);
  RingPosition computeTile(KernelBuilder &k, MbarrierRing &ring,
                           const OutputTile &tile, RingPosition first,
                           Expr turn, int64_t height);
  Exprs multiply(KernelBuilder &k, Expr stage, int64_t height,
                 ArrayRef<Expr> sums, bool isFirst);

  Exprs forEachTile(KernelBuilder &k, ArrayRef<Expr> init,
                    TileScheduler::Body body) const;
  /// The number of a warpgroup that multiplies.
  static Expr consumer(KernelBuilder &k) { return k.thread() / kWarpgroup - 1; }
  Expr emitSteps(KernelBuilder &k) const;
  int64_t getSteps() const { return llvm::divideCeil(depth, kStageDepth); }
  /// The slot of the ring that says which tile a stage is for.
  Expr tileSlot(KernelBuilder &k, Expr stage) const;
  OutputTile takePublished(KernelBuilder &k, Expr stage) const;
  Expr rowPanel(KernelBuilder &k, Expr stage, int64_t row = 0) const;
  Expr weightPanel(KernelBuilder &k, Expr stage, int64_t box) const;

  const GemmTile &shape;
  GemmSharedMemory memory;
  GemmFinish finish;
  bool isInterleaved;
  Buffer x, sourceRows, weights, expertOffsets, y;
  Type element;  ///< Of x and the weights.
  int64_t depth; ///< K.
};
} // namespace

//===----------------------------------------------------------------------===//
// Operands
//===----------------------------------------------------------------------===//

/// The weights with rows of gates and of ups apart: [.., 2I, K] as
/// [.., 2, I, K], or interleaved as [.., I, 2, K].
static Value splitGatesAndUps(const Emission &emission, Value weights,
                              bool isInterleaved) {
  MemRefType type = getMemRefType(weights);
  int64_t split = type.getRank() - 2;
  SmallVector<int64_t> shape(type.getShape());
  SmallVector<ReassociationIndices> groups;
  for (int64_t dim = 0, place = 0; dim < type.getRank(); ++dim) {
    groups.push_back({place++});
    if (dim == split)
      groups.back().push_back(place++);
  }
  shape[split] /= 2;
  shape.insert(shape.begin() + split + (isInterleaved ? 1 : 0), 2);
  OpBuilder &b = emission.builder;
  SmallVector<OpFoldResult> sizes;
  for (auto [dim, size] : llvm::enumerate(shape))
    sizes.push_back(
        ShapedType::isDynamic(size)
            ? OpFoldResult(memref::DimOp::create(b, emission.loc, weights, dim)
                               .getResult())
            : OpFoldResult(b.getIndexAttr(size)));
  auto splitType = MemRefType::get(shape, type.getElementType());
  return memref::ExpandShapeOp::create(b, emission.loc, splitType, weights,
                                       groups, sizes);
}

GemmKernel::GemmKernel(Launch &launch, const Emission &emission,
                       const GemmOperands &operands, const GemmTile &shape)
    : shape(shape), memory(shape),
      isInterleaved(operands.activation && operands.activation->interleaved) {
  MemRefType xType = getMemRefType(operands.x);
  element = xType.getElementType();
  depth = xType.getDimSize(1);
  sourceRows = launch.read(operands.sourceRows);
  finish = GemmFinish(launch, operands, sourceRows);
  if (operands.sourceRows)
    x = launch.read(operands.x);
  else
    x = launch.readTiles(operands.x, {shape.rowStep, kStageDepth},
                         kPanelRowBytes);
  Value view = operands.weights;
  SmallVector<int64_t> box{shape.getBoxRows(), kStageDepth};
  if (finish.isGated()) {
    view = splitGatesAndUps(emission, view, isInterleaved);
    box.insert(box.begin() + (isInterleaved ? 1 : 0), 1);
  }
  if (operands.expertOffsets)
    box.insert(box.begin(), 1);
  weights = launch.readTiles(view, box, kPanelRowBytes);
  expertOffsets = launch.read(operands.expertOffsets);
  y = launch.write(operands.y);

  launch.setThreads(shape.getThreads());
  launch.setSharedBytes(memory.bytes);
  launch.setResidentBlocks(shape.residentBlocks);
  launch.setCluster(shape.cluster);
  launch.setKey(shape.rows, shape.rowStep, shape.weights, shape.stages,
                shape.consumers, shape.swapped, shape.cluster,
                describe(operands));
}

Value GemmKernel::getGrid(const Emission &emission,
                          const GemmOperands &operands) const {
  ExprBuilder grid = gridBuilder(emission);
  Expr rows = dimOf(grid, operands.y, 0);
  // Clusters take tiles at most so often: each expert may leave some that are
  // not full.
  Expr down = ceilDiv(rows, shape.rows * shape.cluster);
  if (operands.expertOffsets)
    down = min(down + dimOf(grid, operands.weights, 0), rows);
  int64_t columnTiles =
      llvm::divideCeil(y.type.getDimSize(1), finish.getColumns(shape));
  int64_t most = emission.target.multiprocessors * shape.residentBlocks;
  return min(down * columnTiles, most / shape.cluster) * shape.cluster;
}

//===----------------------------------------------------------------------===//
// Shared memory
//===----------------------------------------------------------------------===//

Expr GemmKernel::tileSlot(KernelBuilder &k, Expr stage) const {
  Array slots = k.dynamicShared(
      memory.tiles, {shape.stages, OutputTile::kValues}, k.getI32Type());
  return k.address(slots, {stage});
}

Expr GemmKernel::rowPanel(KernelBuilder &k, Expr stage, int64_t row) const {
  Array stages =
      k.dynamicShared(0, {shape.stages, shape.getStageBytes()}, k.getI8Type());
  return k.address(stages, {stage, k.i32(row * kPanelRowBytes)});
}

Expr GemmKernel::weightPanel(KernelBuilder &k, Expr stage, int64_t box) const {
  Array stages =
      k.dynamicShared(0, {shape.stages, shape.getStageBytes()}, k.getI8Type());
  int64_t offset =
      shape.getRowBytes() + box * shape.getBoxRows() * kPanelRowBytes;
  return k.address(stages, {stage, k.i32(offset)});
}

//===----------------------------------------------------------------------===//
// Producer
//===----------------------------------------------------------------------===//

Exprs GemmKernel::forEachTile(KernelBuilder &k, ArrayRef<Expr> init,
                              TileScheduler::Body body) const {
  TileScheduler scheduler(k, shape.rows, shape.rowStep,
                          finish.getColumns(shape), y.type.getDimSize(1),
                          shape.cluster);
  return expertOffsets
             ? scheduler.forEachTileOfExperts(expertOffsets, init, body)
             : scheduler.forEachTile(k.dim(y, 0), init, body);
}

/// Starts the copies of TMA for one stage; for one thread.
void GemmKernel::loadTiles(KernelBuilder &k, const OutputTile &tile, Expr step,
                           Expr stage, Expr barrier) {
  Expr column = step * kStageDepth;
  Expr bytes = k.i32(shape.getWeightBytes());
  // In a cluster there may be none.
  Expr rows = tile.endRow - tile.firstRow;
  if (shape.cluster > 1)
    rows = max(rows, 0);
  if (!sourceRows)
    bytes =
        bytes + ceilDiv(rows, shape.rowStep) * (shape.rowStep * kPanelRowBytes);
  NVVM::MBarrierArriveExpectTxOp::create(k, Type(), barrier, bytes,
                                         NVVM::MemScopeKind::CTA,
                                         /*relaxed=*/false, Value());
  for (int64_t box = 0; box < kWeightBoxes; ++box) {
    Exprs place{tile.column + box * shape.getBoxRows(), column};
    if (finish.isGated())
      place = isInterleaved ? Exprs{tile.column, k.i32(box), column}
                            : Exprs{k.i32(box), tile.column, column};
    if (expertOffsets)
      place.insert(place.begin(), tile.expert);
    auto load = [&] {
      emitTmaLoad(k, weights, place, weightPanel(k, stage, box), barrier,
                  shape.cluster);
    };
    if (shape.cluster == 1)
      load();
    else
      k.ifThen(k.block() % shape.cluster == box, load);
  }
  if (sourceRows)
    return;
  for (int64_t first = 0; first < shape.rows; first += shape.rowStep)
    k.ifThen(rows > first, [&] {
      emitTmaLoad(k, x, {tile.firstRow + first, column},
                  rowPanel(k, stage, first), barrier);
    });
}

void GemmKernel::produce(KernelBuilder &k, MbarrierRing &ring) {
  Expr isLeader = k.thread() == 0;
  GatherProducer gather(k, x, sourceRows, shape.rows, shape.rowStep);
  auto publish = [&](const OutputTile &tile, Expr stage) {
    k.storeRaw(k.pack(tile.values()), tileSlot(k, stage));
  };
  auto loadTile = [&](const OutputTile &tile, ArrayRef<Expr> position) {
    if (sourceRows)
      gather.begin(tile);
    auto loadStage = [&](Expr step, ArrayRef<Expr> carried) {
      RingPosition position = RingPosition::from(carried);
      ring.waitEmpty(position);
      Expr barrier = ring.full(position.stage);
      k.ifThen(isLeader, [&] {
        publish(tile, position.stage);
        loadTiles(k, tile, step, position.stage, barrier);
      });
      if (sourceRows)
        gather.load(step, rowPanel(k, position.stage), barrier);
      return ring.next(position).values();
    };
    return k.forEach(k.i32(0), k.i32(getSteps()), k.i32(1), position,
                     loadStage);
  };
  auto run = [&] {
    RingPosition end =
        RingPosition::from(forEachTile(k, ring.begin().values(), loadTile));
    // A stage that is for no tile ends the consumers' work.
    ring.waitEmpty(end);
    Expr none = k.i32(-1);
    k.ifThen(isLeader, [&] {
      publish({none, none, none, none}, end.stage);
      ring.arrive(end.stage);
    });
    if (sourceRows)
      ring.arrive(end.stage);
  };
  // The other warps have nothing to do if TMA copies everything.
  if (sourceRows)
    run();
  else
    k.ifThen(k.thread() < kWarpSize, run);
}

//===----------------------------------------------------------------------===//
// Consumers
//===----------------------------------------------------------------------===//

/// Lets the asynchronous proxy see what threads wrote to shared memory.
static void emitFenceProxyAsync(KernelBuilder &k) {
  MLIRContext *context = k.getContext();
  NVVM::FenceProxyOp::create(
      k, NVVM::ProxyKindAttr::get(context, NVVM::ProxyKind::async_shared),
      NVVM::SharedSpaceAttr::get(context, NVVM::SharedSpace::shared_cta));
}

/// Issues the products of one stage.
Exprs GemmKernel::multiply(KernelBuilder &k, Expr stage, int64_t height,
                           ArrayRef<Expr> sums, bool isFirst) {
  // Rows that other threads copied are in sight, but not yet of wgmma.
  if (sourceRows)
    emitFenceProxyAsync(k);
  auto address = [&](Expr panel, Expr row) {
    Expr base = k.wrap(LLVM::PtrToIntOp::create(k, k.getI32Type(), panel));
    return base + row * kPanelRowBytes;
  };
  WgmmaAccumulator accumulator(k, element, shape.getWgmmaColumns(height));
  Expr own = consumer(k) * kWgmmaRows, all = k.i32(0);
  Expr rows = address(rowPanel(k, stage), shape.swapped ? all : own);
  NVVM::WgmmaFenceAlignedOp::create(k);
  Exprs results;
  for (auto [box, sum] : llvm::enumerate(sums)) {
    Expr columns =
        address(weightPanel(k, stage, box), shape.swapped ? own : all);
    results.push_back(shape.swapped
                          ? accumulator.multiply(sum, columns, rows, isFirst)
                          : accumulator.multiply(sum, rows, columns, isFirst));
  }
  NVVM::WgmmaGroupSyncAlignedOp::create(k);
  return results;
}

/// The number of steps, not as a constant: a short loop would be unrolled, and
/// the products of its steps want registers of their own.
Expr GemmKernel::emitSteps(KernelBuilder &k) const {
  auto steps = LLVM::InlineAsmOp::create(
      k, k.getI32Type(), Value(k.i32(getSteps())), "mov.u32 $0, $1;", "=r,r",
      /*has_side_effects=*/false, /*is_align_stack=*/false,
      LLVM::TailCallKind::None,
      LLVM::AsmDialectAttr::get(k.getContext(), LLVM::AsmDialect::AD_ATT),
      /*operand_attrs=*/ArrayAttr());
  return k.wrap(steps.getResult(0));
}

/// Computes a tile of at most `height` rows, whose first stage is there; hands
/// back the place of the next tile's.
RingPosition GemmKernel::computeTile(KernelBuilder &k, MbarrierRing &ring,
                                     const OutputTile &tile, RingPosition first,
                                     Expr turn, int64_t height) {
  WgmmaAccumulator accumulator(k, element, shape.getWgmmaColumns(height));
  Exprs undefined(shape.getAccumulators(), accumulator.undefined());
  // Carried are the place in the ring, the stage whose products are under way,
  // and the sums.
  Exprs init = ring.next(first).values();
  init.push_back(first.stage);
  llvm::append_range(
      init, multiply(k, first.stage, height, undefined, /*isFirst=*/true));
  auto step = [&](Expr, ArrayRef<Expr> carried) {
    RingPosition position = RingPosition::from(carried);
    ring.waitFull(position);
    Exprs sums = multiply(k, position.stage, height, carried.drop_front(3),
                          /*isFirst=*/false);
    NVVM::WgmmaWaitGroupSyncOp::create(k, 1);
    ring.release(carried[2]);
    Exprs results = ring.next(position).values();
    results.push_back(position.stage);
    llvm::append_range(results, sums);
    return results;
  };
  Exprs last = k.forEach(k.i32(1), emitSteps(k), k.i32(1), init, step);
  NVVM::WgmmaWaitGroupSyncOp::create(k, 0);
  ring.release(last[2]);
  GemmEpilogue epilogue(k, shape, height, finish, y, consumer(k));
  Turns turns(k, memory.turns, shape.consumers);
  if (shape.storesInTurn())
    turns.await(consumer(k), turn);
  epilogue.store(tile, ArrayRef(last).drop_front(3));
  if (shape.storesInTurn())
    turns.end(consumer(k));
  return RingPosition::from(last);
}

/// The tile that a stage is for. The lane that gives the stage back is the one
/// that reads it, so that the barrier orders the read before the next write.
OutputTile GemmKernel::takePublished(KernelBuilder &k, Expr stage) const {
  Exprs values = k.ifElse(
      k.lane() == 0,
      [&] {
        Expr slot =
            k.loadRaw(tileSlot(k, stage), k.getI32Type(), OutputTile::kValues);
        Exprs loaded;
        for (int64_t i = 0; i < OutputTile::kValues; ++i)
          loaded.push_back(k.element(slot, i));
        return loaded;
      },
      [&] { return Exprs(OutputTile::kValues, k.i32(0)); });
  for (Expr &value : values)
    value = k.shuffle(value, k.i32(0));
  return OutputTile::from(values);
}

void GemmKernel::consume(KernelBuilder &k, MbarrierRing &ring) {
  // The first stage of a tile says which one it is.
  auto isTile = [&](ArrayRef<Expr> carried) {
    RingPosition position = RingPosition::from(carried);
    ring.waitFull(position);
    return takePublished(k, position.stage).expert >= 0;
  };
  auto takeTile = [&](ArrayRef<Expr> carried) {
    RingPosition first = RingPosition::from(carried);
    OutputTile tile = takePublished(k, first.stage);
    Expr rows = tile.endRow - tile.firstRow;
    // One branch for each height: wgmma's sizes are part of the instruction. A
    // lower tile takes the time that reading the weights takes, whatever is
    // multiplied, and needs none.
    std::function<Exprs(int64_t)> upTo = [&](int64_t height) {
      auto compute = [&] {
        Exprs next =
            computeTile(k, ring, tile, first, carried[2], height).values();
        next.push_back(carried[2] ^ 1);
        return next;
      };
      if (height == shape.rows)
        return compute();
      return k.ifElse(rows <= height, compute,
                      [&] { return upTo(height + shape.rowStep); });
    };
    return upTo(shape.getLeastHeight());
  };
  // Carried are the place in the ring, and the parity of the turns to store.
  Exprs init = ring.begin().values();
  init.push_back(k.i32(0));
  k.whileTrue(init, isTile, takeTile);
}

//===----------------------------------------------------------------------===//
// Together
//===----------------------------------------------------------------------===//

/// All threads of the cluster have come so far.
static void emitClusterBarrier(KernelBuilder &k) {
  NVVM::ClusterArriveOp::create(k, UnitAttr());
  NVVM::ClusterWaitOp::create(k, UnitAttr());
}

void GemmKernel::emit(KernelBuilder &k) {
  MbarrierRing ring(k, memory.barriers, shape.stages, shape.cluster);
  k.startDependents();
  k.ifThen(k.thread() == 0, [&] {
    Turns(k, memory.turns, shape.consumers).init(kWarpgroup);
    // The leader arrives for TMA, and all threads that gather do.
    ring.init(sourceRows ? kWarpgroup + 1 : 1,
              shape.consumers * kWarpgroup / kWarpSize);
  });
  if (shape.cluster > 1)
    emitClusterBarrier(k);
  else
    k.barrier();
  k.awaitPrevious();
  // The warpgroups share the block's registers unevenly: sums want many, and a
  // thread that gathers holds the places of its rows.
  int64_t ofProducer = sourceRows ? 56 : 40;
  int64_t ofConsumer = shape.getConsumerRegisters(ofProducer);
  k.ifElse(
      k.thread() < kWarpgroup,
      [&] {
        NVVM::SetMaxRegisterOp::create(k, ofProducer,
                                       NVVM::SetMaxRegisterAction::decrease);
        produce(k, ring);
        return Exprs();
      },
      [&] {
        NVVM::SetMaxRegisterOp::create(k, ofConsumer,
                                       NVVM::SetMaxRegisterAction::increase);
        consume(k, ring);
        return Exprs();
      });
  // A block whose barriers others arrive at has to stay.
  if (shape.cluster > 1)
    emitClusterBarrier(k);
}

/// Rows of a tile, on the side of wgmma that has up to 256, beside whose sums
/// the epilogue fits into a thread's registers; 0 if it does in none. The test
/// that no kernel spills registers decides.
static int64_t getMostTileRows(const GemmOperands &operands) {
  if (!operands.activation)
    return operands.scale ? 128 : 192;
  const ActivationParams &params = *operands.activation;
  bool isLong = params.activation == Activation::GELU && operands.bias;
  if (params.gated)
    return operands.scale || isLong ? 160 : 192;
  // Twice as many results, none of which is rid of a sum.
  return params.activation == Activation::ReLU2 && !operands.scale ? 192 : 0;
}

bool hasTensorCorePath(const GemmOperands &operands) {
  auto isMultipleOf16Bytes = [](Value buffer) {
    MemRefType type = getMemRefType(buffer);
    int64_t columns = type.getShape().back();
    return !ShapedType::isDynamic(columns) &&
           columns * type.getElementTypeBitWidth() % (8 * kChunkBytes) == 0;
  };
  if (getMostTileRows(operands) == 0)
    return false;
  Type element = getMemRefType(operands.x).getElementType();
  ArrayRef<int64_t> weights = getMemRefType(operands.weights).getShape();
  return !ShapedType::isDynamic(weights[weights.size() - 2]) &&
         isa<BFloat16Type, Float16Type>(element) &&
         getMemRefType(operands.weights).getElementType() == element &&
         isMultipleOf16Bytes(operands.x) &&
         isMultipleOf16Bytes(operands.weights) &&
         isMultipleOf16Bytes(operands.y);
}

void launchGemm(const Emission &emission, StringRef stem, StringRef label,
                const GemmOperands &operands, const GemmTile &tile) {
  assert(tile.isValid(emission.target) && "a tile whose parts do not fit");
  Launch launch(emission, stem, label);
  GemmKernel kernel(launch, emission, operands, tile);
  Value grid = kernel.getGrid(emission, operands);
  launch.emit(grid, [&](KernelBuilder &k) { kernel.emit(k); });
}

/// One of the launches, by the number of rows.
static void launchChoice(const Emission &emission, StringRef stem,
                         StringRef label, const GemmOperands &operands,
                         ArrayRef<GemmChoice> choices) {
  if (choices.size() == 1)
    return launchGemm(emission, stem, label, operands, choices[0].tile);
  ExprBuilder host = gridBuilder(emission);
  Expr most = host.index(choices[0].mostRows);
  if (operands.expertOffsets)
    most = most * dimOf(host, operands.weights, 0);
  ifOnHost(
      emission, dimOf(host, operands.y, 0) <= most,
      [&] { launchGemm(emission, stem, label, operands, choices[0].tile); },
      [&] {
        launchChoice(emission, stem, label, operands, choices.drop_front());
      });
}

void launchTensorCoreGemm(const Emission &emission, StringRef stem,
                          StringRef label, const GemmOperands &operands) {
  ArrayRef<int64_t> weights = getMemRefType(operands.weights).getShape();
  bool isStaged = getMemRefType(operands.y).getElementTypeBitWidth() == 16;
  bool hasExperts = static_cast<bool>(operands.expertOffsets);
  GemmShape shape{weights[weights.size() - 2],
                  weights.back(),
                  hasExperts,
                  static_cast<bool>(operands.sourceRows),
                  isStaged,
                  getMostTileRows(operands)};
  launchChoice(emission, stem, label, operands,
               chooseGemmTiles(emission.target, shape));
}

} // namespace moe::codegen::cuda
