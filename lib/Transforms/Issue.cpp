//===- Issue.cpp - Issuing work to streams --------------------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Issue.h"

#include "mlir/Interfaces/ViewLikeInterface.h"
#include "llvm/ADT/MapVector.h"

using namespace mlir;
using namespace moe;
using namespace moe::schedule;

namespace {
/// What an op does to memory, by the buffer that a chain of views starts from.
struct Accesses {
  llvm::SmallPtrSet<Value, 4> reads, writes;

  explicit Accesses(Operation *op) {
    op->walk([&](MemoryEffectOpInterface interface) {
      SmallVector<MemoryEffects::EffectInstance> effects;
      interface.getEffects(effects);
      for (MemoryEffects::EffectInstance &effect : effects) {
        Value buffer = effect.getValue();
        if (!buffer)
          continue;
        while (auto view = buffer.getDefiningOp<ViewLikeOpInterface>())
          buffer = view.getViewSource();
        if (isa<MemoryEffects::Write>(effect.getEffect()))
          writes.insert(buffer);
        else if (isa<MemoryEffects::Read>(effect.getEffect()))
          reads.insert(buffer);
      }
    });
  }

  bool conflictsWith(const Accesses &other) const {
    auto meets = [](const auto &some, const auto &others) {
      return llvm::any_of(some, [&](Value v) { return others.contains(v); });
    };
    return meets(writes, other.reads) || meets(writes, other.writes) ||
           meets(reads, other.writes);
  }
};

/// Work that has been issued, and what is known to precede it: for each
/// stream, the number of pieces of work that are complete before it starts.
struct Issued {
  RunOp run;
  Accesses accesses;
  StreamAttr stream;
  unsigned position; // in its stream, from 1
  llvm::SmallMapVector<StreamAttr, unsigned, 4> known;
};
} // namespace

/// The event after `run`'s work, added to the run if it has none yet.
static Value getEvent(OpBuilder &builder, RunOp &run) {
  if (Value done = run.getDone())
    return done;
  OpBuilder::InsertionGuard guard(builder);
  builder.setInsertionPoint(run);
  auto withEvent =
      RunOp::create(builder, run.getLoc(), EventType::get(builder.getContext()),
                    run.getStreamAttr(), run.getAfter(), run.getLabelAttr());
  withEvent.getBody().takeBody(run.getBody());
  run.erase();
  run = withEvent;
  return run.getDone();
}

void moe::issue(OpBuilder &builder, ArrayRef<IssuedWork> work) {
  MLIRContext *context = builder.getContext();
  auto compute = StreamAttr::get(context);
  std::vector<Issued> issued;
  // How much of each stream every stream knows to be complete.
  llvm::SmallMapVector<StreamAttr,
                       llvm::SmallMapVector<StreamAttr, unsigned, 4>, 4>
      known;
  llvm::SmallMapVector<StreamAttr, unsigned, 4> count;
  Value fork;
  unsigned forkPosition = 0;

  auto learn = [](auto &mine, const auto &theirs) {
    for (auto [stream, position] : theirs)
      mine[stream] = std::max(mine[stream], position);
  };
  // Makes `stream` wait for `other`, whose event is appended to `after`.
  auto wait = [&](StreamAttr stream, Issued &other, SmallVector<Value> &after) {
    after.push_back(getEvent(builder, other.run));
    learn(known[stream], other.known);
    known[stream][other.stream] =
        std::max(known[stream][other.stream], other.position);
  };

  for (const IssuedWork &item : work) {
    Accesses accesses(item.op);
    SmallVector<Value> after;
    // From the latest on, so that one event covers all that it implies.
    for (Issued &other : llvm::reverse(issued))
      if (other.stream != item.stream &&
          known[item.stream][other.stream] < other.position &&
          accesses.conflictsWith(other.accesses))
        wait(item.stream, other, after);
    // Arguments belong to the compute stream until the stream has waited for
    // any point of it.
    if (item.stream != compute && !known[item.stream].contains(compute)) {
      if (!fork || forkPosition != count[compute]) {
        fork = MarkOp::create(builder, item.op->getLoc(),
                              EventType::get(context), compute);
        forkPosition = count[compute];
      }
      after.push_back(fork);
      known[item.stream][compute] = forkPosition;
    }
    auto run = RunOp::create(builder, item.op->getLoc(), Type(), item.stream,
                             after, builder.getStringAttr(item.label));
    Block *body = builder.createBlock(&run.getBody());
    OpBuilder::atBlockEnd(body).clone(*item.op);
    builder.setInsertionPointAfter(run);
    unsigned position = ++count[item.stream];
    known[item.stream][item.stream] = position;
    issued.push_back(Issued{run, std::move(accesses), item.stream, position,
                            known[item.stream]});
  }

  // The join: all that other streams did is complete for the compute stream.
  SmallVector<Value> after;
  for (Issued &other : llvm::reverse(issued))
    if (other.stream != compute &&
        known[compute][other.stream] < other.position)
      wait(compute, other, after);
  if (!after.empty()) {
    auto join = RunOp::create(builder, work.back().op->getLoc(), Type(),
                              compute, after, builder.getStringAttr("join"));
    builder.createBlock(&join.getBody());
    builder.setInsertionPointAfter(join);
  }
}
