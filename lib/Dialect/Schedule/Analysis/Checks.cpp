//===- Checks.cpp - What is wrong with an order of work -------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Interpreter.h"
#include "moe-mlir/Dialect/Schedule/Analysis/Uniform.h"

#include "mlir/Dialect/Utils/StaticValueUtils.h"
#include "llvm/Support/raw_ostream.h"

using namespace mlir;
using namespace moe::schedule;

//===----------------------------------------------------------------------===//
// Order
//===----------------------------------------------------------------------===//

void Interpreter::checkOrder(WorkId id) {
  for (const Access &access : result.work[id].accesses) {
    checkOrder(id, access, access.view.buffer);
    for (BufferId other : result.buffers.getOverlapping(access.view.buffer))
      checkOrder(id, access, other);
  }
}

void Interpreter::checkOrder(WorkId id, const Access &access, BufferId buffer) {
  for (const PastAccess &past : llvm::reverse(accessesOf[buffer])) {
    if (!access.conflictsWith(past.access) || result.isBefore(past.work, id) ||
        result.areExclusive(past.work, id))
      continue;
    // What the caller did before entry it did not do to memory that is new.
    if (past.work == 0 && past.access.view.buffer == BufferTable::unknown &&
        access.view.buffer != BufferTable::unknown)
      continue;
    if (access.view.buffer == buffer &&
        access.view.isDisjointFrom(past.access.view))
      continue;
    addUnordered({past.work, id, FindingKind::Race, past.access, access});
  }
}

/// Keeps the last of the pairs that one event would order.
void Interpreter::addUnordered(Unordered pair) {
  for (Unordered &known :
       llvm::MutableArrayRef(unordered).drop_front(firstOfWork)) {
    if (streamOf[known.before] != streamOf[pair.before] ||
        result.work[known.before].arm != result.work[pair.before].arm)
      continue;
    if (known.before < pair.before)
      known = std::move(pair);
    return;
  }
  unordered.push_back(std::move(pair));
}

void Interpreter::checkJoins(WorkId exit) {
  for (WorkId id = 0; id < exit; ++id)
    if (result.work[id].kind == Work::Kind::Issued &&
        !result.isBefore(id, exit))
      addUnordered({id, exit, FindingKind::JoinMissing, Access(), Access()});
}

void Interpreter::checkSlotsOfOneWork(WorkId id) {
  const Work &work = result.work[id];
  for (auto [i, first] : llvm::enumerate(work.accesses)) {
    for (const Access &second : llvm::drop_begin(work.accesses, i + 1)) {
      BufferId a = first.view.buffer, b = second.view.buffer;
      if (result.buffers[a].origin != Buffer::Origin::Slot ||
          result.buffers[b].origin != Buffer::Origin::Slot ||
          !first.conflictsWith(second) ||
          !llvm::is_contained(result.buffers.getOverlapping(a), b))
        continue;
      report(FindingKind::Race, work.op, nullptr,
             describe(id) + " uses " + describeBuffer(a) + " and " +
                 describeBuffer(b) +
                 " at once, writes at least one, and they share bytes",
             "", getRoot(a));
    }
  }
}

//===----------------------------------------------------------------------===//
// Contents: these follow program order, path by path
//===----------------------------------------------------------------------===//

void Interpreter::markRead(BufferId buffer) {
  for (unsigned write : writesOf[buffer])
    if (path.reaching.contains(write))
      writes[write].isRead = true;
}

void Interpreter::checkReads(WorkId id) {
  const Work &work = result.work[id];
  for (const Access &access : work.accesses) {
    if (!access.reads)
      continue;
    BufferId buffer = access.view.buffer;
    markRead(buffer);
    for (BufferId other : result.buffers.getOverlapping(buffer))
      markRead(other);
    if (!result.buffers[buffer].startsUnwritten() ||
        path.written.contains(buffer))
      continue;
    // Once is enough.
    path.written.insert(buffer);
    auto clobber = clobberedBy.find(buffer);
    if (clobber != clobberedBy.end() && !writesOf[buffer].empty()) {
      Operation *by = result.work[clobber->second].op;
      report(FindingKind::ClobberedRead, work.op, by,
             describe(id) + " reads " + describeBuffer(buffer) +
                 ", whose bytes were overwritten through another slot",
             describe(clobber->second) + " overwrites them here",
             getRoot(buffer));
      continue;
    }
    report(FindingKind::UnwrittenRead, work.op, nullptr,
           describe(id) + " reads " + describeBuffer(buffer) +
               (writesOf[buffer].empty()
                    ? ", which nothing has written"
                    : ", which some path here has not written"),
           "", getRoot(buffer));
  }
}

void Interpreter::checkWrites(WorkId id) {
  const Work &work = result.work[id];
  for (const Access &access : work.accesses) {
    if (!access.writes)
      continue;
    BufferId buffer = access.view.buffer;
    const Buffer &info = result.buffers[buffer];
    if (info.isReadOnly()) {
      std::string what =
          info.origin == Buffer::Origin::Constant
              ? ", which is constant"
              : ", an input: mark it 'schedule.inout' or 'bufferize.result' if "
                "the caller expects that";
      report(FindingKind::InputWritten, work.op, nullptr,
             describe(id) + " writes " + describeBuffer(buffer) + what, "",
             getRoot(buffer));
    }
    for (BufferId other : result.buffers.getOverlapping(buffer)) {
      if (result.buffers[other].origin != Buffer::Origin::Slot ||
          buffer == BufferTable::unknown)
        continue;
      path.written.erase(other);
      clobberedBy[other] = id;
    }

    auto [it, isNew] =
        writeIds.try_emplace({work.op, buffer}, unsigned(writes.size()));
    unsigned write = it->second;
    if (isNew) {
      writes.push_back({work.op, buffer, false, std::nullopt});
      writesOf[buffer].push_back(write);
    }
    if (access.writesAll && access.view.whole && access.view.certain)
      for (unsigned earlier : writesOf[buffer]) {
        if (!path.reaching.contains(earlier))
          continue;
        path.reaching.erase(earlier);
        if (writes[earlier].op != work.op && !writes[earlier].overwrittenBy)
          writes[earlier].overwrittenBy = id;
      }
    path.reaching.insert(write);
    if (access.view.certain)
      path.written.insert(buffer);
  }
}

void Interpreter::checkOutputs(WorkId exit) {
  for (BufferId id = 0; id < result.buffers.size(); ++id) {
    const Buffer &buffer = result.buffers[id];
    if (buffer.isCallers())
      markRead(id);
    if (buffer.origin == Buffer::Origin::Output && !path.written.contains(id))
      report(FindingKind::OutputUnwritten, result.work[exit].op, nullptr,
             describeBuffer(id) + " is an output but " +
                 (writesOf[id].empty() ? "nothing writes it"
                                       : "some path does not write it"),
             "", getRoot(id));
  }
}

//===----------------------------------------------------------------------===//
// Collectives
//===----------------------------------------------------------------------===//

static std::string describe(const Collective &collective) {
  if (collective.communicator.empty())
    return collective.name;
  return "'" + collective.name + "' on '" + collective.communicator + "'";
}

void Interpreter::checkCollective(WorkId id, Operation *op) {
  auto interface = cast<CollectiveOpInterface>(op);
  std::string communicator = interface.getCommunicatorName();
  for (auto &[name, earlier] : collectiveWork)
    if (name == communicator && !result.isBefore(earlier, id) &&
        !result.areExclusive(earlier, id))
      addUnordered(
          {earlier, id, FindingKind::CollectivesUnordered, Access(), Access()});
  collectiveWork.emplace_back(communicator, id);
  if (recordCollectives)
    collectives.push_back(
        {communicator, interface.getCollectiveName(), Value(), op});
}

void Interpreter::reportRankDependence(Operation *op, StringRef what,
                                       Value cause) {
  Operation *source = cause.getDefiningOp();
  std::string made =
      source ? "'" + source->getName().getStringRef().str() + "'"
             : "argument #" +
                   std::to_string(cast<BlockArgument>(cause).getArgNumber()) +
                   ", which is not marked 'schedule.uniform'";
  report(FindingKind::CollectivesDiffer, op, source,
         "expected " + what +
             " that all ranks share, as 'schedule.uniform' says, but got one "
             "that is made of " +
             made,
         source ? "ranks may differ in this" : "");
}

void Interpreter::compareArms(Operation *op, Value condition,
                              ArrayRef<SmallVector<Collective, 2>> arms) {
  bool isUniform = op->hasAttr("schedule.uniform");
  if (isUniform && llvm::any_of(arms, [](auto &arm) { return !arm.empty(); }))
    if (Value cause = findRankDependence(condition))
      reportRankDependence(op, "a condition", cause);
  const SmallVector<Collective, 2> &first = arms.front();
  for (const SmallVector<Collective, 2> &other : arms.drop_front()) {
    size_t i = 0, shorter = std::min(first.size(), other.size());
    while (i < shorter && first[i].matches(other[i]))
      ++i;
    if (i == first.size() && i == other.size())
      continue;
    if (isUniform) {
      // All ranks take one arm, and so the branch is one step of them all.
      std::string name = "one of";
      for (const SmallVector<Collective, 2> &arm : arms) {
        name += " [";
        for (const Collective &collective : arm)
          name += " " + ::describe(collective);
        name += " ]";
      }
      collectives.push_back({"", name, condition, op});
      return;
    }
    auto at = [&](const SmallVector<Collective, 2> &arm) {
      return i < arm.size() ? ::describe(arm[i]) : std::string("none");
    };
    const Collective &difference = i < first.size() ? first[i] : other[i];
    report(FindingKind::CollectivesDiffer, op, difference.op,
           "expected all arms to issue the same collectives, or a condition "
           "that is 'schedule.uniform' over all ranks, but collective #" +
               Twine(i) + " is " + at(first) + " in the first arm and " +
               at(other) + " in another",
           "the first difference is here");
    break;
  }
  llvm::append_range(collectives, first);
}

void Interpreter::checkUniformLoop(Operation *op, size_t firstCollective) {
  if (collectives.size() == firstCollective)
    return;
  std::string name = "a loop of";
  Value count;
  bool isConstant = false;
  if (auto loop = dyn_cast<scf::ForOp>(op)) {
    count = loop.getUpperBound();
    isConstant = true;
    for (Value bound :
         {loop.getLowerBound(), loop.getUpperBound(), loop.getStep()}) {
      std::optional<int64_t> value = getConstantIntValue(bound);
      isConstant &= value.has_value();
      name += " " + (value ? std::to_string(*value) : std::string("?"));
    }
    if (isConstant)
      count = Value();
  }
  if (auto loop = dyn_cast<scf::ForOp>(op);
      loop && op->hasAttr("schedule.uniform")) {
    for (Value bound :
         {loop.getLowerBound(), loop.getUpperBound(), loop.getStep()})
      if (Value cause = findRankDependence(bound)) {
        reportRankDependence(op, "a bound", cause);
        break;
      }
  } else if (!isConstant)
    report(FindingKind::CollectivesDiffer, op, collectives[firstCollective].op,
           "expected a loop around collectives to have constant bounds, or to "
           "be 'schedule.uniform' over all ranks",
           "the loop issues " + ::describe(collectives[firstCollective]));
  // Arms that repeat the same collectives differently often do not match.
  collectives.insert(collectives.begin() + firstCollective,
                     {"", name, count, op});
  collectives.push_back({"", "end of a loop", Value(), op});
}

//===----------------------------------------------------------------------===//
// Results
//===----------------------------------------------------------------------===//

void Interpreter::finish() {
  // A pair that the repair of an earlier one orders as well is no news.
  llvm::stable_sort(unordered, [](const Unordered &a, const Unordered &b) {
    return std::tie(a.after, b.before) < std::tie(b.after, a.before);
  });
  SmallVector<const Unordered *> kept;
  for (const Unordered &pair : unordered) {
    if (llvm::any_of(kept, [&](const Unordered *known) {
          return precedes(pair.before, known->before) &&
                 precedes(known->after, pair.after);
        }))
      continue;
    kept.push_back(&pair);
    reportUnordered(pair);
  }

  for (const Write &write : writes) {
    if (write.isRead || !write.overwrittenBy)
      continue;
    const Work &by = result.work[*write.overwrittenBy];
    report(*write.overwrittenBy,
           {FindingKind::OverwrittenUnread, by.op, write.op,
            getRoot(write.buffer), getRoot(write.buffer),
            describe(*write.overwrittenBy) + " overwrites " +
                describeBuffer(write.buffer) +
                ", and nothing has read what was there",
            "it was written here"});
  }

  llvm::stable_sort(
      findings, [](const auto &a, const auto &b) { return a.first < b.first; });
  for (auto &[position, finding] : findings)
    result.findings.push_back(std::move(finding));
}
