//===- Exchange.cpp - Plans of what moves between ranks -------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Emitters.h"
#include "KernelBuilder.h"

#include "mlir/Dialect/Vector/IR/VectorOps.h"

using namespace mlir;
using namespace moe;
using namespace moe::codegen;
using namespace moe::codegen::cpu;

using Predicate = arith::CmpIPredicate;

/// The number of `expert` on `rank`, or -1.
static Value emitLocalExpert(KernelBuilder &k, Value expert, Value rank,
                             PlacementAttr placement) {
  Value none = k.index(-1);
  if (placement.isRoundRobin()) {
    Value ranks = k.index(placement.getRanks());
    Value isHere = k.compare(Predicate::eq, k.rem(expert, ranks), rank);
    return k.select(isHere, k.div(expert, ranks), none);
  }
  int64_t base = placement.getExperts() / placement.getRanks();
  Value remainder = k.index(placement.getExperts() % placement.getRanks());
  Value first = k.add(k.mul(rank, k.index(base)), k.minimum(rank, remainder));
  Value count = k.select(k.compare(Predicate::ult, rank, remainder),
                         k.index(base + 1), k.index(base));
  // Smaller ids are large when read as unsigned.
  Value local = k.sub(expert, first);
  return k.select(k.compare(Predicate::ult, local, count), local, none);
}

/// The rank that owns `expert`, and the expert's place in the order of ranks,
/// then experts.
static std::pair<Value, Value> emitOwner(KernelBuilder &k, Value expert,
                                         PlacementAttr placement) {
  int64_t base = placement.getExperts() / placement.getRanks();
  int64_t remainder = placement.getExperts() % placement.getRanks();
  if (placement.isRoundRobin()) {
    Value ranks = k.index(placement.getRanks());
    Value owner = k.rem(expert, ranks);
    Value first = k.add(k.mul(owner, k.index(base)),
                        k.minimum(owner, k.index(remainder)));
    return {owner, k.add(first, k.div(expert, ranks))};
  }
  // The first ranks own one expert more. With less than one for each rank, all
  // experts are theirs.
  Value inLarge = k.index(remainder * (base + 1));
  Value large = k.div(expert, k.index(base + 1));
  Value small =
      k.add(k.index(remainder),
            k.div(k.sub(expert, inLarge), k.index(std::max<int64_t>(base, 1))));
  Value owner =
      k.select(k.compare(Predicate::ult, expert, inLarge), large, small);
  return {owner, expert};
}

/// Calls `body(t, j)` for the elements of a matrix.
static void forEachElement(KernelBuilder &k, Value matrix,
                           function_ref<void(Value, Value)> body) {
  k.forEach(k.index(0), k.dim(matrix, 0), 1, [&](Value t) {
    k.forEach(k.index(0), k.dim(matrix, 1), 1, [&](Value j) { body(t, j); });
  });
}

/// Calls `body(t, j, expert)` for the choices that are experts of some rank.
static void forEachChoice(KernelBuilder &k, Value ids, int64_t numExperts,
                          function_ref<void(Value, Value, Value)> body) {
  forEachElement(k, ids, [&](Value t, Value j) {
    // Negative ids are large when read as unsigned.
    Value id = k.loadIndex(ids, {t, j});
    k.ifThen(k.compare(Predicate::ult, id, k.index(numExperts)),
             [&] { body(t, j, id); });
  });
}

static void fill(KernelBuilder &k, Value memref, Value value) {
  k.forEach(k.index(0), k.dim(memref, 0), 1,
            [&](Value i) { k.storeIndex(value, memref, i); });
}

/// memref[index]++; returns the value before.
static Value increment(KernelBuilder &k, Value memref, Value index) {
  Value value = k.loadIndex(memref, index);
  k.storeIndex(k.add(value, k.index(1)), memref, index);
  return value;
}

LogicalResult moe::codegen::cpu::emitExpertMap(ExpertMapOp op,
                                               const Emission &emission) {
  PlacementAttr placement = op.getPlacement();
  func::FuncOp kernel = getOrEmitKernel(
      emission, "expert_map", {}, op.getMap(), op.getRank(),
      describe(placement),
      [&](KernelBuilder &k, Value, ValueRange, ValueRange writes,
          ValueRange scalars) {
        k.forEach(k.index(0), k.dim(writes[0], 0), 1, [&](Value expert) {
          k.storeIndex(emitLocalExpert(k, expert, scalars[0], placement),
                       writes[0], expert);
        });
      });
  Value grid = gridBuilder(emission).index(1);
  emitLaunches(
      emission,
      {{kernel, "expert map", {}, {op.getMap()}, grid, {op.getRank()}}});
  return success();
}

//===----------------------------------------------------------------------===//
// Rows by counts
//===----------------------------------------------------------------------===//

/// Two passes over the choices: the first marks those that send their token and
/// counts, the second numbers the marks from each rank's first row on.
static void emitTokensByRank(KernelBuilder &k, Value ids, ValueRange writes,
                             PlacementAttr placement) {
  Value counts = writes[0], rows = writes[1], positions = writes[2];
  Value zero = k.index(0), none = k.index(-1);
  fill(k, counts, zero);
  fill(k, rows, none);
  forEachElement(k, positions, [&](Value t, Value j) {
    k.storeIndex(none, positions, {t, j});
  });
  // The last token that goes to each rank.
  Value tokens =
      k.blockLocal(ArrayRef<int64_t>{placement.getRanks()}, k.getI32Type());
  fill(k, tokens, none);
  forEachChoice(k, ids, placement.getExperts(),
                [&](Value t, Value j, Value id) {
                  Value owner = emitOwner(k, id, placement).first;
                  Value last = k.loadIndex(tokens, owner);
                  k.ifThen(k.compare(Predicate::ne, last, t), [&] {
                    k.storeIndex(t, tokens, owner);
                    k.storeIndex(owner, positions, {t, j});
                    increment(k, counts, owner);
                  });
                });
  // The next row of each rank, and of all ranks so far.
  Value next =
      k.blockLocal(ArrayRef<int64_t>{placement.getRanks()}, k.getI32Type());
  Value end = k.blockLocal(ArrayRef<int64_t>{1}, k.getI32Type());
  k.storeIndex(zero, end, zero);
  k.forEach(zero, k.index(placement.getRanks()), 1, [&](Value rank) {
    Value first = k.loadIndex(end, zero);
    k.storeIndex(first, next, rank);
    k.storeIndex(k.add(first, k.loadIndex(counts, rank)), end, zero);
  });
  forEachElement(k, positions, [&](Value t, Value j) {
    Value owner = k.loadIndex(positions, {t, j});
    k.ifThen(k.compare(Predicate::sge, owner, zero), [&] {
      Value row = increment(k, next, owner);
      k.storeIndex(t, rows, row);
      k.storeIndex(row, positions, {t, j});
    });
  });
}

LogicalResult moe::codegen::cpu::emitSendPlan(SendPlanOp op,
                                              const Emission &emission) {
  PlacementAttr placement = op.getPlacement();
  SmallVector<Value> writes{op.getCounts(), op.getRows(), op.getPositions()};
  func::FuncOp kernel = getOrEmitKernel(
      emission, "send_plan", op.getIds(), writes, describe(placement),
      [&](KernelBuilder &k, Value, ValueRange reads, ValueRange writes) {
        emitTokensByRank(k, reads[0], writes, placement);
      });
  Value grid = gridBuilder(emission).index(1);
  emitLaunches(emission,
               {{kernel, "dispatch.plan", {op.getIds()}, writes, grid}});
  return success();
}

LogicalResult moe::codegen::cpu::emitGatherRows(GatherRowsOp op,
                                                const Emission &emission) {
  SmallVector<Value> reads{op.getFrom(), op.getRows()};
  func::FuncOp kernel = getOrEmitKernel(
      emission, "gather_rows", reads, op.getTo(), "",
      [](KernelBuilder &k, Value block, ValueRange reads, ValueRange writes) {
        Value row = k.loadIndex(reads[1], block);
        Type element = getMemRefType(reads[0]).getElementType();
        k.ifThen(k.compare(Predicate::sge, row, k.index(0)), [&] {
          k.forEachChunk(k.dim(writes[0], 1), [&](Value n, unsigned width) {
            Value values =
                vector::LoadOp::create(k, VectorType::get(width, element),
                                       reads[0], ValueRange{row, n});
            vector::StoreOp::create(k, values, writes[0], ValueRange{block, n});
          });
        });
      });
  Value grid = gridBuilder(emission).dim(op.getTo(), 0);
  emitLaunches(emission,
               {{kernel, "dispatch.pack", reads, {op.getTo()}, grid}});
  return success();
}

LogicalResult moe::codegen::cpu::emitClearIds(ClearIdsOp op,
                                              const Emission &emission) {
  func::FuncOp kernel = getOrEmitKernel(
      emission, "clear_ids", {}, op.getIds(), "",
      [](KernelBuilder &k, Value block, ValueRange, ValueRange writes) {
        k.forEach(k.index(0), k.dim(writes[0], 1), 1, [&](Value j) {
          k.storeIndex(k.index(-1), writes[0], {block, j});
        });
      });
  Value grid = gridBuilder(emission).dim(op.getIds(), 0);
  emitLaunches(emission, {{kernel, "dispatch.clear", {}, {op.getIds()}, grid}});
  return success();
}

//===----------------------------------------------------------------------===//
// Rows of fixed capacity
//===----------------------------------------------------------------------===//

static void emitTokensByExpert(KernelBuilder &k, ValueRange reads,
                               ValueRange writes, PlacementAttr placement,
                               int64_t capacity) {
  Value ids = reads[0], weights = reads[1];
  Value counts = writes[0], rows = writes[1], rowWeights = writes[2],
        positions = writes[3];
  Value zero = k.index(0), none = k.index(-1), end = k.index(capacity);
  fill(k, counts, zero);
  fill(k, rows, none);
  forEachElement(k, positions, [&](Value t, Value j) {
    k.storeIndex(none, positions, {t, j});
  });
  forEachChoice(
      k, ids, placement.getExperts(), [&](Value t, Value j, Value id) {
        Value place = emitOwner(k, id, placement).second;
        Value used = k.loadIndex(counts, place),
              weight = k.load(weights, {t, j});
        // A token that chooses an expert again, which given ids may, has the
        // expert's last row and adds to its weight. So an expert gets no more
        // rows than there are tokens, of which the call has at most `capacity`.
        Value row = k.add(k.mul(place, end), used);
        Value hasRows = k.compare(Predicate::sgt, used, zero);
        Value last = k.select(hasRows, k.sub(row, k.index(1)), zero);
        Value token = k.select(hasRows, k.loadIndex(rows, last), none);
        k.ifThen(k.compare(Predicate::eq, token, t), [&] {
          Value sum = k.addf(k.load(rowWeights, {last, zero}), weight);
          k.store(sum, rowWeights, {last, zero});
        });
        k.ifThen(k.compare(Predicate::ne, token, t), [&] {
          k.storeIndex(k.add(used, k.index(1)), counts, place);
          k.storeIndex(t, rows, row);
          k.storeIndex(row, positions, {t, j});
          k.store(weight, rowWeights, {row, zero});
        });
      });
}

LogicalResult moe::codegen::cpu::emitBatchedSendPlan(BatchedSendPlanOp op,
                                                     const Emission &emission) {
  PlacementAttr placement = op.getPlacement();
  int64_t capacity = op.getCapacity();
  SmallVector<Value> reads{op.getIds(), op.getWeights()};
  SmallVector<Value> writes{op.getCounts(), op.getRows(), op.getRowWeights(),
                            op.getPositions()};
  func::FuncOp kernel = getOrEmitKernel(
      emission, "batched_send_plan", reads, writes,
      describe(placement) + describeParameters(capacity),
      [&](KernelBuilder &k, Value, ValueRange reads, ValueRange writes) {
        emitTokensByExpert(k, reads, writes, placement, capacity);
      });
  Value grid = gridBuilder(emission).index(1);
  emitLaunches(emission, {{kernel, "dispatch.plan", reads, writes, grid}});
  return success();
}

static void emitPlanOfBatches(KernelBuilder &k, Value counts, ValueRange writes,
                              int64_t ranks, int64_t capacity) {
  Value offsets = writes[0], sources = writes[1], pairRows = writes[2];
  Value zero = k.index(0), one = k.index(1), none = k.index(-1);
  fill(k, sources, none);
  k.forEach(zero, k.dim(pairRows, 0), 1,
            [&](Value row) { k.storeIndex(none, pairRows, {row, zero}); });
  Value numExperts = k.sub(k.dim(offsets, 0), one);
  Value next = k.blockLocal(ArrayRef<int64_t>{1}, k.getI32Type());
  k.storeIndex(zero, next, zero);
  k.forEach(zero, numExperts, 1, [&](Value expert) {
    k.storeIndex(k.loadIndex(next, zero), offsets, expert);
    k.forEach(zero, k.index(ranks), 1, [&](Value rank) {
      Value block = k.add(k.mul(rank, numExperts), expert);
      Value first = k.mul(block, k.index(capacity));
      k.forEach(zero, k.loadIndex(counts, block), 1, [&](Value i) {
        Value row = k.add(first, i), position = increment(k, next, zero);
        k.storeIndex(row, sources, position);
        k.storeIndex(position, pairRows, {row, zero});
      });
    });
  });
  k.storeIndex(k.loadIndex(next, zero), offsets, numExperts);
}

LogicalResult moe::codegen::cpu::emitBatchedPlan(BatchedPlanOp op,
                                                 const Emission &emission) {
  int64_t ranks = op.getRanks(), capacity = op.getCapacity();
  SmallVector<Value> writes{op.getOffsets(), op.getSourceRows(),
                            op.getPairRows()};
  func::FuncOp kernel = getOrEmitKernel(
      emission, "batched_plan", op.getCounts(), writes,
      describeParameters(ranks, capacity),
      [&](KernelBuilder &k, Value, ValueRange reads, ValueRange writes) {
        emitPlanOfBatches(k, reads[0], writes, ranks, capacity);
      });
  Value grid = gridBuilder(emission).index(1);
  emitLaunches(emission,
               {{kernel, "dispatch", {op.getCounts()}, writes, grid}});
  return success();
}
