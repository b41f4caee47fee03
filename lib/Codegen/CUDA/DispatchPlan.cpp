//===- DispatchPlan.cpp - Sorting pairs of token and expert ---------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A counting sort, stable in (token, slot) order. A block has a chunk of pairs
// in that order, a warp a part of the chunk, so the row of a pair is
//
//     pairs of smaller experts                       of all chunks
//   + pairs of the same expert in earlier chunks
//   + pairs of the same expert in earlier warps      of the chunk
//   + pairs of the same expert before it             in the warp
//
// One chunk is one launch; few pairs get one in which a lane has one pair. More
// chunks are counted in a launch before it, and every block adds up all counts
// for itself: nothing depends on the order in which blocks run.
//
//===----------------------------------------------------------------------===//

#include "../PhaseChecks.h"
#include "KernelBuilder.h"

using namespace mlir;
using namespace moe::codegen;
using namespace moe::codegen::cuda;

static constexpr int64_t kWarps = 16;
static constexpr int64_t kThreads = kWarps * kWarpSize;
/// Pairs that a lane has, one after the other.
static constexpr int64_t kLanePairs = 8;
static constexpr int64_t kChunk = kThreads * kLanePairs;
/// As many as a block has threads: a lane has one.
static constexpr int64_t kFewPairs = kThreads;

/// Bytes of the cursors of a block.
static int64_t getCursorBytes(int64_t numExperts) {
  return kWarps * numExperts * sizeof(int32_t);
}

namespace {
/// The pairs, and what their ids mean.
struct Pairs {
  Pairs(Launch &launch, const DispatchPlanOperands &operands)
      : ids(launch.read(operands.ids)),
        expertMap(launch.read(operands.expertMap)) {}

  Expr count(KernelBuilder &k) const { return k.dim(ids, 0) * numSlots(k); }
  Expr numSlots(KernelBuilder &k) const { return k.dim(ids, 1); }
  /// The expert here of pair number `pair`, `none` if there is none. There must
  /// be some pairs.
  Expr loadExpert(KernelBuilder &k, Expr pair, Expr none) const;

  Buffer ids;       ///< [T, k]
  Buffer expertMap; ///< [N], or null: ids are of experts here.
};
} // namespace

Expr Pairs::loadExpert(KernelBuilder &k, Expr pair, Expr none) const {
  // Loads of lanes that have nothing to load go to a valid place, so that no
  // load waits for the branch of another. Negative ids are large when read as
  // unsigned.
  Expr last = count(k) - 1;
  Expr expert = k.load(ids, {k.i32(0), min(pair, last)});
  Expr isThere = pair <= last;
  if (expertMap) {
    isThere = isThere & below(expert, k.dim(expertMap, 0));
    expert = k.load(expertMap, k.select(isThere, expert, k.i32(0)));
  }
  return k.select(isThere & below(expert, none), expert, none);
}

/// Counts of all experts in the block's chunk, into its row of `counts`.
static void emitCount(KernelBuilder &k, const Pairs &pairs,
                      const Buffer &counts) {
  Expr numExperts = k.dim(counts, 1), step = k.i32(kThreads);
  k.forEach(k.thread(), numExperts, step, [&](Expr expert) {
    k.store(k.i32(0), counts, {k.block(), expert});
  });
  k.barrier();
  for (int64_t i = 0; i < kLanePairs; ++i) {
    Expr pair = k.block() * kChunk + k.thread() + i * kThreads;
    Expr expert = pairs.loadExpert(k, pair, numExperts);
    k.ifThen(expert < numExperts,
             [&] { k.atomicAdd(k.i32(1), counts, {k.block(), expert}); });
  }
}

namespace {
struct SortBuffers {
  Buffer counts; ///< [chunks, E], or null: there is one chunk.
  Buffer offsets, sourceRows, pairRows;
};

/// The launch that sorts.
class SortKernel {
public:
  /// `cursors` is an array of rows of E i32, one for each warp of the block
  /// from `firstCursor` on: pairs of the warp, and then their next rows.
  SortKernel(KernelBuilder &k, const Pairs &pairs, const SortBuffers &buffers,
             const Array &cursors, Expr firstCursor, int64_t lanePairs)
      : k(k), pairs(pairs), buffers(buffers), cursors(cursors),
        firstCursor(firstCursor), numExperts(k.dim(buffers.offsets, 0) - 1),
        lanePairs(lanePairs) {}

  void clearCursors();
  void emit();

private:
  Expr pairOf(int64_t i);
  Expr advanceCursor(Expr expert);
  Expr addWarps(Expr expert, Expr sum, bool replaces);
  void emitScan();
  Expr emitTotal(Expr expert, Expr &before);
  void emitScatter(ArrayRef<Expr> experts);
  void emitRest(Expr numRows);

  KernelBuilder &k;
  const Pairs &pairs;
  const SortBuffers &buffers;
  const Array &cursors;
  Expr firstCursor, numExperts;
  int64_t lanePairs;
};
} // namespace

void SortKernel::clearCursors() {
  Expr own = firstCursor + k.warp();
  k.forEach(k.lane(), numExperts, k.i32(kWarpSize),
            [&](Expr expert) { k.store(k.i32(0), cursors, {own, expert}); });
  k.syncWarp();
}

void SortKernel::emit() {
  Exprs experts = k.ifElse(
      pairs.count(k) > 0,
      [&] {
        Exprs experts;
        for (int64_t i = 0; i < lanePairs; ++i)
          experts.push_back(pairs.loadExpert(k, pairOf(i), numExperts));
        return experts;
      },
      [&] { return Exprs(lanePairs, numExperts); });
  for (Expr expert : experts)
    advanceCursor(expert);
  k.barrier();
  emitScan();
  k.barrier();
  emitScatter(experts);
}

/// Number of the lane's pair `i`, all of a warp's being next to each other.
Expr SortKernel::pairOf(int64_t i) {
  Expr warp = k.block() * kWarps + k.warp();
  return (warp * lanePairs + i) * kWarpSize + k.lane();
}

/// Moves the warp's cursors over one pair in each lane, and hands back where
/// the cursor was for the lane's own.
Expr SortKernel::advanceCursor(Expr expert) {
  Expr own = firstCursor + k.warp();
  Expr peers = k.matchLanes(expert);
  Expr rank = k.countBits(peers & k.lanesBefore());
  Expr isThere = expert < numExperts;
  // Without an expert the lane reads another's cursor, for nothing.
  Expr cursor = k.load(cursors, {own, min(expert, numExperts - 1)});
  k.syncWarp();
  k.ifThen(isThere & (rank == 0), [&] {
    k.store(cursor + k.countBits(peers), cursors, {own, expert});
  });
  k.syncWarp();
  return cursor + rank;
}

/// Pairs of `expert` in all chunks; `before` becomes those in earlier chunks.
Expr SortKernel::emitTotal(Expr expert, Expr &before) {
  Exprs sums = k.forEach(
      k.i32(0), k.dim(buffers.counts, 0), k.i32(1), {k.i32(0), k.i32(0)},
      [&](Expr chunk, ArrayRef<Expr> carried) -> Exprs {
        Expr count = k.load(buffers.counts, {chunk, expert});
        Expr isBefore = chunk < k.block();
        return {carried[0] + count,
                carried[1] + k.select(isBefore, count, k.i32(0))};
      });
  before = sums[1];
  return sums[0];
}

/// Adds the warps' pairs of `expert` to `sum`, one warp after the other;
/// `replaces` puts into each cursor the sum before it.
Expr SortKernel::addWarps(Expr expert, Expr sum, bool replaces) {
  int64_t step = lanePairs == 1 ? kWarps : 1;
  auto addNext = [&](Expr first, ArrayRef<Expr> carried) -> Exprs {
    // All loads are under way together, where a lane has registers for them.
    Exprs counts;
    for (int64_t warp = 0; warp < step; ++warp)
      counts.push_back(k.load(cursors, {firstCursor + first + warp, expert}));
    Expr sum = carried[0];
    for (auto [warp, count] : llvm::enumerate(counts)) {
      if (replaces)
        k.store(sum, cursors, {firstCursor + first + int64_t(warp), expert});
      sum = sum + count;
    }
    return {sum};
  };
  return k.forEach(k.i32(0), k.i32(kWarps), k.i32(step), sum, addNext).front();
}

/// Turns the cursors from numbers of pairs to first rows, a thread for each
/// expert, and writes the offsets.
void SortKernel::emitScan() {
  Expr zero = k.i32(0);
  auto scanExperts = [&](Expr first, ArrayRef<Expr> carried) -> Exprs {
    Expr expert = first + k.thread();
    Expr isOwn = expert < numExperts;
    Exprs counted = k.ifElse(
        isOwn,
        [&]() -> Exprs {
          Expr total = zero, before = zero;
          if (buffers.counts)
            total = emitTotal(expert, before);
          else
            total = addWarps(expert, zero, /*replaces=*/false);
          return {total, before};
        },
        [&]() -> Exprs { return {zero, zero}; });
    auto [smaller, total] = k.scanBlock(counted[0], kWarps);
    Expr row = carried[0] + smaller;
    k.ifThen(isOwn, [&] {
      k.ifThen(k.block() == 0, [&] { k.store(row, buffers.offsets, expert); });
      addWarps(expert, row + counted[1], /*replaces=*/true);
    });
    return {carried[0] + total};
  };
  Expr numRows =
      k.forEach(zero, numExperts, k.i32(kThreads), zero, scanExperts).front();
  k.ifThen((k.block() == 0) & (k.thread() == 0),
           [&] { k.store(numRows, buffers.offsets, numExperts); });
  emitRest(numRows);
}

void SortKernel::emitScatter(ArrayRef<Expr> experts) {
  for (auto [i, expert] : llvm::enumerate(experts)) {
    Expr pair = pairOf(i);
    Expr row = advanceCursor(expert);
    Expr isThere = expert < numExperts;
    k.ifThen(isThere, [&] {
      k.store(pair / pairs.numSlots(k), buffers.sourceRows, row);
    });
    k.ifThen(pair < pairs.count(k), [&] {
      k.store(k.select(isThere, row, k.i32(-1)), buffers.pairRows,
              {k.i32(0), pair});
    });
  }
}

/// The rows after the last pair have no token.
void SortKernel::emitRest(Expr numRows) {
  Expr first = numRows + k.block() * kThreads + k.thread();
  k.forEach(first, k.dim(buffers.sourceRows, 0), k.numBlocks() * kThreads,
            [&](Expr row) { k.store(k.i32(-1), buffers.sourceRows, row); });
}

//===----------------------------------------------------------------------===//
// The phase
//===----------------------------------------------------------------------===//

static void launchCount(const Emission &emission,
                        const DispatchPlanOperands &operands, Value counts,
                        Expr blocks) {
  Launch launch(emission, "dispatch_count", "dispatch.count");
  Pairs pairs(launch, operands);
  Buffer target = launch.write(counts);
  launch.setThreads(kThreads);
  launch.emit(blocks, [&](KernelBuilder &k) {
    k.awaitInputs();
    emitCount(k, pairs, target);
  });
}

/// `counts` are null for one chunk; `cursors` are null where they fit into
/// shared memory. A lane sorts `lanePairs`.
static void launchSort(const Emission &emission,
                       const DispatchPlanOperands &operands, Value counts,
                       Value cursors, Expr blocks, int64_t lanePairs) {
  Launch launch(emission, "dispatch_sort", "dispatch");
  Pairs pairs(launch, operands);
  SortBuffers buffers{launch.read(counts), launch.write(operands.expertOffsets),
                      launch.write(operands.sourceRows),
                      launch.write(operands.pairRows)};
  Buffer scratch = launch.write(cursors);
  launch.setThreads(kThreads);
  launch.setKey(lanePairs);
  int64_t numExperts = buffers.offsets.type.getDimSize(0) - 1;
  if (!scratch)
    launch.setSharedBytes(getCursorBytes(numExperts));
  launch.emit(blocks, [&](KernelBuilder &k) {
    Array rows = scratch
                     ? k.array(scratch)
                     : k.dynamicShared(0, {kWarps, numExperts}, k.getI32Type());
    Expr first = scratch ? k.block() * kWarps : k.i32(0);
    SortKernel sort(k, pairs, buffers, rows, first, lanePairs);
    k.startDependents();
    if (scratch)
      k.awaitPrevious();
    sort.clearCursors();
    if (!scratch)
      k.awaitPrevious();
    sort.emit();
  });
}

LogicalResult
moe::codegen::cuda::emitDispatchPlan(const Emission &emission,
                                     const DispatchPlanOperands &operands) {
  if (failed(check(emission.loc, operands)))
    return failure();
  auto countPairs = [&](ExprBuilder &b) {
    return dimOf(b, operands.ids, 0) * dimOf(b, operands.ids, 1);
  };
  ExprBuilder scratch = scratchBuilder(emission);
  // At least one chunk: without pairs the offsets say that there are no rows.
  Expr chunks = max(ceilDiv(countPairs(scratch), kChunk), 1);
  Expr experts = dimOf(scratch, operands.expertOffsets, 0) - 1;
  int64_t offsets = getMemRefType(operands.expertOffsets).getDimSize(0);
  Value cursors;
  if (ShapedType::isDynamic(offsets) ||
      getCursorBytes(offsets - 1) > emission.target.sharedBytes)
    cursors = allocateScratch({chunks * kWarps, experts}, scratch.getI32Type());

  ExprBuilder grid = gridBuilder(emission);
  auto launchOneBlock = [&](int64_t lanePairs) {
    launchSort(emission, operands, {}, cursors, gridBuilder(emission).index(1),
               lanePairs);
  };
  auto launchMore = [&] {
    ExprBuilder grid = gridBuilder(emission);
    ifOnHost(
        emission, countPairs(grid) <= kChunk,
        [&] { launchOneBlock(kLanePairs); },
        [&] {
          Value counts =
              allocateScratch({chunks, experts}, scratch.getI32Type());
          ExprBuilder grid = gridBuilder(emission);
          Expr blocks = ceilDiv(countPairs(grid), kChunk);
          launchCount(emission, operands, counts, blocks);
          launchSort(emission, operands, counts, cursors, blocks, kLanePairs);
        });
  };
  ifOnHost(
      emission, countPairs(grid) <= kFewPairs, [&] { launchOneBlock(1); },
      launchMore);
  return success();
}
