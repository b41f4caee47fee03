//===- RandomScheduleTest.cpp - The order against brute force -------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "ScheduleTest.h"

#include "moe-mlir/Transforms/Passes.h"

#include "mlir/Pass/PassManager.h"
#include <random>

using namespace mlir;
using namespace moe::schedule;

namespace {

/// One run of a random schedule: copies one buffer to another.
struct RandomRun {
  unsigned stream;
  unsigned reads;
  unsigned writes;
  std::vector<unsigned> waits; ///< Runs whose events it waits for.
};

/// A schedule as a graph, with its order by transitive closure.
struct RandomSchedule {
  std::vector<RandomRun> runs;
  unsigned numBuffers = 6;

  bool conflict(unsigned a, unsigned b) const {
    return runs[a].writes == runs[b].writes ||
           runs[a].writes == runs[b].reads || runs[a].reads == runs[b].writes;
  }

  /// before[a][b]: run a before run b.
  std::vector<std::vector<bool>> close() const {
    size_t n = runs.size();
    std::vector<std::vector<bool>> before(n, std::vector<bool>(n));
    for (size_t b = 0; b < n; ++b) {
      for (size_t a = 0; a < b; ++a)
        before[a][b] = runs[a].stream == runs[b].stream;
      for (unsigned a : runs[b].waits)
        before[a][b] = true;
    }
    for (size_t via = 0; via < n; ++via)
      for (size_t a = 0; a < n; ++a)
        for (size_t b = 0; b < n; ++b)
          if (before[a][via] && before[via][b])
            before[a][b] = true;
    return before;
  }

  /// As text; runs [begin, middle) and [middle, end) are the arms of a branch.
  std::string print(size_t begin = ~0u, size_t middle = ~0u,
                    size_t end = ~0u) const {
    static const char *streams[] = {"compute", "aux",
                                    "comm <dp = 2, tp = 2>[dp]",
                                    "comm <dp = 2, tp = 2>[tp]"};
    std::string text = "func.func @f(%c: i1) {\n";
    for (unsigned i = 0; i < numBuffers; ++i)
      text += "%b" + std::to_string(i) + " = memref.alloc() : memref<8xf32>\n";
    for (size_t i = 0; i < runs.size(); ++i) {
      const RandomRun &run = runs[i];
      if (i == begin)
        text += "scf.if %c {\n";
      if (i == middle && begin != ~0u)
        text += "} else {\n";
      if (i == end && begin != ~0u)
        text += "}\n";
      text += "%e" + std::to_string(i) + " = schedule.run on(" +
              streams[run.stream] + ")";
      for (size_t w = 0; w < run.waits.size(); ++w)
        text += (w == 0 ? " after(%e" : ", %e") + std::to_string(run.waits[w]);
      text += run.waits.empty() ? "" : ")";
      text += " label(\"" + std::to_string(i) + "\") { memref.copy %b" +
              std::to_string(run.reads) + ", %b" + std::to_string(run.writes) +
              " : memref<8xf32> to memref<8xf32> } -> !schedule.event\n";
    }
    return text + "return\n}\n";
  }
};

class RandomScheduleTest : public ScheduleTest {
protected:
  unsigned pick(unsigned below) {
    return std::uniform_int_distribution<unsigned>(0, below - 1)(random);
  }

  RandomRun pickRun(unsigned numBuffers) {
    RandomRun run{pick(4), pick(numBuffers), pick(numBuffers), {}};
    if (run.reads == run.writes)
      run.writes = (run.reads + 1) % numBuffers;
    return run;
  }

  /// Random waits, whatever races there are.
  RandomSchedule pickAnything() {
    RandomSchedule schedule;
    for (unsigned i = 0, n = 5 + pick(25); i < n; ++i) {
      schedule.runs.push_back(pickRun(schedule.numBuffers));
      for (unsigned tries = pick(3); tries > 0 && i > 0; --tries)
        addWait(schedule.runs, i, pick(i));
    }
    return schedule;
  }

  /// Just the waits that conflicts ask for, and those of a few others.
  RandomSchedule pickClean(unsigned numBuffers = 6) {
    RandomSchedule schedule;
    schedule.numBuffers = numBuffers;
    for (unsigned i = 0, n = 5 + pick(20); i < n; ++i) {
      schedule.runs.push_back(pickRun(schedule.numBuffers));
      if (i > 0 && pick(4) == 0)
        addWait(schedule.runs, i, pick(i));
      for (unsigned a = i; a-- > 0;)
        if (schedule.conflict(a, i) && !schedule.close()[a][i])
          addWait(schedule.runs, i, a);
    }
    // The join: the last run of every stream.
    unsigned last = schedule.runs.size();
    RandomRun join{0, schedule.numBuffers, schedule.numBuffers + 1, {}};
    schedule.numBuffers += 2;
    schedule.runs.push_back(join);
    for (unsigned stream = 1; stream < 4; ++stream)
      for (unsigned a = last; a-- > 0;)
        if (schedule.runs[a].stream == stream) {
          schedule.runs[last].waits.push_back(a);
          break;
        }
    return schedule;
  }

  static void addWait(std::vector<RandomRun> &runs, unsigned at,
                      unsigned event) {
    if (runs[at].stream != runs[event].stream &&
        !llvm::is_contained(runs[at].waits, event))
      runs[at].waits.push_back(event);
  }

  /// Findings about order, as pairs of run numbers; exit is the run count.
  std::vector<std::pair<unsigned, unsigned>>
  findUnordered(const RandomSchedule &schedule) {
    std::vector<std::pair<unsigned, unsigned>> pairs;
    HappensBefore order(parse(schedule.print()));
    for (const Finding &finding : order.getFindings()) {
      if (finding.kind == FindingKind::Race)
        pairs.emplace_back(std::stoi(getLabel(finding.other)),
                           std::stoi(getLabel(finding.op)));
      if (finding.kind == FindingKind::JoinMissing)
        pairs.emplace_back(std::stoi(getLabel(finding.op)),
                           schedule.runs.size());
    }
    return pairs;
  }

  std::mt19937 random{20260421};
};

TEST_F(RandomScheduleTest, OrderIsTheTransitiveClosure) {
  for (int round = 0; round < 200; ++round) {
    RandomSchedule schedule = pickAnything();
    HappensBefore order(parse(schedule.print()));
    std::vector<std::vector<bool>> before = schedule.close();
    // Work 0 is entry and the last is exit.
    ASSERT_EQ(order.getWork().size(), schedule.runs.size() + 2);
    for (unsigned a = 0; a < schedule.runs.size(); ++a)
      for (unsigned b = 0; b < schedule.runs.size(); ++b)
        ASSERT_EQ(order.isBefore(a + 1, b + 1), bool(before[a][b]))
            << a << " and " << b << " of\n"
            << schedule.print();
  }
}

TEST_F(RandomScheduleTest, FindingsRepairEveryRaceAndNameOnlyRaces) {
  for (int round = 0; round < 200; ++round) {
    RandomSchedule schedule = pickAnything();
    std::vector<std::vector<bool>> before = schedule.close();
    RandomSchedule repaired = schedule;
    for (auto [a, b] : findUnordered(schedule)) {
      if (b == schedule.runs.size())
        continue;
      ASSERT_TRUE(schedule.conflict(a, b) && !before[a][b])
          << a << " and " << b << " of\n"
          << schedule.print();
      addWait(repaired.runs, b, a);
    }
    before = repaired.close();
    for (unsigned b = 0; b < schedule.runs.size(); ++b)
      for (unsigned a = 0; a < b; ++a)
        ASSERT_TRUE(!schedule.conflict(a, b) || before[a][b])
            << a << " and " << b << " of\n"
            << schedule.print();
  }
}

TEST_F(RandomScheduleTest, RemovingOneEventIsFoundIfItWasNeeded) {
  unsigned needed = 0, redundant = 0;
  for (int round = 0; round < 40; ++round) {
    RandomSchedule clean = pickClean();
    ASSERT_TRUE(findUnordered(clean).empty()) << clean.print();
    unsigned last = clean.runs.size() - 1;
    for (unsigned b = 0; b < clean.runs.size(); ++b) {
      for (unsigned a : clean.runs[b].waits) {
        RandomSchedule broken = clean;
        llvm::erase(broken.runs[b].waits, a);
        std::vector<std::vector<bool>> before = broken.close();
        // A race, or work that no longer reaches the join, breaks it.
        bool breaks = false;
        for (unsigned j = 0; j < clean.runs.size(); ++j)
          for (unsigned i = 0; i < j; ++i)
            breaks |= (clean.conflict(i, j) || j == last) && !before[i][j];
        std::vector<std::pair<unsigned, unsigned>> found =
            findUnordered(broken);
        if (!breaks) {
          ++redundant;
          EXPECT_TRUE(found.empty()) << broken.print();
          continue;
        }
        ++needed;
        // All that is broken went through this event. Where the two runs
        // conflict themselves, repairing that repairs it all.
        ASSERT_FALSE(found.empty()) << broken.print();
        if (clean.conflict(a, b)) {
          ASSERT_EQ(found.size(), 1u) << broken.print();
          EXPECT_EQ(found[0], std::make_pair(a, b)) << broken.print();
        }
        for (auto [i, j] : found) {
          EXPECT_TRUE(i == a || before[i][a]) << broken.print();
          EXPECT_TRUE(j == b || j > last || before[b][j]) << broken.print();
        }
      }
    }
  }
  EXPECT_GT(needed, 100u);
  EXPECT_GT(redundant, 100u);
}

TEST_F(RandomScheduleTest, PlannedWorkspacesAreFreeOfRaces) {
  unsigned shared = 0;
  for (int round = 0; round < 60; ++round) {
    RandomSchedule clean = pickClean(/*numBuffers=*/20);
    ASSERT_TRUE(parse(clean.print()));
    PassManager passes(&context);
    passes.addPass(moe::createPlanWorkspace());
    ASSERT_TRUE(succeeded(passes.run(*module)));
    FunctionOpInterface function =
        *module->getOps<FunctionOpInterface>().begin();
    // The caller's stream may have used the workspace: that takes a fork, which
    // these schedules have not. All else must be as clean as it was.
    HappensBefore order(function);
    for (const Finding &finding : order.getFindings())
      EXPECT_TRUE(finding.kind != FindingKind::Race &&
                  finding.kind != FindingKind::ClobberedRead)
          << finding.message << " in\n"
          << clean.print();
    BufferTable &buffers = order.getBuffers();
    for (BufferId id = 0; id < buffers.size(); ++id)
      for (BufferId other : buffers.getOverlapping(id))
        shared += id < other && buffers[id].origin == Buffer::Origin::Slot &&
                  buffers[other].origin == Buffer::Origin::Slot;
  }
  EXPECT_GT(shared, 100u);
}

TEST_F(RandomScheduleTest, OrderAfterBranchesHoldsOnEveryPath) {
  for (int round = 0; round < 200; ++round) {
    RandomSchedule schedule = pickAnything();
    // Runs [begin, middle) become one arm and [middle, end) the other.
    unsigned n = schedule.runs.size();
    unsigned begin = pick(n), middle = begin + pick(n - begin),
             end = middle + pick(n - middle);
    auto getArm = [&](unsigned i) {
      return i < begin || i >= end ? 0 : i < middle ? 1 : 2;
    };
    // No event leaves its arm.
    for (unsigned i = 0; i < n; ++i)
      llvm::erase_if(schedule.runs[i].waits, [&](unsigned event) {
        return getArm(event) != 0 && getArm(event) != getArm(i);
      });
    HappensBefore order(parse(schedule.print(begin, middle, end)));
    ASSERT_EQ(order.getWork().size(), n + 2);
    // Each path is the schedule without the runs of the other arm.
    for (int taken : {1, 2}) {
      RandomSchedule path = schedule;
      for (unsigned i = 0; i < n; ++i) {
        if (getArm(i) == 3 - taken) {
          // On a stream of its own it orders nothing.
          path.runs[i].stream = 4 + i;
          path.runs[i].waits.clear();
        }
      }
      std::vector<std::vector<bool>> before = path.close();
      for (unsigned b = 0; b < n; ++b)
        for (unsigned a = 0; a < b; ++a) {
          if (getArm(a) == 3 - taken || getArm(b) == 3 - taken)
            continue;
          bool found = order.isBefore(a + 1, b + 1);
          ASSERT_TRUE(!found || before[a][b])
              << a << " and " << b << " of\n"
              << schedule.print(begin, middle, end);
          // Before the branch and in its arms nothing is lost.
          ASSERT_TRUE(found || !before[a][b] || b >= end)
              << a << " and " << b << " of\n"
              << schedule.print(begin, middle, end);
        }
    }
    for (unsigned a = begin; a < middle; ++a)
      for (unsigned b = middle; b < end; ++b)
        ASSERT_TRUE(order.areExclusive(a + 1, b + 1));
  }
}

} // namespace
