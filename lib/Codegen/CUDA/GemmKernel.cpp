//===- GemmKernel.cpp - GEMMs on tensor cores -----------------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A block is one producer warpgroup, which fills stages of shared memory, and
// one or two consumer warpgroups, which multiply them and store tiles of the
// output. What differs between kernels are four parts: who loads an operand
// (Loader), what multiplies (TensorCore), how weights become operands and sums
// (WeightFormat), and what is done with the sums (Epilogue).
//
//===----------------------------------------------------------------------===//

#include "GemmKernel.h"
#include "Epilogue.h"
#include "Loader.h"
#include "MbarrierRing.h"
#include "OrderedBarrier.h"
#include "WeightFormat.h"

#include "mlir/Dialect/LLVMIR/NVVMDialect.h"

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
  /// What a consumer carries from tile to tile.
  struct ConsumerState {
    RingPosition position; ///< Of the next tile's first stage.
    Expr turn;             ///< Parity of its turns to store results.
    auto fields() { return std::tie(position, turn); }
  };
  /// What a consumer carries from stage to stage of a tile.
  struct Accumulation {
    RingPosition position; ///< The next stage.
    Expr previous;         ///< The stage whose products are under way.
    Fragment sums;
    auto fields() { return std::tie(position, previous, sums); }
  };

  void produce(KernelBuilder &k, MbarrierRing &ring);
  void issueLoads(KernelBuilder &k, const OutputTile &tile,
                  const StageToFill &stage);
  void consume(KernelBuilder &k, MbarrierRing &ring);
  RingPosition computeTile(KernelBuilder &k, MbarrierRing &ring,
                           const OutputTile &tile, const ConsumerState &state,
                           int64_t height);
  Fragment multiply(KernelBuilder &k, TensorCore &core, Expr stage,
                    const Fragment &sums, bool isFirst);

  template <typename State, typename Body>
  State forEachTile(KernelBuilder &k, State init, const Body &body) const;
  int64_t getTileColumns() const { return shape.getColumns(op.isGated()); }
  int64_t getSteps() const {
    return llvm::divideCeil(depth, getStageDepth(element));
  }
  /// Whether threads of the producer copy, beside TMA.
  bool hasCopies() const { return countArrivals() > 0; }
  int64_t countArrivals() const;
  /// The slot of the ring that says which tile a stage is for.
  Expr tileSlot(KernelBuilder &k, Expr stage) const;
  void publish(KernelBuilder &k, const OutputTile &tile, Expr stage) const;
  OutputTile takePublished(KernelBuilder &k, Expr stage) const;

  const Target &target;
  const GemmTile &shape;
  GemmSharedMemory memory;
  EpilogueOp op;
  /// In the order in which they fill a stage.
  SmallVector<std::unique_ptr<Loader>> loaders;
  const WeightFormat *format;
  Buffer expertOffsets, y;
  Type element;  ///< What is multiplied.
  int64_t depth; ///< K.
};
} // namespace

GemmKernel::GemmKernel(Launch &launch, const Emission &emission,
                       const GemmOperands &operands, const GemmTile &shape)
    : target(emission.target), shape(shape), memory(shape) {
  MemRefType xType = getMemRefType(operands.x);
  element = xType.getElementType();
  depth = xType.getDimSize(1);
  format = WeightFormat::find(element,
                              getMemRefType(operands.weights).getElementType());
  Buffer sourceRows = launch.read(operands.sourceRows);
  op = EpilogueOp(launch, operands, sourceRows);
  auto rows = createRowLoader(launch, operands, sourceRows, shape);
  loaders.push_back(createWeightLoader(launch, emission, operands, shape));
  loaders.push_back(std::move(rows));
  expertOffsets = launch.read(operands.expertOffsets);
  y = launch.write(operands.y);

  launch.setThreads(shape.getThreads());
  launch.setSharedBytes(memory.bytes);
  launch.setResidentBlocks(shape.residentBlocks);
  launch.setCluster(shape.cluster);
  launch.setKey(shape.tileM, shape.stepM, shape.tileN, shape.stages,
                shape.consumers, shape.swapAB, shape.cluster,
                describe(operands));
}

Value GemmKernel::getGrid(const Emission &emission,
                          const GemmOperands &operands) const {
  ExprBuilder grid = gridBuilder(emission);
  Expr rows = dimOf(grid, operands.y, 0);
  // Clusters take tiles at most so often: each expert may leave some that are
  // not full.
  Expr down = ceilDiv(rows, shape.tileM * shape.cluster);
  if (operands.expertOffsets)
    down = min(down + dimOf(grid, operands.weights, 0), rows);
  int64_t columnTiles =
      llvm::divideCeil(y.type.getDimSize(1), getTileColumns());
  int64_t most = target.multiprocessors * shape.residentBlocks;
  return min(down * columnTiles, most / shape.cluster) * shape.cluster;
}

int64_t GemmKernel::countArrivals() const {
  int64_t arrivals = 0;
  for (const auto &loader : loaders)
    arrivals += loader->getArrivals();
  return arrivals;
}

template <typename State, typename Body>
State GemmKernel::forEachTile(KernelBuilder &k, State init,
                              const Body &body) const {
  TileScheduler scheduler(k, shape.tileM, shape.stepM, getTileColumns(),
                          y.type.getDimSize(1), shape.cluster);
  return expertOffsets
             ? scheduler.forEachTileOfExperts(expertOffsets, init, body)
             : scheduler.forEachTile(k.dim(y, 0), init, body);
}

//===----------------------------------------------------------------------===//
// Which tile a stage is for
//===----------------------------------------------------------------------===//

Expr GemmKernel::tileSlot(KernelBuilder &k, Expr stage) const {
  Array slots = k.dynamicShared(
      memory.tiles, {shape.stages, OutputTile::kValues}, k.getI32Type());
  return k.address(slots, {stage});
}

void GemmKernel::publish(KernelBuilder &k, const OutputTile &tile,
                         Expr stage) const {
  Expr values = k.pack(getValues(tile));
  k.storeRaw(values, tileSlot(k, stage));
}

/// The lane that gives the stage back is the one that reads the tile, so that
/// the barrier orders the read before the next write.
OutputTile GemmKernel::takePublished(KernelBuilder &k, Expr stage) const {
  OutputTile tile = k.ifElse(
      k.lane() == 0,
      [&] {
        Expr slot =
            k.loadRaw(tileSlot(k, stage), k.getI32Type(), OutputTile::kValues);
        OutputTile loaded;
        unsigned position = 0;
        forEachValue(loaded,
                     [&](Expr &value) { value = k.element(slot, position++); });
        return loaded;
      },
      [&] {
        Expr zero = k.i32(0);
        return OutputTile{zero, zero, zero, zero};
      });
  forEachValue(tile, [&](Expr &value) { value = k.shuffle(value, k.i32(0)); });
  return tile;
}

//===----------------------------------------------------------------------===//
// Producer
//===----------------------------------------------------------------------===//

/// Starts the copies of TMA for one stage; for one thread.
void GemmKernel::issueLoads(KernelBuilder &k, const OutputTile &tile,
                            const StageToFill &stage) {
  Expr bytes;
  for (const auto &loader : loaders)
    if (Expr more = loader->getBytes(k, tile))
      bytes = bytes ? bytes + more : more;
  NVVM::MBarrierArriveExpectTxOp::create(k, Type(), stage.barrier, bytes,
                                         NVVM::MemScopeKind::CTA,
                                         /*relaxed=*/false, Value());
  for (const auto &loader : loaders)
    loader->issue(k, tile, stage);
}

void GemmKernel::produce(KernelBuilder &k, MbarrierRing &ring) {
  Expr isLeader = k.thread() == 0;
  auto loadTile = [&](const OutputTile &tile, const RingPosition &first) {
    for (const auto &loader : loaders)
      loader->begin(k, tile);
    auto loadStage = [&](Expr step, const RingPosition &position) {
      ring.waitEmpty(position);
      Expr barrier = ring.full(position.stage);
      auto stage = [&] {
        return StageToFill{step * getStageDepth(element), position.stage,
                           barrier};
      };
      k.ifThen(isLeader, [&] {
        publish(k, tile, position.stage);
        issueLoads(k, tile, stage());
      });
      for (const auto &loader : loaders)
        loader->copy(k, stage());
      return ring.next(position);
    };
    return k.forEach(k.i32(0), k.i32(getSteps()), k.i32(1), first, loadStage);
  };
  auto run = [&] {
    RingPosition end = forEachTile(k, ring.begin(), loadTile);
    // A stage that is for no tile ends the consumers' work.
    ring.waitEmpty(end);
    Expr none = k.i32(-1);
    k.ifThen(isLeader, [&] {
      publish(k, {none, none, none, none}, end.stage);
      ring.arrive(end.stage);
    });
    if (hasCopies())
      ring.arrive(end.stage);
  };
  // The other warps have nothing to do if TMA copies everything.
  if (hasCopies())
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
Fragment GemmKernel::multiply(KernelBuilder &k, TensorCore &core, Expr stage,
                              const Fragment &sums, bool isFirst) {
  // What threads copied is in sight of threads, but not yet of tensor cores.
  if (hasCopies())
    emitFenceProxyAsync(k);
  return format->accumulate(core, GemmStage(k, shape, stage), sums, isFirst);
}

/// Computes a tile of at most `height` rows, whose first stage is there; hands
/// back the place of the next tile's.
RingPosition GemmKernel::computeTile(KernelBuilder &k, MbarrierRing &ring,
                                     const OutputTile &tile,
                                     const ConsumerState &state,
                                     int64_t height) {
  std::unique_ptr<TensorCore> core =
      createTensorCore(k, target, shape, height, element);
  Fragment undefined = core->begin();
  RingPosition first = state.position, second = ring.next(first);
  Accumulation init{
      second, first.stage,
      multiply(k, *core, first.stage, undefined, /*isFirst=*/true)};
  auto addStage = [&](Expr, const Accumulation &before) -> Accumulation {
    RingPosition position = before.position;
    ring.waitFull(position);
    Fragment sums = multiply(k, *core, position.stage, before.sums,
                             /*isFirst=*/false);
    core->wait(1);
    ring.release(before.previous);
    return {ring.next(position), position.stage, sums};
  };
  Accumulation last = k.forEach(k.i32(1), k.opaque(k.i32(getSteps())), k.i32(1),
                                init, addStage);
  core->wait(0);
  ring.release(last.previous);
  Epilogue epilogue(k, shape, *core, op, y);
  Expr consumer = consumerWarpgroup(k);
  OrderedBarrier order(k, memory.order, shape.consumers);
  if (shape.storesInOrder())
    order.wait(consumer, state.turn);
  epilogue.store(tile, last.sums);
  if (shape.storesInOrder())
    order.arrive(consumer);
  return last.position;
}

void GemmKernel::consume(KernelBuilder &k, MbarrierRing &ring) {
  // The first stage of a tile says which one it is.
  auto isTile = [&](const ConsumerState &state) {
    ring.waitFull(state.position);
    return takePublished(k, state.position.stage).expert >= 0;
  };
  auto takeTile = [&](const ConsumerState &state) {
    OutputTile tile = takePublished(k, state.position.stage);
    // One branch for each height: it is part of the instructions. A lower tile
    // takes the time that reading the weights takes, whatever is multiplied,
    // and needs none.
    return k.switchUpTo(tile.endRow - tile.firstRow, shape.getHeights(),
                        [&](int64_t height) -> ConsumerState {
                          return {computeTile(k, ring, tile, state, height),
                                  state.turn ^ 1};
                        });
  };
  k.whileTrue(ConsumerState{ring.begin(), k.i32(0)}, isTile, takeTile);
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
    OrderedBarrier(k, memory.order, shape.consumers).init(kWarpgroup);
    // The leader arrives for TMA.
    ring.init(1 + countArrivals(), shape.consumers * kWarpgroup / kWarpSize);
  });
  if (shape.cluster > 1)
    emitClusterBarrier(k);
  else
    k.barrier();
  k.awaitPrevious();
  // The warpgroups share the block's registers unevenly: sums want many.
  int64_t ofProducer =
      hasCopies() ? target.copyingRegisters : target.tmaRegisters;
  int64_t ofConsumer = shape.getConsumerRegisters(target, ofProducer);
  k.ifElse(
      k.thread() < kWarpgroup,
      [&] {
        NVVM::SetMaxRegisterOp::create(k, ofProducer,
                                       NVVM::SetMaxRegisterAction::decrease);
        produce(k, ring);
      },
      [&] {
        NVVM::SetMaxRegisterOp::create(k, ofConsumer,
                                       NVVM::SetMaxRegisterAction::increase);
        consume(k, ring);
      });
  // A block whose barriers others arrive at has to stay.
  if (shape.cluster > 1)
    emitClusterBarrier(k);
}

void launchGemm(const Emission &emission, StringRef stem, StringRef label,
                const GemmOperands &operands, const GemmTile &tile) {
  assert(tile.isValid(emission.target) && "a tile whose parts do not fit");
  Launch launch(emission, stem, label);
  GemmKernel kernel(launch, emission, operands, tile);
  Value grid = kernel.getGrid(emission, operands);
  launch.emit(grid, [&](KernelBuilder &k) { kernel.emit(k); });
}

} // namespace moe::codegen::cuda
