//===- Exchange.cpp - Plans of what moves between ranks -------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Emitters.h"
#include "PairSort.h"

using namespace mlir;
using namespace moe;
using namespace moe::codegen;
using namespace moe::codegen::cuda;

static constexpr int64_t kThreads = 256;

//===----------------------------------------------------------------------===//
// Placement
//===----------------------------------------------------------------------===//

/// The number of `expert` on `rank`, or -1.
static Expr emitLocalExpert(KernelBuilder &k, Expr expert, Expr rank,
                            PlacementAttr placement) {
  Expr none = k.i32(-1);
  if (placement.isRoundRobin())
    return k.select(expert % placement.getRanks() == rank,
                    expert / placement.getRanks(), none);
  int64_t base = placement.getExperts() / placement.getRanks();
  int64_t remainder = placement.getExperts() % placement.getRanks();
  Expr first = rank * base + min(rank, remainder);
  Expr count = k.select(rank < remainder, k.i32(base + 1), k.i32(base));
  // Smaller ids are large when read as unsigned.
  Expr local = expert - first;
  return k.select(below(local, count), local, none);
}

/// The rank that owns `expert`.
static Expr emitOwner(KernelBuilder &k, Expr expert, PlacementAttr placement) {
  if (placement.isRoundRobin())
    return expert % placement.getRanks();
  int64_t base = placement.getExperts() / placement.getRanks();
  int64_t remainder = placement.getExperts() % placement.getRanks();
  // The first ranks own one expert more. With less than one for each rank, all
  // experts are theirs.
  int64_t inLarge = remainder * (base + 1);
  Expr large = expert / (base + 1);
  if (base == 0)
    return large;
  return k.select(expert < inLarge, large,
                  (expert - inLarge) / base + remainder);
}

/// The place of `expert` in the order of ranks, then experts.
static Expr emitPlace(KernelBuilder &k, Expr expert, PlacementAttr placement) {
  if (!placement.isRoundRobin())
    return expert;
  Expr owner = expert % placement.getRanks();
  Expr first = owner * (placement.getExperts() / placement.getRanks()) +
               min(owner, placement.getExperts() % placement.getRanks());
  return first + expert / placement.getRanks();
}

LogicalResult moe::codegen::cuda::emitExpertMap(ExpertMapOp op,
                                                const Emission &emission) {
  PlacementAttr placement = op.getPlacement();
  Launch launch(emission, "expert_map", "expert map");
  Buffer map = launch.write(op.getMap());
  Scalar rank = launch.take(op.getRank());
  launch.setThreads(kThreads);
  launch.setKey(describe(placement));
  Expr blocks = gridBuilder(emission).index(
      llvm::divideCeil(placement.getExperts(), kThreads));
  launch.emit(blocks, [&](KernelBuilder &k) {
    k.awaitInputs();
    Expr expert = k.block() * kThreads + k.thread();
    k.ifThen(expert < placement.getExperts(), [&] {
      k.store(emitLocalExpert(k, expert, k.scalar(rank), placement), map,
              expert);
    });
  });
  return success();
}

//===----------------------------------------------------------------------===//
// What is sent
//===----------------------------------------------------------------------===//

LogicalResult moe::codegen::cuda::emitClearIds(ClearIdsOp op,
                                               const Emission &emission) {
  Value ids = op.getIds();
  Launch launch(emission, "clear_ids", "dispatch.clear");
  Buffer target = launch.write(ids);
  launch.setThreads(kThreads);
  ExprBuilder host = gridBuilder(emission);
  Expr elements = dimOf(host, ids, 0) * dimOf(host, ids, 1);
  launch.emit(ceilDiv(elements, kThreads), [&](KernelBuilder &k) {
    k.awaitInputs();
    Expr element = k.block() * kThreads + k.thread();
    k.ifThen(element < k.dim(target, 0) * k.dim(target, 1),
             [&] { k.store(k.i32(-1), target, {k.i32(0), element}); });
  });
  return success();
}

namespace {
/// What says by which key a choice is sorted.
struct ChoiceKeys {
  Value ids, weights; ///< [T, k]; weights are optional.
  /// The key of an expert.
  function_ref<Expr(KernelBuilder &, Expr)> key;
  PlacementAttr placement;
  /// [T, k] i32 and f32. The first choice of a token that has a key gets it,
  /// and the sum of the weights of all choices that have it, in the order of
  /// slots. The others get -1.
  Value keys, sums;
  Value cleared; ///< [R] i32 that become -1; optional.
};
} // namespace

/// A thread has a choice, and an element to clear.
static void launchKeys(const Emission &emission, StringRef stem,
                       const ChoiceKeys &choices) {
  PlacementAttr placement = choices.placement;
  Launch launch(emission, stem, "dispatch.keys");
  Buffer ids = launch.read(choices.ids), weights = launch.read(choices.weights),
         keys = launch.write(choices.keys), sums = launch.write(choices.sums),
         cleared = launch.write(choices.cleared);
  launch.setThreads(kThreads);
  launch.setKey(describe(placement));
  ExprBuilder host = gridBuilder(emission);
  Expr elements = dimOf(host, choices.ids, 0) * dimOf(host, choices.ids, 1);
  if (cleared)
    elements = max(elements, dimOf(host, choices.cleared, 0));
  launch.emit(ceilDiv(elements, kThreads), [&](KernelBuilder &k) {
    k.awaitInputs();
    Expr zero = k.i32(0), none = k.i32(-1);
    auto loadKey = [&](Expr choice) {
      // Negative ids are large when read as unsigned.
      Expr id = k.load(ids, {zero, choice});
      return k.select(below(id, k.i32(placement.getExperts())),
                      choices.key(k, id), none);
    };
    auto loadWeight = [&](Expr choice) {
      return k.load(weights, {zero, choice});
    };
    Expr choice = k.block() * kThreads + k.thread();
    if (cleared)
      k.ifThen(choice < k.dim(cleared, 0),
               [&] { k.store(none, cleared, choice); });
    k.ifThen(choice < k.dim(ids, 0) * k.dim(ids, 1), [&] {
      Expr key = loadKey(choice), one = k.i32(1);
      Expr first = choice - choice % k.dim(ids, 1);
      Expr repeats =
          k.forEach(first, choice, one, zero, [&](Expr earlier, Expr count) {
            Expr isSame = loadKey(earlier) == key;
            return k.select(isSame, count + 1, count);
          });
      k.store(k.select(repeats == 0, key, none), keys, {zero, choice});
      if (!sums)
        return;
      Expr sum =
          k.forEach(choice + 1, first + k.dim(ids, 1), one, loadWeight(choice),
                    [&](Expr later, Expr sum) {
                      Expr isSame = loadKey(later) == key;
                      return k.select(isSame, sum + loadWeight(later), sum);
                    });
      k.store(sum, sums, {zero, choice});
    });
  });
}

/// A temporary with a number for each choice.
static Value allocateChoices(const Emission &emission, Value ids,
                             Type element) {
  return allocateScratch(emission, ids, getMemRefType(ids).getDimSize(1),
                         element);
}

LogicalResult moe::codegen::cuda::emitSendPlan(SendPlanOp op,
                                               const Emission &emission) {
  PlacementAttr placement = op.getPlacement();
  auto getOwner = [&](KernelBuilder &k, Expr expert) {
    return emitOwner(k, expert, placement);
  };
  ChoiceKeys choices{op.getIds(), {}, getOwner, placement, {}, {}, {}};
  Type i32 = emission.builder.getI32Type();
  choices.keys = allocateChoices(emission, op.getIds(), i32);
  launchKeys(emission, "send_keys", choices);
  PairSort sort;
  sort.ids = choices.keys;
  sort.counts = op.getCounts();
  sort.sourceRows = op.getRows();
  sort.pairRows = op.getPositions();
  emitPairSort(emission, "send", "dispatch.plan", sort);
  return success();
}

LogicalResult
moe::codegen::cuda::emitBatchedSendPlan(BatchedSendPlanOp op,
                                        const Emission &emission) {
  PlacementAttr placement = op.getPlacement();
  auto getPlace = [&](KernelBuilder &k, Expr expert) {
    return emitPlace(k, expert, placement);
  };
  ChoiceKeys choices{op.getIds(), op.getWeights(), getPlace, placement, {},
                     {},          op.getRows()};
  Type i32 = emission.builder.getI32Type(), f32 = emission.builder.getF32Type();
  choices.keys = allocateChoices(emission, op.getIds(), i32);
  choices.sums = allocateChoices(emission, op.getIds(), f32);
  launchKeys(emission, "batched_send_keys", choices);
  PairSort sort;
  sort.ids = choices.keys;
  sort.counts = op.getCounts();
  sort.sourceRows = op.getRows();
  sort.pairRows = op.getPositions();
  sort.capacity = op.getCapacity();
  sort.weights = choices.sums;
  sort.rowWeights = op.getRowWeights();
  emitPairSort(emission, "batched_send", "dispatch.plan", sort);
  return success();
}

/// Rows that a thread copies a part of, and of these how many at once.
static constexpr int64_t kCopies = 32;
static constexpr int64_t kCopiesAtOnce = 8;

namespace {
/// How the threads of a block share rows: side by side along a row and, if it
/// is short, on several rows.
struct CopyShape {
  CopyShape(int64_t columns, unsigned width)
      : vectors(columns / width), rowThreads(std::min(vectors, kThreads)),
        rowsAtOnce(kThreads / rowThreads),
        blocksPerRow(llvm::divideCeil(vectors, kThreads)),
        blockRows(rowsAtOnce * kCopies) {}

  int64_t vectors, rowThreads, rowsAtOnce, blocksPerRow, blockRows;
};
} // namespace

/// Copies the thread's vector of each of its rows. There are rows to read.
static void emitCopies(KernelBuilder &k, const CopyShape &shape, unsigned width,
                       Buffer from, Buffer rows, Buffer to) {
  Expr vector =
      k.block() % shape.blocksPerRow * kThreads + k.thread() % shape.rowThreads;
  Expr firstRow = k.block() / shape.blocksPerRow * shape.blockRows +
                  k.thread() / shape.rowThreads;
  Expr numRows = k.dim(rows, 0), column = vector * width;
  Exprs targets, sources;
  for (int64_t i = 0; i < kCopies; ++i) {
    Expr target = firstRow + i * shape.rowsAtOnce;
    Expr source = k.load(rows, min(target, numRows - 1));
    targets.push_back(target);
    sources.push_back(k.select(target < numRows, source, k.i32(-1)));
  }
  for (int64_t begin = 0; begin < kCopies; begin += kCopiesAtOnce) {
    auto group = ArrayRef(sources).slice(begin, kCopiesAtOnce);
    Expr last = group.front();
    for (Expr source : group.drop_front())
      last = max(last, source);
    // With fixed capacity most rows are not in use.
    k.ifThen(last >= 0, [&] {
      // Loads come first and read something in any case, so that they are under
      // way together.
      Exprs values;
      for (Expr source : group)
        values.push_back(k.loadRaw(from, {max(source, 0), column}, width));
      for (auto [i, value] : llvm::enumerate(values))
        k.ifThen(group[i] >= 0, [&] {
          k.storeRaw(value, k.address(to, {targets[begin + i], column}));
        });
    });
  }
}

LogicalResult moe::codegen::cuda::emitGatherRows(GatherRowsOp op,
                                                 const Emission &emission) {
  Launch launch(emission, "gather_rows", "dispatch.pack");
  Buffer from = launch.read(op.getFrom()), rows = launch.read(op.getRows()),
         to = launch.write(op.getTo());
  launch.setThreads(kThreads);
  unsigned width = getVectorWidth(Value(op.getTo()));
  CopyShape shape(to.type.getDimSize(1), width);
  ExprBuilder host = gridBuilder(emission);
  // No block where there is nothing to read.
  Expr blocks = ceilDiv(dimOf(host, op.getTo(), 0), shape.blockRows) *
                shape.blocksPerRow * min(dimOf(host, op.getFrom(), 0), 1);
  launch.emit(blocks, [&](KernelBuilder &k) {
    k.awaitInputs();
    Expr isInRow = k.block() % shape.blocksPerRow * kThreads +
                       k.thread() % shape.rowThreads <
                   shape.vectors;
    Expr hasRow = k.thread() < shape.rowThreads * shape.rowsAtOnce;
    k.ifThen(isInRow & hasRow,
             [&] { emitCopies(k, shape, width, from, rows, to); });
  });
  return success();
}

//===----------------------------------------------------------------------===//
// What came with fixed capacity
//===----------------------------------------------------------------------===//

namespace {
struct BatchedPlanBuffers {
  Buffer counts, offsets, sourceRows, pairRows;
};

/// Rows of all batches, and of those before the block's own.
struct RowCounts {
  Expr all, before;
  auto fields() { return std::tie(all, before); }
};
} // namespace

/// A block has the rows of one expert from one rank. It adds up for itself what
/// comes before them: the counts are few.
static void emitBatch(KernelBuilder &k, const BatchedPlanBuffers &buffers,
                      int64_t capacity) {
  Expr zero = k.i32(0), block = k.block(), thread = k.thread();
  Expr numExperts = k.dim(buffers.offsets, 0) - 1;
  Expr numBatches = k.dim(buffers.counts, 0);
  // A rank may have no expert.
  Expr divisor = max(numExperts, 1);
  Expr expert = block % divisor, rank = block / divisor;
  RowCounts counts =
      k.forEach(thread, numBatches, k.i32(kThreads), RowCounts{zero, zero},
                [&](Expr batch, RowCounts counts) -> RowCounts {
                  Expr count = k.load(buffers.counts, batch);
                  Expr other = batch % divisor;
                  Expr isBefore =
                      (other < expert) | ((other == expert) & (batch < block));
                  return {counts.all + count,
                          counts.before + k.select(isBefore, count, zero)};
                });
  Expr numRows = k.scanBlock(counts.all, kThreads / kWarpSize).second;
  Expr start = k.scanBlock(counts.before, kThreads / kWarpSize).second;
  k.ifThen(block < numBatches, [&] {
    Expr count = k.load(buffers.counts, block);
    k.forEach(thread, k.i32(capacity), k.i32(kThreads), [&](Expr i) {
      Expr row = block * capacity + i, isUsed = i < count;
      k.ifThen(isUsed, [&] { k.store(row, buffers.sourceRows, start + i); });
      k.store(k.select(isUsed, start + i, k.i32(-1)), buffers.pairRows,
              {row, zero});
    });
    k.ifThen((thread == 0) & (rank == 0),
             [&] { k.store(start, buffers.offsets, expert); });
  });
  k.ifThen((thread == 0) & (block == 0),
           [&] { k.store(numRows, buffers.offsets, numExperts); });
  // The rows after the last have no token.
  k.forEach(numRows + block * kThreads + thread, k.dim(buffers.sourceRows, 0),
            k.numBlocks() * kThreads,
            [&](Expr row) { k.store(k.i32(-1), buffers.sourceRows, row); });
}

LogicalResult moe::codegen::cuda::emitBatchedPlan(BatchedPlanOp op,
                                                  const Emission &emission) {
  int64_t capacity = op.getCapacity();
  Launch launch(emission, "batched_plan", "dispatch");
  BatchedPlanBuffers buffers{
      launch.read(op.getCounts()), launch.write(op.getOffsets()),
      launch.write(op.getSourceRows()), launch.write(op.getPairRows())};
  launch.setThreads(kThreads);
  launch.setKey(capacity);
  ExprBuilder host = gridBuilder(emission);
  // Without experts, too, the offsets say that there are no rows.
  launch.emit(max(dimOf(host, op.getCounts(), 0), 1), [&](KernelBuilder &k) {
    k.awaitInputs();
    emitBatch(k, buffers, capacity);
  });
  return success();
}
