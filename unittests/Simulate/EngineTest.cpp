//===- EngineTest.cpp - Timelines by hand ---------------------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moe-mlir/Simulate/Engine.h"

#include "llvm/Support/JSON.h"
#include "gtest/gtest.h"
#include <random>

using namespace moe;
using namespace moe::simulate;

namespace {
Part idle(double seconds) {
  Part part;
  part.seconds = seconds;
  return part;
}

Part busy(double seconds, double memory = 1, double flops = 1) {
  Part part;
  part.kind = Part::Kind::Busy;
  part.seconds = seconds;
  part.memoryShare = memory;
  part.flopsShare = flops;
  return part;
}

/// Sends `bytes` to each rank of the group.
Part exchange(size_t group, double bytes) {
  Part part;
  part.kind = Part::Kind::Collective;
  part.group = group;
  part.share = {bytes, 1};
  return part;
}

/// Two GPUs on a node. An exchange of 100 bytes takes 2 s.
policy::ClusterModel makeCluster() {
  policy::ClusterModel cluster;
  cluster.gpusPerNode = 2;
  cluster.gpu.memoryBandwidth = cluster.gpu.flops = 1;
  cluster.gpu.linkBandwidth = 100;
  cluster.gpu.linkLatency = 1;
  cluster.gpu.streamOverlap = 0.5;
  return cluster;
}

/// Streams 0 and 1, labels a to d, and the two ranks as groups 0 and 1.
Program makeProgram(std::vector<std::vector<Task>> tasks) {
  Program program;
  program.labels = {"a", "b", "c", "d"};
  program.streams = {"compute", "aux"};
  std::vector<int64_t> all;
  for (size_t r = 0; r < tasks.size(); ++r)
    all.push_back(int64_t(r));
  program.groups = {all, all};
  program.tasks = std::move(tasks);
  return program;
}

Timeline runOrFail(const Program &program,
                   const policy::ClusterModel &cluster = makeCluster()) {
  std::string error;
  std::optional<Timeline> timeline = run(program, cluster, error);
  EXPECT_TRUE(timeline) << error;
  return timeline ? *timeline : Timeline();
}

double sumUp(const std::map<size_t, PathTime> &path) {
  double sum = 0;
  for (auto [label, time] : path)
    sum += time.onRank + time.onLinks;
  return sum;
}
} // namespace

TEST(Engine, OneStreamIsASum) {
  Timeline timeline = runOrFail(
      makeProgram({{{0, 0, {}, {idle(1), busy(2)}}, {1, 0, {}, {busy(3)}}}}));
  EXPECT_DOUBLE_EQ(timeline.time, 6);
  ASSERT_EQ(timeline.spans.size(), 2u);
  EXPECT_DOUBLE_EQ(timeline.spans[0].end, 3);
  EXPECT_DOUBLE_EQ(timeline.spans[1].begin, 3);
  EXPECT_DOUBLE_EQ(timeline.busy[0], 5);
  EXPECT_DOUBLE_EQ(timeline.getIdleShare(), 1.0 / 6);
  EXPECT_DOUBLE_EQ(timeline.criticalPath[0].onRank, 3);
  EXPECT_DOUBLE_EQ(timeline.criticalPath[1].onRank, 3);
}

// While the first stream waits for 4 s, the other does 2 s of work.
TEST(Engine, WaitingTimeIsFilled) {
  Timeline timeline = runOrFail(
      makeProgram({{{0, 1, {}, {busy(1)}}, {1, 0, {}, {idle(4), busy(2)}}}}));
  EXPECT_DOUBLE_EQ(timeline.spans[0].end, 2);
  EXPECT_DOUBLE_EQ(timeline.time, 6);
  // Of 3 s, 2 are done in that time; the third shares the machine with the
  // first stream's work: both are at 1 / 2 until it ends at 6.
  timeline = runOrFail(
      makeProgram({{{0, 1, {}, {busy(3)}}, {1, 0, {}, {idle(4), busy(2)}}}}));
  EXPECT_DOUBLE_EQ(timeline.spans[0].end, 6);
  EXPECT_DOUBLE_EQ(timeline.time, 7);
}

TEST(Engine, BusyStreamsShareTheMachine) {
  policy::ClusterModel cluster = makeCluster();
  Program same = makeProgram({{{0, 0, {}, {busy(2)}}, {1, 1, {}, {busy(2)}}}});
  EXPECT_DOUBLE_EQ(runOrFail(same, cluster).time, 4);
  cluster.gpu.streamContention = 0.1;
  EXPECT_DOUBLE_EQ(runOrFail(same, cluster).time, 2 * 2.1);
  // Memory-bound beside compute-bound work: the memory is 1.2 times full, so
  // that all of the gain takes 1.2 s for each second of the two.
  cluster.gpu.streamContention = 0;
  Program mixed = makeProgram(
      {{{0, 0, {}, {busy(2, 1, 0.1)}}, {1, 1, {}, {busy(2, 0.2, 1)}}}});
  cluster.gpu.mixOverlap = 1;
  EXPECT_DOUBLE_EQ(runOrFail(mixed, cluster).time, 2.4);
  cluster.gpu.mixOverlap = 0.5;
  EXPECT_DOUBLE_EQ(runOrFail(mixed, cluster).time, 2 * 1.6);
}

TEST(Engine, EventsOrderStreams) {
  // c waits for b on the other stream, b for nothing, a before it.
  Timeline timeline = runOrFail(makeProgram({{{0, 0, {}, {idle(1)}},
                                              {1, 1, {}, {idle(4)}},
                                              {2, 0, {1}, {busy(1)}}}}));
  // The aux stream waits beside the first: at half of its speed for 1 s.
  EXPECT_DOUBLE_EQ(timeline.spans[1].end, 4.5);
  EXPECT_DOUBLE_EQ(timeline.spans[2].begin, 4.5);
  EXPECT_DOUBLE_EQ(timeline.time, 5.5);
  EXPECT_EQ(timeline.criticalPath.count(0), 0u);
  EXPECT_DOUBLE_EQ(sumUp(timeline.criticalPath), 5.5);
}

// The exchange begins when the last rank has come, and ends for all at once.
TEST(Engine, RanksMeet) {
  Program program = makeProgram(
      {{{0, 0, {}, {busy(1)}}, {1, 0, {}, {exchange(0, 100), busy(1)}}},
       {{0, 0, {}, {busy(3)}}, {1, 0, {}, {exchange(0, 100), busy(2)}}}});
  Timeline timeline = runOrFail(program);
  ASSERT_EQ(timeline.meetings.size(), 1u);
  EXPECT_DOUBLE_EQ(timeline.meetings[0].firstArrival, 1);
  EXPECT_DOUBLE_EQ(timeline.meetings[0].begin, 3);
  EXPECT_DOUBLE_EQ(timeline.meetings[0].end, 5);
  EXPECT_DOUBLE_EQ(timeline.spans[1].begin, 1);
  EXPECT_DOUBLE_EQ(timeline.spans[1].end, 6);
  EXPECT_DOUBLE_EQ(timeline.time, 7);
  // Rank 1 bounds the step: its first task, the links, its second.
  EXPECT_DOUBLE_EQ(timeline.criticalPath[0].onRank, 3);
  EXPECT_DOUBLE_EQ(timeline.criticalPath[1].onLinks, 2);
  EXPECT_DOUBLE_EQ(timeline.criticalPath[1].onRank, 2);
}

// What waits for ranks leaves the machine to the other stream.
TEST(Engine, WorkBesideAnExchange) {
  Program program =
      makeProgram({{{0, 0, {}, {exchange(0, 100)}}, {1, 1, {}, {busy(1)}}},
                   {{0, 0, {}, {exchange(0, 100)}}, {1, 1, {}, {busy(2)}}}});
  Timeline timeline = runOrFail(program);
  EXPECT_DOUBLE_EQ(timeline.meetings[0].end, 2);
  EXPECT_DOUBLE_EQ(timeline.spans[1].end, 2);
  // 1 s of it is done by the end of the exchange.
  EXPECT_DOUBLE_EQ(timeline.spans[3].end, 3);
}

// Until the last rank comes, the others work as if there were no exchange.
TEST(Engine, WorkBeforeAnExchange) {
  Program program =
      makeProgram({{{0, 0, {}, {exchange(0, 100)}}, {1, 1, {}, {busy(4)}}},
                   {{0, 0, {}, {busy(3), exchange(0, 100)}}}});
  Timeline timeline = runOrFail(program);
  EXPECT_DOUBLE_EQ(timeline.meetings[0].begin, 3);
  EXPECT_DOUBLE_EQ(timeline.meetings[0].end, 5);
  // 3 s of it are done by then, and the fourth in the 2 s of the exchange.
  EXPECT_DOUBLE_EQ(timeline.spans[1].end, 5);
}

TEST(Engine, RefusesWhatCannotEnd) {
  std::string error;
  Program other = makeProgram(
      {{{0, 0, {}, {exchange(0, 1)}}}, {{1, 0, {}, {exchange(0, 1)}}}});
  EXPECT_FALSE(run(other, makeCluster(), error));
  EXPECT_EQ(error, "expected all ranks of a communicator to issue the same "
                   "collectives, but number 0 is 'a' on rank 0 and 'b' on rank "
                   "1");
  Program missing = makeProgram({{{0, 0, {}, {exchange(0, 1)}}}, {}});
  EXPECT_FALSE(run(missing, makeCluster(), error));
  EXPECT_EQ(error, "expected every rank to end, but rank 0 never gets past 'a' "
                   "on stream 'compute'");
  Program crossed = makeProgram(
      {{{0, 0, {}, {exchange(0, 1)}}, {1, 0, {}, {exchange(1, 1)}}},
       {{1, 0, {}, {exchange(1, 1)}}, {0, 0, {}, {exchange(0, 1)}}}});
  EXPECT_FALSE(run(crossed, makeCluster(), error));
}

TEST(Engine, NothingTakesNoTime) {
  Timeline timeline = runOrFail(makeProgram({{{0, 0, {}, {}}}, {}}));
  EXPECT_EQ(timeline.time, 0);
  EXPECT_EQ(timeline.getIdleShare(), 0);
}

namespace {
/// A chain with exchanges, and a task that needs nothing but the chain's end
/// needs: before the chain on its stream, or beside it.
Program makeLayers(std::mt19937 &random, size_t numRanks, bool overlaps) {
  std::mt19937 chain = random;
  std::vector<std::vector<Task>> tasks(numRanks);
  for (size_t r = 0; r < numRanks; ++r) {
    auto length = [&] { return double(chain() % 100) / 10; };
    Task shared{0, overlaps ? size_t(1) : size_t(0), {}, {}};
    shared.parts = {idle(length()), busy(length(), 1, 0.3)};
    tasks[r].push_back(shared);
    for (size_t label : {1, 2, 3}) {
      Task task{label, 0, {}, {idle(length()), busy(length(), 0.5, 1)}};
      if (label < 3)
        task.parts.push_back(exchange(0, length() * 10));
      if (label == 3)
        task.after = {0};
      tasks[r].push_back(task);
    }
  }
  return makeProgram(std::move(tasks));
}
} // namespace

// With nothing that two streams cost each other, overlap does not lose.
TEST(Engine, OverlapIsNotSlower) {
  std::mt19937 random(7);
  for (int round = 0; round < 300; ++round) {
    policy::ClusterModel cluster = makeCluster();
    cluster.gpu.streamOverlap = double(random() % 11) / 10;
    cluster.gpu.mixOverlap = double(random() % 11) / 10;
    size_t numRanks = 2 + random() % 4;
    cluster.gpusPerNode = int64_t(numRanks);
    double serial =
        runOrFail(makeLayers(random, numRanks, false), cluster).time;
    Timeline overlap = runOrFail(makeLayers(random, numRanks, true), cluster);
    EXPECT_LE(overlap.time, serial + 1e-9) << "round " << round;
    // And what bounds it is a chain without gaps.
    EXPECT_NEAR(sumUp(overlap.criticalPath), overlap.time, 1e-9);
    random.discard(100);
  }
}

TEST(Engine, Trace) {
  Program program =
      makeProgram({{{0, 0, {}, {busy(1e-6)}}, {1, 1, {0}, {idle(2e-6)}}}, {}});
  program.labels[0] = "\"quoted\"";
  llvm::Expected<llvm::json::Value> json =
      llvm::json::parse(printTrace(program, runOrFail(program)));
  ASSERT_TRUE(bool(json)) << llvm::toString(json.takeError());
  llvm::json::Array &events = *json->getAsObject()->getArray("traceEvents");
  // A name for each rank and each of its streams, and two spans.
  ASSERT_EQ(events.size(), 2u * 3 + 2);
  llvm::json::Object &last = *events.back().getAsObject();
  EXPECT_EQ(last.getString("name"), "b");
  EXPECT_EQ(last.getInteger("tid"), 1);
  EXPECT_EQ(last.getNumber("ts"), 1.0);
  EXPECT_EQ(last.getNumber("dur"), 2.0);
}
