//===- ExpertLoad.cpp - How often each expert was chosen ------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A block counts some of the experts, in shared memory, and looks at all
// choices for that. So one launch does without memory that was cleared before,
// and ids are few enough to be read again from the L2 cache.
//
//===----------------------------------------------------------------------===//

#include "Emitters.h"
#include "Launch.h"

using namespace mlir;
using namespace moe;
using namespace moe::codegen;
using namespace moe::codegen::cuda;

static constexpr int64_t kThreads = 512;
/// Experts that a block counts.
static constexpr int64_t kBlockExperts = 32;
/// Choices whose loads a lane has under way together.
static constexpr int64_t kLaneChoices = 4;

/// Counts the choices of the block's experts, the first of which is `first`.
static void emitCount(KernelBuilder &k, const Buffer &ids, const Array &counts,
                      Expr first) {
  Expr numChoices = k.dim(ids, 0) * k.dim(ids, 1);
  Expr step = k.i32(kThreads * kLaneChoices), none = k.i32(kBlockExperts);
  // The same number of rounds for all lanes, which look at each other's.
  k.forEach(k.i32(0), numChoices, step, [&](Expr begin) {
    Exprs experts;
    for (int64_t i = 0; i < kLaneChoices; ++i) {
      Expr choice = begin + k.thread() + i * kThreads;
      Expr isThere = choice < numChoices;
      // Negative ids and those of other blocks are large when read as unsigned.
      Expr expert =
          k.load(ids, {k.i32(0), k.select(isThere, choice, k.i32(0))}) - first;
      experts.push_back(k.select(isThere & below(expert, none), expert, none));
    }
    for (Expr expert : experts) {
      // One lane adds for all that have its expert.
      Expr peers = k.matchLanes(expert);
      Expr isFirst = k.countBits(peers & k.lanesBefore()) == 0;
      k.ifThen(isFirst & (expert < none),
               [&] { k.atomicAdd(k.countBits(peers), counts, {expert}); });
    }
  });
}

LogicalResult moe::codegen::cuda::emitExpertLoad(ExpertLoadOp op,
                                                 const Emission &emission) {
  Launch launch(emission, "expert_load", "expert load");
  Buffer ids = launch.read(op.getIds());
  Buffer load = launch.write(op.getInit());
  launch.setThreads(kThreads);
  ExprBuilder grid = gridBuilder(emission);
  Expr blocks = ceilDiv(dimOf(grid, op.getInit(), 0), kBlockExperts);
  launch.emit(blocks, [&](KernelBuilder &k) {
    Array counts = k.shared("counts", {kBlockExperts}, k.getI32Type());
    Expr first = k.block() * kBlockExperts;
    Expr expert = k.thread();
    k.startDependents();
    k.ifThen(expert < kBlockExperts,
             [&] { k.store(k.i32(0), counts, {expert}); });
    k.barrier();
    k.awaitPrevious();
    emitCount(k, ids, counts, first);
    k.barrier();
    k.ifThen((expert < kBlockExperts) & (first + expert < k.dim(load, 0)), [&] {
      k.store(k.load(counts, {expert}), load, {first + expert});
    });
  });
  return success();
}
