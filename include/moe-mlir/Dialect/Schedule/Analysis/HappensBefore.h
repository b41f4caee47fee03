//===- HappensBefore.h - Which work is ordered, and what races --*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The proof that a schedule is free of races. It knows streams, events, memory
// effects and communicators, nothing of what the work computes, and shares no
// code with the passes that place events.
//
// **Order.** A piece of *work* is an op with memory effects (or a collective)
// inside a `schedule.run`. Work A happens before work B if that follows from:
//
// 1. program order on one stream;
// 2. events: B's run, or an earlier run of its stream, waits for an event
//    whose stream had A before it;
// 3. the boundary contract: *entry* (whatever the caller did with its buffers)
//    is work on the compute stream before all else, and *exit* is work on the
//    compute stream after all else;
// 4. the host issues in program order: what host code does between runs
//    happens before what it issues later. It never waits, so nothing issued
//    happens before host code: host code may prepare buffers for a run but may
//    not touch what a run, or the caller's stream, has touched before.
//
// The function body is interpreted structurally, with one set of completed
// work per stream. `scf.if` and `scf.index_switch` interpret their arms from
// copies and keep what holds in each. Work of different arms never meets. The
// body of a `scf.for` is interpreted twice: sets only grow, so two iterations
// that are any number apart are ordered if neighbours are. Runs inside other
// region ops, and events that cross control flow, are rejected.
//
// **Findings.** With order and buffers (Buffers.h) the analysis reports
// everything that FindingKind lists. Where all conflicting work is ordered,
// execution equals program order, and so the findings about unwritten and
// unread buffers follow program order path by path. Loops are assumed to run
// at least once there: an empty loop fills an empty buffer.
//
// A finding is left out where the event that repairs another one repairs it
// too. Cost: work x work bits; 1,000 runs take milliseconds.
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_DIALECT_SCHEDULE_ANALYSIS_HAPPENSBEFORE_H
#define MOE_MLIR_DIALECT_SCHEDULE_ANALYSIS_HAPPENSBEFORE_H

#include "moe-mlir/Dialect/Schedule/Analysis/Buffers.h"

#include "llvm/ADT/BitVector.h"

namespace moe::schedule {

/// An index into HappensBefore::getWork().
using WorkId = unsigned;

/// One op's use of one buffer.
struct Access {
  View view;
  bool reads = false;
  bool writes = false;
  /// True if the op writes every element of what its operand covers.
  bool writesAll = false;
  bool frees = false;

  bool conflictsWith(const Access &other) const {
    return writes || frees || other.writes || other.frees;
  }
};

/// A piece of work that has a place in the order.
struct Work {
  enum class Kind { Entry, Issued, Host, Exit };
  Kind kind;
  /// The op with effects; the function for Entry, its terminator for Exit.
  mlir::Operation *op;
  /// The run that issues it; null unless Issued.
  RunOp run;
  /// The path it lies on (see HappensBefore::areExclusive).
  unsigned arm;
  llvm::SmallVector<Access, 4> accesses;
  /// All work that happens before it.
  llvm::BitVector before;
};

enum class FindingKind {
  Race,                 ///< A conflicting pair that nothing orders.
  ForkMissing,          ///< Work not ordered after entry.
  JoinMissing,          ///< Work not ordered before exit.
  UnwrittenRead,        ///< A read that no write comes before, on some path.
  ClobberedRead,        ///< A read of a slot whose bytes another slot took.
  OverwrittenUnread,    ///< A write that is overwritten and never read.
  OutputUnwritten,      ///< An output that some path does not write.
  InputWritten,         ///< A write to a buffer that is read only.
  CollectivesUnordered, ///< Two collectives of a communicator, not ordered.
  CollectivesDiffer,    ///< Paths that issue different collectives.
  EventEscapes,         ///< An event that crosses control flow.
  Unsupported           ///< Control flow that the analysis does not follow.
};

/// "race", "fork-missing" and so on.
llvm::StringRef stringifyFindingKind(FindingKind kind);

struct Finding {
  FindingKind kind;
  /// The later op of the two, where the error is reported.
  mlir::Operation *op;
  /// The other op; null if there is none.
  mlir::Operation *other;
  /// The buffer as `op` sees it; null if there is none or its origin is
  /// unknown.
  mlir::Value buffer;
  /// The buffer as `other` sees it: another slot where two slots overlap.
  mlir::Value otherBuffer;
  std::string message;
  /// What to say at `other`; empty if there is none.
  std::string note;

  /// Reports an error at `op` with a note at `other`.
  void emit() const;
};

/// The order of all work in one function, and what is wrong with it.
class HappensBefore {
public:
  explicit HappensBefore(mlir::FunctionOpInterface function);

  /// True if the function issues work, so that there is something to prove.
  static bool issuesWork(mlir::FunctionOpInterface function);

  llvm::ArrayRef<Finding> getFindings() const { return findings; }

  /// All work in program order; the first is entry. Work in loops is there
  /// twice.
  llvm::ArrayRef<Work> getWork() const { return work; }
  bool isBefore(WorkId first, WorkId second) const;
  /// True if the two lie in different arms of one branch.
  bool areExclusive(WorkId first, WorkId second) const;

  /// The buffers that the function's work accesses.
  BufferTable &getBuffers() { return buffers; }
  /// All work that may access the buffer, memory of unknown origin included.
  llvm::SmallVector<WorkId> getAccesses(BufferId buffer) const;
  /// True if on every path all accesses of one buffer happen before all
  /// accesses of the other, so that they may share bytes.
  bool liveApart(llvm::ArrayRef<WorkId> first,
                 llvm::ArrayRef<WorkId> second) const;

private:
  friend class Interpreter;

  /// One arm of one execution of a branch; arm 0 is the function's body.
  struct Arm {
    unsigned parent;
    unsigned depth;
    unsigned branch;
  };

  BufferTable buffers;
  std::vector<Work> work;
  std::vector<Arm> arms;
  std::vector<Finding> findings;
};

} // namespace moe::schedule

#endif // MOE_MLIR_DIALECT_SCHEDULE_ANALYSIS_HAPPENSBEFORE_H
