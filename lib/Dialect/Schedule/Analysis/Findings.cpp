//===- Findings.cpp - What the analysis says ------------------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Interpreter.h"

#include "mlir/IR/Diagnostics.h"

using namespace mlir;
using namespace moe::schedule;

StringRef moe::schedule::stringifyFindingKind(FindingKind kind) {
  switch (kind) {
  case FindingKind::Race:
    return "race";
  case FindingKind::ForkMissing:
    return "fork-missing";
  case FindingKind::JoinMissing:
    return "join-missing";
  case FindingKind::UnwrittenRead:
    return "unwritten-read";
  case FindingKind::ClobberedRead:
    return "clobbered-read";
  case FindingKind::OverwrittenUnread:
    return "overwritten-unread";
  case FindingKind::OutputUnwritten:
    return "output-unwritten";
  case FindingKind::InputWritten:
    return "input-written";
  case FindingKind::CollectivesUnordered:
    return "collectives-unordered";
  case FindingKind::CollectivesDiffer:
    return "collectives-differ";
  case FindingKind::EventEscapes:
    return "event-escapes";
  case FindingKind::Unsupported:
    return "unsupported";
  }
  llvm_unreachable("all kinds are listed");
}

void Finding::emit() const {
  InFlightDiagnostic diagnostic = mlir::emitError(op->getLoc()) << message;
  if (other && !note.empty())
    diagnostic.attachNote(other->getLoc()) << note;
  // Allocations have no name to call them by.
  Operation *source = buffer ? buffer.getDefiningOp() : nullptr;
  if (source && !isa<SliceOp, memref::GetGlobalOp>(source))
    diagnostic.attachNote(source->getLoc()) << "the buffer is allocated here";
}

void Interpreter::report(WorkId at, Finding finding) {
  // Loops are visited twice; one report is enough.
  if (reported
          .insert({unsigned(finding.kind), finding.op, finding.other,
                   finding.buffer})
          .second)
    findings.emplace_back(at, std::move(finding));
}

std::string Interpreter::describe(WorkId id) const {
  const Work &work = result.work[id];
  switch (work.kind) {
  case Work::Kind::Entry:
    return "the caller";
  case Work::Kind::Exit:
    return "the caller";
  case Work::Kind::Host:
    return "host code";
  case Work::Kind::Issued:
    break;
  }
  RunOp run = work.run;
  std::string name;
  if (std::optional<StringRef> label = run.getLabel())
    name = ("run '" + *label + "'").str();
  else
    name = ("'" + work.op->getName().getStringRef() + "'").str();
  return name + " on " + run.getStream().getDisplayName();
}

std::string Interpreter::describeBuffer(BufferId buffer) const {
  return result.buffers[buffer].getDisplayName();
}

Value Interpreter::getRoot(BufferId buffer) const {
  return result.buffers[buffer].root;
}

/// What an access does, in the third person.
static StringRef getVerb(const Access &access) {
  if (access.frees)
    return "frees";
  if (access.writes)
    return access.reads ? "updates" : "writes";
  return "reads";
}

void Interpreter::reportUnordered(const Unordered &pair) {
  const Work &before = result.work[pair.before];
  const Work &after = result.work[pair.after];
  BufferId first = pair.first.view.buffer, second = pair.second.view.buffer;
  Finding finding{pair.kind,      after.op, before.op, getRoot(second),
                  getRoot(first), "",       ""};
  std::string stream = streams[streamOf[pair.before]]
                           ? streams[streamOf[pair.before]].getDisplayName()
                           : "the host";

  if (pair.kind == FindingKind::CollectivesUnordered) {
    finding.buffer = finding.otherBuffer = Value();
    auto collective = cast<CollectiveOpInterface>(after.op);
    finding.message = "collectives of '" + collective.getCommunicatorName() +
                      "' are not ordered: " + describe(pair.after) +
                      " may run before or after " + describe(pair.before) +
                      ", and ranks may disagree";
    finding.note = "wait for an event of '" + stream + "' after this one";
    return report(pair.after, std::move(finding));
  }

  if (after.kind == Work::Kind::Exit) {
    finding.kind = FindingKind::JoinMissing;
    finding.op = before.op;
    finding.other = after.op;
    finding.buffer = finding.otherBuffer =
        before.accesses.empty() ? Value()
                                : getRoot(before.accesses[0].view.buffer);
    finding.message = "the join is missing: " + describe(pair.before) +
                      " is not ordered before the return";
    finding.note =
        "wait on compute for an event of '" + stream + "' before this return";
    return report(pair.after, std::move(finding));
  }

  std::string here = describe(pair.after) + " " + getVerb(pair.second).str() +
                     " " + describeBuffer(second);
  std::string overlap =
      first == second ? ""
                      : ", which may share bytes with " + describeBuffer(first);
  bool isHost = after.kind == Work::Kind::Host;
  if (before.kind == Work::Kind::Entry && !isHost) {
    finding.kind = FindingKind::ForkMissing;
    finding.message = "the fork is missing: " + here + overlap +
                      " but waits for no event of the compute stream, on which "
                      "the caller last used it";
    finding.note = "mark the compute stream at entry and wait for that event";
    return report(pair.after, std::move(finding));
  }

  std::string there =
      before.kind == Work::Kind::Entry
          ? "the caller may still use"
          : describe(pair.before) + " " + getVerb(pair.first).str();
  finding.message = "races with " +
                    (before.kind == Work::Kind::Entry ? "the caller's stream"
                                                      : describe(pair.before)) +
                    ": " + here + overlap + ", which " + there + ", and ";
  if (isHost) {
    finding.message += "the host waits for no stream";
    finding.note = "the other access is here";
  } else {
    finding.message += "no event orders them";
    finding.note = "the other access is here; wait for an event of '" + stream +
                   "' after it";
  }
  report(pair.after, std::move(finding));
}
