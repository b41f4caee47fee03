//===- DispatchPlan.cpp - Sorting pairs of token and expert ---------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Emitters.h"
#include "KernelBuilder.h"

#include "mlir/Dialect/SCF/IR/SCF.h"

using namespace mlir;
using namespace moe;
using namespace moe::codegen;
using namespace moe::codegen::cpu;

using Predicate = arith::CmpIPredicate;

namespace {
/// The ids, and what they mean.
struct Pairs {
  Value ids;        ///< [T, k]
  Value expertMap;  ///< [N], or null: ids are of experts here.
  Value numExperts; ///< That are here.
};
} // namespace

/// The expert here of pair (t, j); not below `numExperts` if there is none.
static Value loadExpert(KernelBuilder &k, const Pairs &pairs, Value t,
                        Value j) {
  // Negative ids are large when read as unsigned.
  Value id = k.loadIndex(pairs.ids, {t, j});
  if (!pairs.expertMap)
    return id;
  Value isKnown = k.compare(Predicate::ult, id, k.dim(pairs.expertMap, 0));
  auto mapped = scf::IfOp::create(
      k, isKnown,
      [&](OpBuilder &b, Location loc) {
        KernelBuilder inner(loc, b, k.getTarget());
        Value expert = inner.loadIndex(pairs.expertMap, id);
        scf::YieldOp::create(b, loc, expert);
      },
      [&](OpBuilder &b, Location loc) {
        scf::YieldOp::create(b, loc, pairs.numExperts);
      });
  return mapped.getResult(0);
}

/// Calls `body(t, j, expert)` for the pairs that have an expert here, in the
/// order of tokens and then slots, and `skip(t, j)` for the others.
static void forEachPair(KernelBuilder &k, const Pairs &pairs,
                        function_ref<void(Value, Value, Value)> body,
                        function_ref<void(Value, Value)> skip) {
  Value numTokens = k.dim(pairs.ids, 0), numSlots = k.dim(pairs.ids, 1);
  k.forEach(k.index(0), numTokens, 1, [&](Value t) {
    k.forEach(k.index(0), numSlots, 1, [&](Value j) {
      Value expert = loadExpert(k, pairs, t, j);
      k.ifThen(k.compare(Predicate::ult, expert, pairs.numExperts),
               [&] { body(t, j, expert); });
      if (skip)
        k.ifThen(k.compare(Predicate::uge, expert, pairs.numExperts),
                 [&] { skip(t, j); });
    });
  });
}

/// A counting sort in one block: two passes over the pairs, a few nanoseconds
/// for each. `offsets` serves as counters and cursors on the way:
///   1. offsets[e + 1] = pairs of expert e
///   2. offsets[e] = first row of expert e (running sum)
///   3. each pair of e takes row offsets[e]++, so that offsets[e] becomes the
///      first row of expert e + 1
///   4. shift by one place
static void emitSort(KernelBuilder &k, Value ids, Value expertMap,
                     Value offsets, Value sources, Value pairRows) {
  Value zero = k.index(0), one = k.index(1);
  Value numOffsets = k.dim(offsets, 0);
  Value numExperts = k.sub(numOffsets, one);
  Pairs pairs{ids, expertMap, numExperts};
  k.forEach(zero, numOffsets, 1,
            [&](Value e) { k.storeIndex(zero, offsets, e); });
  forEachPair(
      k, pairs,
      [&](Value, Value, Value id) {
        Value next = k.add(id, one);
        k.storeIndex(k.add(k.loadIndex(offsets, next), one), offsets, next);
      },
      nullptr);
  k.forEach(one, numOffsets, 1, [&](Value e) {
    Value before = k.loadIndex(offsets, k.sub(e, one));
    k.storeIndex(k.add(k.loadIndex(offsets, e), before), offsets, e);
  });
  Value none = k.index(-1);
  Value numValid = k.loadIndex(offsets, numExperts);
  forEachPair(
      k, pairs,
      [&](Value t, Value j, Value id) {
        Value row = k.loadIndex(offsets, id);
        k.storeIndex(k.add(row, one), offsets, id);
        k.storeIndex(t, sources, row);
        k.storeIndex(row, pairRows, {t, j});
      },
      [&](Value t, Value j) { k.storeIndex(none, pairRows, {t, j}); });
  k.forEach(zero, numExperts, 1, [&](Value i) {
    // Downwards, since each place takes its lower neighbour's value.
    Value e = k.sub(numExperts, i);
    k.storeIndex(k.loadIndex(offsets, k.sub(e, one)), offsets, e);
  });
  k.storeIndex(zero, offsets, zero);
  k.forEach(numValid, k.dim(sources, 0), 1,
            [&](Value row) { k.storeIndex(none, sources, row); });
}

LogicalResult moe::codegen::cpu::emitDispatchPlan(DispatchPlanOp op,
                                                  const Emission &emission) {
  SmallVector<Value> reads{op.getIds()};
  if (op.getMap())
    reads.push_back(op.getMap());
  SmallVector<Value> writes{op.getOffsets(), op.getSourceRows(),
                            op.getPairRows()};
  func::FuncOp kernel = getOrEmitKernel(
      emission, "dispatch_plan", reads, writes, "",
      [](KernelBuilder &k, Value, ValueRange reads, ValueRange writes) {
        emitSort(k, reads[0], reads.size() > 1 ? reads[1] : Value(), writes[0],
                 writes[1], writes[2]);
      });
  // Without tokens, too: the offsets say that there are no rows.
  Value grid = gridBuilder(emission).index(1);
  emitLaunches(emission, {{kernel, "dispatch", reads, writes, grid}});
  return success();
}
