//===- Engine.cpp - A machine of many GPUs in discrete events -------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moe-mlir/Simulate/Engine.h"

#include <algorithm>
#include <cmath>
#include <queue>

using namespace moe::simulate;
using namespace moe;

double Timeline::getIdleShare() const {
  double sum = 0;
  for (double seconds : busy)
    sum += seconds;
  return time > 0 ? 1 - sum / (time * double(busy.size())) : 0;
}

namespace {
constexpr size_t none = ~size_t(0);

/// How far a stream of a rank is.
struct StreamState {
  std::vector<size_t> tasks;
  size_t next = 0;
  /// The task that runs, or none.
  size_t task = none;
  size_t part = 0;
  /// Of an idle or a busy part, in seconds of its own.
  double left = 0;
  /// Seconds of its own in a second.
  double rate = 0;
};

struct PartTimes {
  double begin = 0, end = 0;
  size_t meeting = none;
};

struct TaskState {
  bool ended = false;
  double end = 0;
  /// The task of the same rank whose end let it begin.
  size_t cause = none;
  std::vector<PartTimes> parts;
};

struct RankState {
  std::vector<StreamState> streams;
  std::vector<TaskState> tasks;
  double now = 0;
  double busy = 0;
  /// Only the last event that was foreseen for a rank counts.
  size_t version = 0;
};

struct Event {
  double time;
  /// A rank, or a meeting that ends.
  size_t rank, version, meeting;

  bool operator<(const Event &other) const { return time > other.time; }
};

class Engine {
public:
  Engine(const Program &program, const policy::ClusterModel &cluster)
      : program(program), cluster(cluster), ranks(program.tasks.size()) {}

  std::optional<Timeline> run(std::string &error);

private:
  bool arrangeMeetings(std::string &error);
  void start();
  void advance(RankState &rank, double time);
  void settle(size_t number);
  bool beginTasks(RankState &rank, size_t number);
  void beginPart(RankState &rank, size_t number, StreamState &stream);
  void endPart(RankState &rank, size_t number, StreamState &stream);
  void setRates(RankState &rank, size_t number);
  void arrive(RankState &rank, size_t number, StreamState &stream);
  void endMeeting(size_t meeting);
  void findCriticalPath();
  bool findUnfinished(std::string &error) const;

  bool isRunning(const PartTimes &part) const {
    return arrived[part.meeting] ==
           timeline.meetings[part.meeting].collective.ranks.size();
  }
  const Part &getPart(size_t number, const StreamState &stream) const {
    return program.tasks[number][stream.task].parts[stream.part];
  }

  const Program &program;
  const policy::ClusterModel &cluster;
  std::vector<RankState> ranks;
  std::priority_queue<Event> events;
  std::vector<size_t> arrived; ///< By meeting: how many ranks have come.
  Timeline timeline;
};

/// Parts end when less than this is left: far below what any model means.
constexpr double epsilon = 1e-13;
} // namespace

//===----------------------------------------------------------------------===//
// Meetings
//===----------------------------------------------------------------------===//

/// The n-th collective of one rank in a group meets the n-th of the others.
bool Engine::arrangeMeetings(std::string &error) {
  // By group: the meetings, in order, and how many each member has seen.
  std::vector<std::vector<size_t>> meetings(program.groups.size());
  std::vector<std::map<int64_t, size_t>> place(program.groups.size());
  for (size_t g = 0; g < program.groups.size(); ++g)
    for (size_t i = 0; i < program.groups[g].size(); ++i)
      place[g][program.groups[g][i]] = i;
  for (size_t r = 0; r < ranks.size(); ++r) {
    std::vector<size_t> count(program.groups.size());
    ranks[r].tasks.resize(program.tasks[r].size());
    for (size_t t = 0; t < program.tasks[r].size(); ++t) {
      const Task &task = program.tasks[r][t];
      ranks[r].tasks[t].parts.resize(task.parts.size());
      for (size_t p = 0; p < task.parts.size(); ++p) {
        const Part &part = task.parts[p];
        if (part.kind != Part::Kind::Collective)
          continue;
        size_t n = count[part.group]++;
        if (n == meetings[part.group].size()) {
          meetings[part.group].push_back(timeline.meetings.size());
          Meeting meeting;
          meeting.group = part.group;
          meeting.label = task.label;
          meeting.collective.kind = part.collective;
          meeting.collective.ranks = program.groups[part.group];
          meeting.collective.shares.resize(program.groups[part.group].size());
          timeline.meetings.push_back(std::move(meeting));
        }
        size_t number = meetings[part.group][n];
        Meeting &meeting = timeline.meetings[number];
        if (meeting.collective.kind != part.collective ||
            meeting.label != task.label) {
          error = "expected all ranks of a communicator to issue the same "
                  "collectives, but number " +
                  std::to_string(n) + " is '" + program.labels[meeting.label] +
                  "' on rank " +
                  std::to_string(meeting.collective.ranks.front()) + " and '" +
                  program.labels[task.label] + "' on rank " + std::to_string(r);
          return false;
        }
        meeting.collective.shares[place[part.group].at(int64_t(r))] =
            part.share;
        ranks[r].tasks[t].parts[p].meeting = number;
      }
    }
  }
  arrived.assign(timeline.meetings.size(), 0);
  return true;
}

void Engine::arrive(RankState &rank, size_t number, StreamState &stream) {
  size_t index = rank.tasks[stream.task].parts[stream.part].meeting;
  Meeting &meeting = timeline.meetings[index];
  if (arrived[index] == 0)
    meeting.firstArrival = rank.now;
  if (++arrived[index] < meeting.collective.ranks.size())
    return;
  meeting.begin = rank.now;
  meeting.end =
      rank.now + policy::getCollectiveTime(meeting.collective, cluster);
  meeting.lastRank = number;
  meeting.lastTask = stream.task;
  meeting.lastPart = stream.part;
  events.push({meeting.end, none, 0, index});
  // Work beside it goes on at another speed from now on.
  for (int64_t other : meeting.collective.ranks)
    events.push({rank.now, size_t(other), ranks[other].version, none});
}

void Engine::endMeeting(size_t index) {
  const Meeting &meeting = timeline.meetings[index];
  for (int64_t number : meeting.collective.ranks) {
    RankState &rank = ranks[number];
    advance(rank, meeting.end);
    for (StreamState &stream : rank.streams)
      if (stream.task != none &&
          stream.part < rank.tasks[stream.task].parts.size() &&
          rank.tasks[stream.task].parts[stream.part].meeting == index)
        endPart(rank, number, stream);
    settle(number);
  }
}

//===----------------------------------------------------------------------===//
// A rank
//===----------------------------------------------------------------------===//

void Engine::advance(RankState &rank, double time) {
  size_t number = size_t(&rank - ranks.data());
  double elapsed = time - rank.now;
  bool works = false;
  for (StreamState &stream : rank.streams) {
    if (stream.task == none)
      continue;
    stream.left -= elapsed * stream.rate;
    works |=
        stream.rate > 0 && getPart(number, stream).kind == Part::Kind::Busy;
  }
  rank.busy += works ? elapsed : 0;
  rank.now = time;
}

void Engine::beginPart(RankState &rank, size_t number, StreamState &stream) {
  TaskState &state = rank.tasks[stream.task];
  if (stream.part == state.parts.size()) {
    state.ended = true;
    state.end = rank.now;
    stream.task = none;
    return;
  }
  state.parts[stream.part].begin = rank.now;
  const Part &part = getPart(number, stream);
  stream.left = part.seconds;
  if (part.kind == Part::Kind::Collective)
    arrive(rank, number, stream);
}

void Engine::endPart(RankState &rank, size_t number, StreamState &stream) {
  rank.tasks[stream.task].parts[stream.part].end = rank.now;
  ++stream.part;
  beginPart(rank, number, stream);
}

/// Begins what can begin; true if something did or ended.
bool Engine::beginTasks(RankState &rank, size_t number) {
  bool changed = false;
  for (StreamState &stream : rank.streams) {
    if (stream.task != none || stream.next == stream.tasks.size())
      continue;
    size_t next = stream.tasks[stream.next];
    const std::vector<size_t> &after = program.tasks[number][next].after;
    if (!std::all_of(after.begin(), after.end(),
                     [&](size_t task) { return rank.tasks[task].ended; }))
      continue;
    size_t cause = none;
    auto consider = [&](size_t task) {
      if (cause == none || rank.tasks[task].end > rank.tasks[cause].end)
        cause = task;
    };
    if (stream.next > 0)
      consider(stream.tasks[stream.next - 1]);
    for (size_t task : after)
      consider(task);
    rank.tasks[next].cause = cause;
    stream.task = next;
    stream.part = 0;
    ++stream.next;
    beginPart(rank, number, stream);
    changed = true;
  }
  return changed;
}

void Engine::setRates(RankState &rank, size_t number) {
  const policy::MachineModel &gpu = cluster.gpu;
  std::vector<StreamState *> local;
  StreamState *waiting = nullptr;
  bool waitsForLinks = false;
  double memory = 0, flops = 0;
  for (StreamState &stream : rank.streams) {
    stream.rate = 0;
    if (stream.task == none)
      continue;
    const Part &part = getPart(number, stream);
    if (part.kind == Part::Kind::Collective) {
      // Before the last rank has come, nothing of it runs.
      waitsForLinks |= isRunning(rank.tasks[stream.task].parts[stream.part]);
      continue;
    }
    local.push_back(&stream);
    if (part.kind == Part::Kind::Idle && !waiting)
      waiting = &stream;
    memory += part.memoryShare;
    flops += part.flopsShare;
  }
  if (waitsForLinks)
    waiting = nullptr;
  else if (!waiting) {
    // What memory-bound work gains beside compute-bound work, and what two
    // cost each other.
    double n = double(local.size());
    double ceiling = std::max({memory, flops, 1.0});
    double seconds = n + gpu.streamContention * (n - 1) -
                     gpu.mixOverlap * std::max(0.0, n - ceiling);
    for (StreamState *stream : local)
      stream->rate = 1 / seconds;
    return;
  }
  double others = double(local.size()) - (waiting ? 1 : 0);
  for (StreamState *stream : local)
    stream->rate = stream == waiting ? 1 : gpu.streamOverlap / others;
}

/// Does what can be done at once, and foresees when something ends.
void Engine::settle(size_t number) {
  RankState &rank = ranks[number];
  for (bool changed = true; changed;) {
    changed = beginTasks(rank, number);
    for (StreamState &stream : rank.streams)
      if (stream.task != none &&
          getPart(number, stream).kind != Part::Kind::Collective &&
          stream.left <= epsilon) {
        endPart(rank, number, stream);
        changed = true;
      }
  }
  setRates(rank, number);
  double soonest = HUGE_VAL;
  for (const StreamState &stream : rank.streams)
    if (stream.task != none && stream.rate > 0)
      soonest = std::min(soonest, stream.left / stream.rate);
  ++rank.version;
  if (soonest < HUGE_VAL)
    events.push({rank.now + soonest, number, rank.version, none});
}

//===----------------------------------------------------------------------===//
// All ranks
//===----------------------------------------------------------------------===//

void Engine::start() {
  for (size_t r = 0; r < ranks.size(); ++r) {
    ranks[r].streams.resize(program.streams.size());
    for (size_t t = 0; t < program.tasks[r].size(); ++t)
      ranks[r].streams[program.tasks[r][t].stream].tasks.push_back(t);
  }
  for (size_t r = 0; r < ranks.size(); ++r)
    settle(r);
}

std::optional<Timeline> Engine::run(std::string &error) {
  if (!arrangeMeetings(error))
    return std::nullopt;
  start();
  while (!events.empty()) {
    Event event = events.top();
    events.pop();
    if (event.meeting != none) {
      endMeeting(event.meeting);
    } else if (event.version == ranks[event.rank].version) {
      advance(ranks[event.rank], event.time);
      settle(event.rank);
    }
  }
  if (findUnfinished(error))
    return std::nullopt;
  for (size_t r = 0; r < ranks.size(); ++r) {
    timeline.busy.push_back(ranks[r].busy);
    for (size_t t = 0; t < ranks[r].tasks.size(); ++t) {
      const TaskState &state = ranks[r].tasks[t];
      timeline.time = std::max(timeline.time, state.end);
      double begin = state.parts.empty() ? state.end : state.parts[0].begin;
      const Task &task = program.tasks[r][t];
      timeline.spans.push_back({r, task.stream, task.label, begin, state.end});
    }
  }
  findCriticalPath();
  return std::move(timeline);
}

bool Engine::findUnfinished(std::string &error) const {
  for (size_t r = 0; r < ranks.size(); ++r)
    for (size_t t = 0; t < ranks[r].tasks.size(); ++t)
      if (!ranks[r].tasks[t].ended) {
        error = "expected every rank to end, but rank " + std::to_string(r) +
                " never gets past '" +
                program.labels[program.tasks[r][t].label] + "' on stream '" +
                program.streams[program.tasks[r][t].stream] + "'";
        return true;
      }
  return false;
}

/// From the end that is last, back along what let each part begin.
void Engine::findCriticalPath() {
  size_t r = none, t = none;
  for (size_t rank = 0; rank < ranks.size(); ++rank)
    for (size_t task = 0; task < ranks[rank].tasks.size(); ++task)
      if (r == none || ranks[rank].tasks[task].end > ranks[r].tasks[t].end) {
        r = rank;
        t = task;
      }
  if (r == none)
    return;
  size_t p = ranks[r].tasks[t].parts.size();
  for (;;) {
    if (p == 0) {
      t = ranks[r].tasks[t].cause;
      if (t == none)
        return;
      p = ranks[r].tasks[t].parts.size();
      continue;
    }
    const PartTimes &part = ranks[r].tasks[t].parts[--p];
    PathTime &path = timeline.criticalPath[program.tasks[r][t].label];
    if (part.meeting == none) {
      path.onRank += part.end - part.begin;
      continue;
    }
    const Meeting &meeting = timeline.meetings[part.meeting];
    path.onLinks += meeting.getSeconds();
    r = meeting.lastRank;
    t = meeting.lastTask;
    p = meeting.lastPart;
  }
}

std::optional<Timeline> simulate::run(const Program &program,
                                      const policy::ClusterModel &cluster,
                                      std::string &error) {
  return Engine(program, cluster).run(error);
}
