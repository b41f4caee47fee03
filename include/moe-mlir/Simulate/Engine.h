//===- Engine.h - A machine of many GPUs in discrete events -----*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Runs what ranks issue to streams on a machine that exists on paper. Plain C++
// on plain structs; Simulate.h makes the input from a schedule.
//
// What a rank's streams cost each other is what the cost model says (its
// numbers are those of MachineModel): while one stream waits, for a launch, a
// first read or links, the others together work at `streamOverlap` of their
// speed; where none waits, they share the machine. A collective that waits for
// ranks leaves the machine to the others.
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_SIMULATE_ENGINE_H
#define MOE_MLIR_SIMULATE_ENGINE_H

#include "moe-mlir/Policy/Traffic.h"

#include <map>
#include <optional>
#include <string>
#include <vector>

namespace moe::simulate {

/// A part of a task, all in seconds and as if the rank did nothing else.
struct Part {
  enum class Kind {
    /// The machine waits: launches, first reads, events.
    Idle,
    /// The machine works.
    Busy,
    /// The rank meets the others of a group.
    Collective,
  };
  Kind kind = Kind::Idle;
  double seconds = 0;
  /// Busy: how much of its memory's and its arithmetic's ceiling it uses. The
  /// larger one is 1.
  double memoryShare = 0;
  double flopsShare = 0;
  /// Collective: the group, and what the rank does there.
  size_t group = 0;
  policy::CollectiveKind collective = policy::CollectiveKind::AllToAll;
  policy::CollectiveShare share;
};

/// What one run hands to a stream.
struct Task {
  size_t label = 0;  ///< Among the program's.
  size_t stream = 0; ///< Among the program's.
  /// Tasks of the same rank, issued before, that must have ended.
  std::vector<size_t> after;
  std::vector<Part> parts;
};

/// What all ranks issue. A stream does its tasks in the order of issue.
struct Program {
  std::vector<std::string> labels;
  std::vector<std::string> streams;
  /// Ranks that meet each other, by their numbers.
  std::vector<std::vector<int64_t>> groups;
  /// By rank, in the order of issue.
  std::vector<std::vector<Task>> tasks;
};

struct Span {
  size_t rank, stream, label;
  double begin, end;
};

/// One meeting of one group.
struct Meeting {
  size_t group = 0;
  size_t label = 0;
  policy::Collective collective;
  /// When the first and the last rank came, and when it was over.
  double firstArrival = 0, begin = 0, end = 0;
  /// Who came last.
  size_t lastRank = 0, lastTask = 0, lastPart = 0;

  double getSeconds() const { return end - begin; }
};

/// What the chain of work that no time is left in spends on a label: on a rank,
/// and on links.
struct PathTime {
  double onRank = 0;
  double onLinks = 0;
};

struct Timeline {
  /// When the last rank is done.
  double time = 0;
  /// In the order of ranks, and of issue within them.
  std::vector<Span> spans;
  std::vector<Meeting> meetings;
  /// By rank: how long at least one stream worked.
  std::vector<double> busy;
  /// By label; adds up to `time`.
  std::map<size_t, PathTime> criticalPath;

  /// The share of the ranks' time in which they did not work.
  double getIdleShare() const;
};

/// Runs the program. Nothing, and `error`, if it cannot end: ranks of one group
/// meet for different things, or wait for each other in different orders.
std::optional<Timeline> run(const Program &program,
                            const policy::ClusterModel &cluster,
                            std::string &error);

/// The timeline as a trace that Perfetto opens: a process for each rank, a
/// thread for each stream, as the runtime's traces have them.
std::string printTrace(const Program &program, const Timeline &timeline);

} // namespace moe::simulate

#endif // MOE_MLIR_SIMULATE_ENGINE_H
