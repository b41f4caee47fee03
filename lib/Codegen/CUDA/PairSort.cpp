//===- PairSort.cpp - Sorting pairs of token and expert -------------------===//
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
//     pairs of smaller keys                          of all chunks
//   + pairs of the same key in earlier chunks
//   + pairs of the same key in earlier warps         of the chunk
//   + pairs of the same key before it                in the warp
//
// With rows of a fixed capacity the first summand is a constant of the key.
//
// One chunk is one launch; few pairs get one in which a lane has one pair. More
// chunks are counted in a launch before it, and every block adds up all counts
// for itself: nothing depends on the order in which blocks run.
//
//===----------------------------------------------------------------------===//

#include "PairSort.h"

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
static int64_t getCursorBytes(int64_t numKeys) {
  return kWarps * numKeys * sizeof(int32_t);
}

/// What is known about the number of keys: it, or no less, or kDynamic.
static int64_t getMaxKeys(const PairSort &sort) {
  int64_t numKeys = sort.offsets ? getMemRefType(sort.offsets).getDimSize(0)
                                 : getMemRefType(sort.counts).getDimSize(0);
  if (!ShapedType::isDynamic(numKeys))
    return sort.offsets ? numKeys - 1 : numKeys;
  // Keys are those of a part of the map's experts.
  return sort.expertMap ? getMemRefType(sort.expertMap).getDimSize(0)
                        : ShapedType::kDynamic;
}

namespace {
/// The pairs, and what their ids mean.
struct Pairs {
  Pairs(Launch &launch, const PairSort &sort)
      : ids(launch.read(sort.ids)), expertMap(launch.read(sort.expertMap)) {}

  Expr count(KernelBuilder &k) const { return k.dim(ids, 0) * numSlots(k); }
  Expr numSlots(KernelBuilder &k) const { return k.dim(ids, 1); }
  /// The key of pair number `pair`, `none` if it is left out. There must be
  /// some pairs.
  Expr loadKey(KernelBuilder &k, Expr pair, Expr none) const;

  Buffer ids;       ///< [T, k]
  Buffer expertMap; ///< [N], or null: ids are keys.
};
} // namespace

Expr Pairs::loadKey(KernelBuilder &k, Expr pair, Expr none) const {
  // Loads of lanes that have nothing to load go to a valid place, so that no
  // load waits for the branch of another. Negative ids are large when read as
  // unsigned.
  Expr last = count(k) - 1;
  Expr key = k.load(ids, {k.i32(0), min(pair, last)});
  Expr isThere = pair <= last;
  if (expertMap) {
    isThere = isThere & below(key, k.dim(expertMap, 0));
    key = k.load(expertMap, k.select(isThere, key, k.i32(0)));
  }
  return k.select(isThere & below(key, none), key, none);
}

/// Counts of all keys in the block's chunk, into its row of `counts`.
static void emitCount(KernelBuilder &k, const Pairs &pairs,
                      const Buffer &counts) {
  Expr numKeys = k.dim(counts, 1), step = k.i32(kThreads);
  k.forEach(k.thread(), numKeys, step,
            [&](Expr key) { k.store(k.i32(0), counts, {k.block(), key}); });
  k.barrier();
  for (int64_t i = 0; i < kLanePairs; ++i) {
    Expr pair = k.block() * kChunk + k.thread() + i * kThreads;
    Expr key = pairs.loadKey(k, pair, numKeys);
    k.ifThen(key < numKeys,
             [&] { k.atomicAdd(k.i32(1), counts, {k.block(), key}); });
  }
}

namespace {
struct SortBuffers {
  Buffer chunkCounts; ///< [chunks, K], or null: there is one chunk.
  Buffer offsets, counts, sourceRows, pairRows, weights, rowWeights;
};

/// Pairs of a key in all chunks, and in those before the block's.
struct PairCounts {
  Expr all, before;
  auto fields() { return std::tie(all, before); }
};

/// The launch that sorts.
class SortKernel {
public:
  /// `cursors` is an array of rows of K i32, one for each warp of the block
  /// from `firstCursor` on: pairs of the warp, and then their next rows.
  SortKernel(KernelBuilder &k, const Pairs &pairs, const SortBuffers &buffers,
             const Array &cursors, Expr firstCursor, int64_t lanePairs,
             int64_t capacity)
      : k(k), pairs(pairs), buffers(buffers), cursors(cursors),
        firstCursor(firstCursor),
        numKeys(buffers.offsets ? k.dim(buffers.offsets, 0) - 1
                                : k.dim(buffers.counts, 0)),
        lanePairs(lanePairs), capacity(capacity) {}

  void clearCursors();
  void emit();

private:
  Expr pairOf(int64_t i);
  Expr advanceCursor(Expr key);
  Expr addWarps(Expr key, Expr sum, bool replaces);
  void emitScan();
  PairCounts countChunks(Expr key);
  void emitScatter(ArrayRef<Expr> keys);
  void emitRest(Expr numRows);

  KernelBuilder &k;
  const Pairs &pairs;
  const SortBuffers &buffers;
  const Array &cursors;
  Expr firstCursor, numKeys;
  int64_t lanePairs, capacity;
};
} // namespace

void SortKernel::clearCursors() {
  Expr own = firstCursor + k.warp();
  k.forEach(k.lane(), numKeys, k.i32(kWarpSize),
            [&](Expr key) { k.store(k.i32(0), cursors, {own, key}); });
  k.syncWarp();
}

void SortKernel::emit() {
  Exprs keys = k.ifElse(
      pairs.count(k) > 0,
      [&] {
        Exprs keys;
        for (int64_t i = 0; i < lanePairs; ++i)
          keys.push_back(pairs.loadKey(k, pairOf(i), numKeys));
        return keys;
      },
      [&] { return Exprs(lanePairs, numKeys); });
  for (Expr key : keys)
    advanceCursor(key);
  k.barrier();
  emitScan();
  k.barrier();
  emitScatter(keys);
}

/// Number of the lane's pair `i`, all of a warp's being next to each other.
Expr SortKernel::pairOf(int64_t i) {
  Expr warp = k.block() * kWarps + k.warp();
  return (warp * lanePairs + i) * kWarpSize + k.lane();
}

/// Moves the warp's cursors over one pair in each lane, and hands back where
/// the cursor was for the lane's own.
Expr SortKernel::advanceCursor(Expr key) {
  Expr own = firstCursor + k.warp();
  Expr peers = k.matchLanes(key);
  Expr rank = k.countBits(peers & k.lanesBefore());
  Expr isThere = key < numKeys;
  // Without a key the lane reads another's cursor, for nothing. There is room
  // for one even where there are no keys.
  Expr cursor = k.load(cursors, {own, k.select(isThere, key, k.i32(0))});
  k.syncWarp();
  k.ifThen(isThere & (rank == 0),
           [&] { k.store(cursor + k.countBits(peers), cursors, {own, key}); });
  k.syncWarp();
  return cursor + rank;
}

/// Pairs of `key` in all chunks.
PairCounts SortKernel::countChunks(Expr key) {
  return k.forEach(k.i32(0), k.dim(buffers.chunkCounts, 0), k.i32(1),
                   PairCounts{k.i32(0), k.i32(0)},
                   [&](Expr chunk, PairCounts counts) -> PairCounts {
                     Expr count = k.load(buffers.chunkCounts, {chunk, key});
                     Expr isBefore = chunk < k.block();
                     return {counts.all + count,
                             counts.before +
                                 k.select(isBefore, count, k.i32(0))};
                   });
}

/// Adds the warps' pairs of `key` to `sum`, one warp after the other;
/// `replaces` puts into each cursor the sum before it.
Expr SortKernel::addWarps(Expr key, Expr sum, bool replaces) {
  int64_t step = lanePairs == 1 ? kWarps : 1;
  auto addNext = [&](Expr first, Expr sum) {
    // All loads are under way together, where a lane has registers for them.
    Exprs counts;
    for (int64_t warp = 0; warp < step; ++warp)
      counts.push_back(k.load(cursors, {firstCursor + first + warp, key}));
    for (auto [warp, count] : llvm::enumerate(counts)) {
      if (replaces)
        k.store(sum, cursors, {firstCursor + first + int64_t(warp), key});
      sum = sum + count;
    }
    return sum;
  };
  return k.forEach(k.i32(0), k.i32(kWarps), k.i32(step), sum, addNext);
}

/// Turns the cursors from numbers of pairs to first rows, a thread for each
/// key, and writes the offsets or counts.
void SortKernel::emitScan() {
  Expr zero = k.i32(0), isFirstBlock = k.block() == 0;
  auto scanKeys = [&](Expr first, Expr rowsBefore) {
    Expr key = first + k.thread();
    Expr isOwn = key < numKeys;
    PairCounts counts = k.ifElse(
        isOwn,
        [&]() -> PairCounts {
          if (buffers.chunkCounts)
            return countChunks(key);
          return {addWarps(key, zero, /*replaces=*/false), zero};
        },
        [&]() -> PairCounts { return {zero, zero}; });
    Expr row = key * capacity, numRows = zero;
    if (capacity == 0) {
      auto [smaller, total] = k.scanBlock(counts.all, kWarps);
      row = rowsBefore + smaller;
      numRows = rowsBefore + total;
    }
    k.ifThen(isOwn, [&] {
      k.ifThen(isFirstBlock, [&] {
        if (buffers.offsets)
          k.store(row, buffers.offsets, key);
        else
          k.store(counts.all, buffers.counts, key);
      });
      addWarps(key, row + counts.before, /*replaces=*/true);
    });
    return numRows;
  };
  Expr numRows = k.forEach(zero, numKeys, k.i32(kThreads), zero, scanKeys);
  if (buffers.offsets)
    k.ifThen(isFirstBlock & (k.thread() == 0),
             [&] { k.store(numRows, buffers.offsets, numKeys); });
  if (capacity == 0)
    emitRest(numRows);
}

void SortKernel::emitScatter(ArrayRef<Expr> keys) {
  for (auto [i, key] : llvm::enumerate(keys)) {
    Expr pair = pairOf(i);
    Expr row = advanceCursor(key);
    Expr isThere = key < numKeys;
    k.ifThen(isThere, [&] {
      k.store(pair / pairs.numSlots(k), buffers.sourceRows, row);
      if (buffers.rowWeights)
        k.store(k.load(buffers.weights, {k.i32(0), pair}), buffers.rowWeights,
                {row, k.i32(0)});
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
// Launches
//===----------------------------------------------------------------------===//

namespace {
/// Emits the launches of one sort.
class SortLaunches {
public:
  SortLaunches(const Emission &emission, StringRef stem, StringRef label,
               const PairSort &sort)
      : emission(emission), stem(stem.str()), label(label.str()), sort(sort),
        maxKeys(getMaxKeys(sort)) {}

  void emit();

private:
  Expr countPairs(ExprBuilder &b) {
    return dimOf(b, sort.ids, 0) * dimOf(b, sort.ids, 1);
  }
  bool hasSharedCursors() {
    return !ShapedType::isDynamic(maxKeys) &&
           getCursorBytes(maxKeys) <= emission.target.sharedBytes;
  }
  void launchCount(Value chunkCounts, Expr blocks);
  void launchSort(Value chunkCounts, Expr blocks, int64_t lanePairs);

  const Emission &emission;
  std::string stem, label;
  const PairSort &sort;
  int64_t maxKeys;
  Value cursors; ///< Null where they fit into shared memory.
};
} // namespace

void SortLaunches::launchCount(Value chunkCounts, Expr blocks) {
  std::string name = stem + "_count", shown = label + ".count";
  Launch launch(emission, name, shown);
  Pairs pairs(launch, sort);
  Buffer target = launch.write(chunkCounts);
  launch.setThreads(kThreads);
  launch.emit(blocks, [&](KernelBuilder &k) {
    k.awaitInputs();
    emitCount(k, pairs, target);
  });
}

/// `chunkCounts` are null for one chunk. A lane sorts `lanePairs`.
void SortLaunches::launchSort(Value chunkCounts, Expr blocks,
                              int64_t lanePairs) {
  std::string name = stem + "_sort";
  Launch launch(emission, name, label);
  Pairs pairs(launch, sort);
  SortBuffers buffers;
  buffers.chunkCounts = launch.read(chunkCounts);
  buffers.weights = launch.read(sort.weights);
  buffers.offsets = launch.write(sort.offsets);
  buffers.counts = launch.write(sort.counts);
  // Rows that are kept are part of what the launch leaves.
  if (sort.capacity != 0)
    launch.read(sort.sourceRows);
  buffers.sourceRows = launch.write(sort.sourceRows);
  buffers.pairRows = launch.write(sort.pairRows);
  buffers.rowWeights = launch.write(sort.rowWeights);
  Buffer scratch = launch.write(cursors);
  launch.setThreads(kThreads);
  launch.setKey(lanePairs, sort.capacity);
  if (!scratch)
    launch.setSharedBytes(getCursorBytes(maxKeys));
  launch.emit(blocks, [&](KernelBuilder &k) {
    Array rows = scratch
                     ? k.array(scratch)
                     : k.dynamicShared(0, {kWarps, maxKeys}, k.getI32Type());
    Expr first = scratch ? k.block() * kWarps : k.i32(0);
    SortKernel kernel(k, pairs, buffers, rows, first, lanePairs, sort.capacity);
    k.startDependents();
    if (scratch)
      k.awaitPrevious();
    kernel.clearCursors();
    if (!scratch)
      k.awaitPrevious();
    kernel.emit();
  });
}

void SortLaunches::emit() {
  ExprBuilder scratch = scratchBuilder(emission);
  // At least one chunk: without pairs the offsets say that there are no rows.
  Expr chunks = max(ceilDiv(countPairs(scratch), kChunk), 1);
  Expr numKeys = sort.offsets ? dimOf(scratch, sort.offsets, 0) - 1
                              : dimOf(scratch, sort.counts, 0);
  if (!hasSharedCursors())
    cursors = allocateScratch({chunks * kWarps, max(numKeys, 1)},
                              scratch.getI32Type());

  auto launchOneBlock = [&](int64_t lanePairs) {
    launchSort({}, gridBuilder(emission).index(1), lanePairs);
  };
  auto launchMore = [&] {
    ExprBuilder grid = gridBuilder(emission);
    ifOnHost(
        emission, countPairs(grid) <= kChunk,
        [&] { launchOneBlock(kLanePairs); },
        [&] {
          Value chunkCounts =
              allocateScratch({chunks, numKeys}, scratch.getI32Type());
          ExprBuilder grid = gridBuilder(emission);
          Expr blocks = ceilDiv(countPairs(grid), kChunk);
          launchCount(chunkCounts, blocks);
          launchSort(chunkCounts, blocks, kLanePairs);
        });
  };
  ExprBuilder grid = gridBuilder(emission);
  ifOnHost(
      emission, countPairs(grid) <= kFewPairs, [&] { launchOneBlock(1); },
      launchMore);
}

void moe::codegen::cuda::emitPairSort(const Emission &emission, StringRef stem,
                                      StringRef label, const PairSort &sort) {
  SortLaunches(emission, stem, label, sort).emit();
}
