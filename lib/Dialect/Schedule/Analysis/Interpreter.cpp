//===- Interpreter.cpp - Walks a schedule path by path --------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Interpreter.h"

#include "Effects.h"

#include "mlir/Dialect/Utils/StaticValueUtils.h"
#include "mlir/Interfaces/LoopLikeInterface.h"
#include "llvm/ADT/SmallPtrSet.h"

using namespace mlir;
using namespace moe::schedule;

//===----------------------------------------------------------------------===//
// HappensBefore
//===----------------------------------------------------------------------===//

/// True if the op is, or holds, an op that issues work or records an event.
static bool issues(Operation *op) {
  return op
      ->walk([](Operation *inner) {
        return isa<RunOp, MarkOp>(inner) ? WalkResult::interrupt()
                                         : WalkResult::advance();
      })
      .wasInterrupted();
}

bool HappensBefore::issuesWork(FunctionOpInterface function) {
  return issues(function);
}

HappensBefore::HappensBefore(FunctionOpInterface function) : buffers(function) {
  Interpreter(*this, function).run();
}

bool HappensBefore::isBefore(WorkId first, WorkId second) const {
  const llvm::BitVector &before = work[second].before;
  return first < before.size() && before[first];
}

bool HappensBefore::areExclusive(WorkId first, WorkId second) const {
  unsigned a = work[first].arm, b = work[second].arm;
  while (arms[a].depth > arms[b].depth)
    a = arms[a].parent;
  while (arms[b].depth > arms[a].depth)
    b = arms[b].parent;
  // One lies on the other's path, or they part where their ancestors do.
  if (a == b)
    return false;
  while (arms[a].parent != arms[b].parent) {
    a = arms[a].parent;
    b = arms[b].parent;
  }
  return arms[a].branch == arms[b].branch;
}

SmallVector<WorkId> HappensBefore::getAccesses(BufferId buffer) const {
  bool mayBeUnknown =
      llvm::is_contained(buffers.getOverlapping(buffer), BufferTable::unknown);
  SmallVector<WorkId> found;
  for (WorkId id = 0; id < work.size(); ++id)
    if (llvm::any_of(work[id].accesses, [&](const Access &access) {
          return access.view.buffer == buffer ||
                 (mayBeUnknown && access.view.buffer == BufferTable::unknown);
        }))
      found.push_back(id);
  return found;
}

bool HappensBefore::liveApart(ArrayRef<WorkId> first,
                              ArrayRef<WorkId> second) const {
  auto allBefore = [&](ArrayRef<WorkId> early, ArrayRef<WorkId> late) {
    for (WorkId a : early)
      for (WorkId b : late)
        if (!isBefore(a, b) && !areExclusive(a, b))
          return false;
    return true;
  };
  return allBefore(first, second) || allBefore(second, first);
}

//===----------------------------------------------------------------------===//
// Traversal
//===----------------------------------------------------------------------===//

Interpreter::Interpreter(HappensBefore &result, FunctionOpInterface function)
    : result(result), function(function) {}

void Interpreter::run() {
  result.arms.push_back({0, 0, 0});
  streams = {StreamAttr(), StreamAttr::get(function.getContext())};
  if (function.isExternal())
    return;

  // Whatever the caller did with its buffers before entry counts as a write.
  addWork(Work::Kind::Entry, function, RunOp(), computeStream, {});

  if (!function.getFunctionBody().hasOneBlock()) {
    report(FindingKind::Unsupported, function, nullptr,
           "expected structured control flow in a function that issues work "
           "but got " +
               std::to_string(function.getFunctionBody().getBlocks().size()) +
               " blocks");
    finish();
    return;
  }
  Block &body = function.getFunctionBody().front();
  visit(body, RunOp());
  visitReturn(body.mightHaveTerminator() ? body.getTerminator()
                                         : function.getOperation());
  finish();
}

GrowingSet &Interpreter::doneOn(unsigned stream) {
  if (path.done.size() <= stream)
    path.done.resize(stream + 1);
  return path.done[stream];
}

unsigned Interpreter::getStream(StreamAttr stream) {
  auto *it = llvm::find(streams, stream);
  if (it == streams.end()) {
    streams.push_back(stream);
    return streams.size() - 1;
  }
  return it - streams.begin();
}

WorkId Interpreter::addWork(Work::Kind kind, Operation *op, RunOp run,
                            unsigned stream, SmallVector<Access, 4> accesses) {
  WorkId id = result.work.size();
  GrowingSet &done = doneOn(stream);
  result.work.push_back({kind, op, run, arm, std::move(accesses), done.get()});
  streamOf.push_back(stream);
  done.insert(id);
  // Entry touches the caller's buffers, globals too, once they are known.
  for (BufferId buffer = accessesOf.size(); buffer < result.buffers.size();
       ++buffer) {
    accessesOf.emplace_back();
    writesOf.emplace_back();
    if (!result.buffers[buffer].isCallers() && buffer != BufferTable::unknown)
      continue;
    Access access;
    access.view.buffer = buffer;
    access.writes = true;
    accessesOf.back().push_back({0, access});
  }

  firstOfWork = unordered.size();
  checkOrder(id);
  checkSlotsOfOneWork(id);
  checkReads(id);
  checkWrites(id);
  for (const Access &access : result.work[id].accesses)
    accessesOf[access.view.buffer].push_back({id, access});
  return id;
}

void Interpreter::visit(Block &block, RunOp run) {
  for (Operation &op : block)
    visit(&op, run);
}

void Interpreter::visit(Operation *op, RunOp run) {
  if (auto inner = dyn_cast<RunOp>(op))
    return visitRun(inner);
  if (auto mark = dyn_cast<MarkOp>(op)) {
    events[mark.getEvent()] = doneOn(getStream(mark.getStream()));
    return;
  }
  if (auto branch = dyn_cast<scf::IfOp>(op))
    return visitBranch(op, branch.getCondition(), run);
  if (auto branch = dyn_cast<scf::IndexSwitchOp>(op))
    return visitBranch(op, branch.getArg(), run);
  if (isa<LoopLikeOpInterface>(op))
    return visitLoop(op, run);
  if (auto call = dyn_cast<CallOpInterface>(op))
    checkCallee(call);

  visitEffects(op, run);
  if (op->getNumRegions() == 0)
    return;
  bool straight =
      isa<scf::ExecuteRegionOp>(op) && op->getRegion(0).hasOneBlock();
  bool hasRuns = issues(op);
  if (hasRuns && !straight)
    report(FindingKind::Unsupported, op, nullptr,
           "expected runs to lie in straight-line code, 'scf.if', "
           "'scf.index_switch' or 'scf.for' but got some in '" +
               op->getName().getStringRef().str() + "'");
  if (hasRuns || hasEffectsOfRegions(op))
    for (Region &region : op->getRegions())
      for (Block &block : region)
        visit(block, run);
}

/// True if the function, or one that it calls, issues work.
static bool calleeIssues(CallOpInterface call,
                         llvm::SmallPtrSetImpl<Operation *> &seen) {
  Operation *callee = call.resolveCallable();
  if (!callee || !seen.insert(callee).second)
    return false;
  return issues(callee) || callee
                               ->walk([&](CallOpInterface inner) {
                                 return calleeIssues(inner, seen)
                                            ? WalkResult::interrupt()
                                            : WalkResult::advance();
                               })
                               .wasInterrupted();
}

void Interpreter::checkCallee(CallOpInterface call) {
  llvm::SmallPtrSet<Operation *, 4> seen;
  if (calleeIssues(call, seen))
    report(FindingKind::Unsupported, call, call.resolveCallable(),
           "expected a call that returns when its work is done but got one "
           "that issues work to streams: inline it",
           "it calls this");
}

void Interpreter::visitRun(RunOp run) {
  unsigned stream = getStream(run.getStream());
  // The host issues in order, so what it did is done.
  GrowingSet host = doneOn(hostStream);
  doneOn(stream).unite(host);
  for (Value event : run.getAfter()) {
    auto it = events.find(event);
    if (it != events.end()) {
      doneOn(stream).unite(it->second);
      continue;
    }
    report(FindingKind::EventEscapes, run, event.getDefiningOp(),
           "expected to wait for events of 'schedule.run' or 'schedule.mark' "
           "but got one that crosses control flow",
           event.getDefiningOp() ? "it comes from here" : "");
  }
  visit(run.getBody().front(), run);
  if (run.getDone())
    events[run.getDone()] = doneOn(stream);
}

void Interpreter::join(MutableArrayRef<Path> paths,
                       ArrayRef<std::pair<WorkId, WorkId>> ranges) {
  // What one path did is complete after the join if it is complete at the end
  // of that path: the other paths have nothing to say about it.
  for (unsigned i = 0; i < paths.size(); ++i) {
    paths[i].done.resize(streams.size());
    for (unsigned j = 0; j < paths.size(); ++j)
      if (i != j)
        for (GrowingSet &done : paths[i].done)
          done.insertRange(ranges[j].first, ranges[j].second);
  }
  path = std::move(paths.front());
  for (Path &other : paths.drop_front()) {
    for (auto [mine, theirs] : llvm::zip(path.done, other.done))
      mine.intersect(theirs);
    path.written.intersect(other.written);
    path.reaching.unite(other.reaching);
  }
}

void Interpreter::visitBranch(Operation *op, Value condition, RunOp run) {
  Path before = path;
  unsigned outerArm = arm, branch = ++numBranches;
  SmallVector<Collective, 2> outer = std::move(collectives);
  SmallVector<Path, 2> paths;
  SmallVector<std::pair<WorkId, WorkId>, 2> ranges;
  SmallVector<SmallVector<Collective, 2>, 2> sequences;
  // A missing 'else' is an arm that does nothing.
  for (Region &region : op->getRegions()) {
    path = before;
    collectives.clear();
    WorkId first = result.work.size();
    arm = result.arms.size();
    result.arms.push_back({outerArm, result.arms[outerArm].depth + 1, branch});
    for (Block &block : region)
      visit(block, run);
    paths.push_back(std::move(path));
    ranges.emplace_back(first, result.work.size());
    sequences.push_back(std::move(collectives));
  }
  arm = outerArm;
  collectives = std::move(outer);
  join(paths, ranges);
  compareArms(op, condition, sequences);
}

/// True if the loop runs at least once, whatever the values in it.
static bool runsOnce(Operation *op) {
  auto loop = dyn_cast<scf::ForOp>(op);
  if (!loop)
    return false;
  std::optional<int64_t> lower = getConstantIntValue(loop.getLowerBound());
  std::optional<int64_t> upper = getConstantIntValue(loop.getUpperBound());
  if (!lower || !upper)
    return false;
  return loop.getUnsignedCmp() ? uint64_t(*lower) < uint64_t(*upper)
                               : *lower < *upper;
}

void Interpreter::visitLoop(Operation *op, RunOp run) {
  bool hasRuns = issues(op);
  if (hasRuns && !isa<scf::ForOp>(op))
    report(FindingKind::Unsupported, op, nullptr,
           "expected runs to lie in straight-line code, 'scf.if', "
           "'scf.index_switch' or 'scf.for' but got some in '" +
               op->getName().getStringRef().str() + "'");

  size_t firstCollective = collectives.size();
  WorkId first = result.work.size();
  Path before = path;
  auto visitBody = [&] {
    visitEffects(op, run);
    for (Region &region : op->getRegions())
      for (Block &block : region)
        visit(block, run);
  };
  visitBody();
  if (hasRuns) {
    bool outerRecord = recordCollectives;
    recordCollectives = false;
    visitBody();
    recordCollectives = outerRecord;
  }
  checkUniformLoop(op, firstCollective);

  if (runsOnce(op))
    return;
  // A loop may run not at all, and then orders nothing and writes nothing.
  WorkId end = result.work.size();
  SmallVector<Path, 2> paths = {std::move(before), std::move(path)};
  join(paths, {{end, end}, {first, end}});
}

void Interpreter::visitEffects(Operation *op, RunOp run) {
  auto collective = dyn_cast<CollectiveOpInterface>(op);
  bool exchanges = collective && !collective.getCommunicatorName().empty();
  SmallVector<Access, 4> accesses = getAccesses(op, result.buffers);
  if (accesses.empty() && !exchanges)
    return;
  unsigned stream = run ? getStream(run.getStream()) : hostStream;
  WorkId id = addWork(run ? Work::Kind::Issued : Work::Kind::Host, op, run,
                      stream, std::move(accesses));
  if (exchanges)
    checkCollective(id, op);
}

void Interpreter::visitReturn(Operation *op) {
  // The stack dies when the host returns, whatever still runs.
  SmallVector<Access, 4> stack;
  for (BufferId id = 0; id < result.buffers.size(); ++id) {
    if (result.buffers[id].origin != Buffer::Origin::Stack)
      continue;
    Access access;
    access.view.buffer = id;
    access.frees = true;
    stack.push_back(access);
  }
  if (!stack.empty())
    addWork(Work::Kind::Host, op, RunOp(), hostStream, stack);

  GrowingSet host = doneOn(hostStream);
  doneOn(computeStream).unite(host);
  SmallVector<Access, 4> results;
  for (Value value : op->getOperands()) {
    if (!isa<BaseMemRefType>(value.getType()))
      continue;
    for (const View &view : result.buffers.trace(value)) {
      Access access;
      access.view = view;
      access.reads = true;
      results.push_back(access);
    }
  }
  WorkId exit = addWork(Work::Kind::Exit, op, RunOp(), computeStream, results);
  checkJoins(exit);
  checkOutputs(exit);
}
