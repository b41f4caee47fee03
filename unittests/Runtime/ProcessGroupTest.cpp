//===- ProcessGroupTest.cpp - Ranks that are processes --------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "processes/ProcessGroup.h"
#include "FreePort.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include <algorithm>
#include <atomic>
#include <csignal>
#include <functional>
#include <mutex>
#include <sys/wait.h>
#include <thread>

using namespace moert;
using moert::test::findFreePort;
using std::chrono::milliseconds;
using std::chrono::steady_clock;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

namespace {

ProcessGroup::Options makeOptions(int32_t rank, int32_t size, uint16_t port,
                                  int timeout) {
  ProcessGroup::Options options;
  options.rank = rank;
  options.size = size;
  options.host = "127.0.0.1";
  options.port = port;
  options.timeout = milliseconds(timeout);
  return options;
}

/// Long enough for a loaded machine, where nothing is to go wrong.
constexpr int patient = 20'000;

/// Runs `body(rank)` on a thread for each of `size` ranks; each may hold a
/// group of its own, as a process would.
template <typename Body> void runRanks(int32_t size, Body body) {
  std::vector<std::thread> threads;
  for (int32_t rank = 0; rank < size; ++rank)
    threads.emplace_back([&, rank] { body(rank); });
  for (std::thread &thread : threads)
    thread.join();
}

/// The same with a group of them.
template <typename Body> void runGroup(int32_t size, int timeout, Body body) {
  const uint16_t port = findFreePort();
  runRanks(size, [&](int32_t rank) {
    std::shared_ptr<ProcessGroup> group;
    std::string error;
    ASSERT_EQ(ProcessGroup::create(makeOptions(rank, size, port, timeout),
                                   group, error),
              MOERT_SUCCESS)
        << error;
    body(*group, rank);
  });
}

/// Creates the groups of ranks that differ from the rule.
std::vector<std::string>
createAll(const std::vector<ProcessGroup::Options> &options) {
  std::vector<std::string> errors(options.size());
  std::vector<std::shared_ptr<ProcessGroup>> groups(options.size());
  runRanks(int32_t(options.size()), [&](int32_t i) {
    moert_status status = ProcessGroup::create(
        options[size_t(i)], groups[size_t(i)], errors[size_t(i)]);
    EXPECT_EQ(status == MOERT_SUCCESS, errors[size_t(i)].empty());
  });
  return errors;
}

TEST(ProcessGroupTest, HandsValuesOfAllRanksToAll) {
  runGroup(5, patient, [](ProcessGroup &group, int32_t rank) {
    std::string error;
    EXPECT_THAT(group.members(), ElementsAre(0, 1, 2, 3, 4));
    for (int turn = 0; turn < 20; ++turn) {
      // Any bytes, of different length, and a megabyte once.
      std::string mine(turn == 7 ? 1 << 20 : size_t(rank), char(200 + rank));
      std::vector<std::string> all;
      ASSERT_EQ(group.allGather("bytes", mine, all, error), MOERT_SUCCESS)
          << error;
      ASSERT_EQ(all.size(), 5u);
      for (int32_t other = 0; other < 5; ++other)
        EXPECT_EQ(all[size_t(other)],
                  std::string(turn == 7 ? 1 << 20 : size_t(other),
                              char(200 + other)));
    }
    EXPECT_FALSE(group.hasFailed());
  });
}

TEST(ProcessGroupTest, TakesOneRank) {
  std::shared_ptr<ProcessGroup> group;
  std::string error;
  ASSERT_EQ(ProcessGroup::create(makeOptions(0, 1, findFreePort(), patient),
                                 group, error),
            MOERT_SUCCESS)
      << error;
  std::vector<std::string> all;
  ASSERT_EQ(group->allGather("bytes", "mine", all, error), MOERT_SUCCESS);
  EXPECT_THAT(all, ElementsAre("mine"));
}

TEST(ProcessGroupTest, NamesRanksThatDoNotCome) {
  const uint16_t port = findFreePort();
  std::vector<std::string> errors =
      createAll({makeOptions(0, 4, port, 500), makeOptions(2, 4, port, 500)});
  for (const std::string &error : errors)
    EXPECT_THAT(error, HasSubstr("rank 1, rank 3 did not come within 500 ms "
                                 "to the group of 4 ranks at 127.0.0.1:"));
}

TEST(ProcessGroupTest, NamesAFirstRankThatDoesNotCome) {
  const uint16_t port = findFreePort();
  std::vector<std::string> errors = createAll({makeOptions(1, 2, port, 300)});
  EXPECT_THAT(errors[0],
              AllOf(HasSubstr("rank 1 has not reached rank 0 at 127.0.0.1:"),
                    HasSubstr("within 300 ms: Connection refused")));
}

TEST(ProcessGroupTest, RefusesAnotherNumberOfRanks) {
  const uint16_t port = findFreePort();
  for (const std::string &error : createAll({makeOptions(0, 2, port, patient),
                                             makeOptions(1, 3, port, patient)}))
    EXPECT_EQ(error, "rank 1 was told of 3 ranks, expected 2, as rank 0");
}

TEST(ProcessGroupTest, RefusesARankThatComesTwice) {
  const uint16_t port = findFreePort();
  for (const std::string &error : createAll({makeOptions(0, 3, port, patient),
                                             makeOptions(1, 3, port, patient),
                                             makeOptions(1, 3, port, patient)}))
    EXPECT_THAT(error, HasSubstr("two processes came as rank 1"));
}

TEST(ProcessGroupTest, RefusesATakenPort) {
  const uint16_t port = findFreePort();
  int listener = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  ASSERT_EQ(
      bind(listener, reinterpret_cast<sockaddr *>(&address), sizeof(address)),
      0);
  ASSERT_EQ(listen(listener, 1), 0);
  std::vector<std::string> errors =
      createAll({makeOptions(0, 2, port, patient)});
  close(listener);
  EXPECT_THAT(errors[0], AllOf(HasSubstr("rank 0 cannot listen at 127.0.0.1:"),
                               HasSubstr("Address already in use")));
}

TEST(ProcessGroupTest, ListensToNoStrangers) {
  const uint16_t port = findFreePort();
  std::vector<std::string> errors;
  std::thread ranks([&] {
    errors = createAll(
        {makeOptions(0, 2, port, patient), makeOptions(1, 2, port, patient)});
  });
  // One says nothing, and one something else.
  for (const std::string text : {"", "GET / HTTP/1.1\r\n\r\n"}) {
    int stranger = socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(port);
    (void)connect(stranger, reinterpret_cast<sockaddr *>(&address),
                  sizeof(address));
    (void)send(stranger, text.data(), text.size(), MSG_NOSIGNAL);
    close(stranger);
  }
  ranks.join();
  EXPECT_THAT(errors, ElementsAre("", ""));
}

//===----------------------------------------------------------------------===//
// Ranks that stay away or leave
//===----------------------------------------------------------------------===//

TEST(ProcessGroupTest, NamesARankThatDoesNotCall) {
  runGroup(3, 1000, [](ProcessGroup &group, int32_t rank) {
    std::string error;
    if (rank != 1) {
      std::vector<std::string> all;
      EXPECT_EQ(group.allGather("values", "x", all, error), MOERT_RANK_FAILED);
      EXPECT_THAT(error,
                  AllOf(HasSubstr("'values': rank "),
                        HasSubstr(" has waited 1000 ms for rank 1, which did "
                                  "not come")));
      return;
    }
    while (!group.hasFailed(error))
      std::this_thread::sleep_for(milliseconds(5));
    EXPECT_THAT(error, HasSubstr("for rank 1, which did not come"));
  });
}

TEST(ProcessGroupTest, NamesARankThatHasLeft) {
  runGroup(3, patient, [](ProcessGroup &group, int32_t rank) {
    std::string error;
    if (rank == 2)
      return;
    std::vector<std::string> all;
    EXPECT_EQ(group.allGather("values", "x", all, error), MOERT_RANK_FAILED);
    EXPECT_EQ(error, "'values': rank 2 has left the group");
    EXPECT_EQ(group.findLeft({rank}), "");
    EXPECT_EQ(group.findLeft({rank, 2}), "rank 2 has left the group");
  });
}

TEST(ProcessGroupTest, RefusesDifferentQuestions) {
  runGroup(2, patient, [](ProcessGroup &group, int32_t rank) {
    std::string error;
    std::vector<std::string> all;
    EXPECT_EQ(group.allGather(rank ? "one" : "another", "x", all, error),
              MOERT_RANK_FAILED);
    EXPECT_THAT(error, AllOf(HasSubstr("'one'"), HasSubstr("'another'")));
  });
}

namespace {
/// A rank that is in a collective or not.
class FakeRank : public ProcessGroup::Watched {
public:
  explicit FakeRank(bool isWaiting) : isWaiting(isWaiting) {}

  std::vector<Activity> look() override {
    return {{"'dispatch' (step 1)", {0, 1, 2}, isWaiting, 7}};
  }
  std::string findFault() override { return fault; }
  void abort() override { ++numAborts; }

  const bool isWaiting;
  std::string fault;
  std::atomic<int> numAborts{0};
};
} // namespace

TEST(ProcessGroupTest, NamesARankThatACollectiveWaitsFor) {
  runGroup(3, 1000, [](ProcessGroup &group, int32_t rank) {
    std::string error;
    FakeRank watched(/*isWaiting=*/rank != 2);
    group.watch(&watched);
    while (!group.hasFailed(error))
      std::this_thread::sleep_for(milliseconds(5));
    EXPECT_THAT(error, AllOf(HasSubstr("'dispatch' (step 1): rank "),
                             HasSubstr(" has waited 1000 ms for rank 2, which "
                                       "did not come")));
    group.watch(nullptr);
    EXPECT_EQ(watched.numAborts, 1);
  });
}

TEST(ProcessGroupTest, TellsAFaultOfOneRankToAll) {
  runGroup(3, 2000, [](ProcessGroup &group, int32_t rank) {
    std::string error;
    FakeRank watched(/*isWaiting=*/false);
    watched.fault = rank == 1 ? "the network is down" : "";
    group.watch(&watched);
    while (!group.hasFailed(error))
      std::this_thread::sleep_for(milliseconds(5));
    EXPECT_THAT(error, AllOf(HasSubstr("rank 1: the network is down; the last "
                                       "collective of rank "),
                             HasSubstr("'dispatch' (step 1)")));
    group.watch(nullptr);
  });
}

//===----------------------------------------------------------------------===//
// Ranks that die
//===----------------------------------------------------------------------===//

/// A process that runs `body` and ends with its result; 1 where an expectation
/// failed.
pid_t startProcess(const std::function<int()> &body) {
  pid_t child = fork();
  if (child != 0)
    return child;
  _exit(body());
}

int waitFor(pid_t child) {
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/// The ranks `victims` of `size` get a signal once all ranks have met;
/// what the others do then is up to `survive`, which returns an exit code.
void loseRanks(int32_t size, const std::vector<int32_t> &victims, int signal,
               int timeout,
               const std::function<int(ProcessGroup &group)> &survive) {
  auto isVictim = [&](int32_t rank) {
    return std::find(victims.begin(), victims.end(), rank) != victims.end();
  };
  const uint16_t port = findFreePort();
  std::vector<pid_t> children;
  int ready[2];
  ASSERT_EQ(pipe(ready), 0);
  for (int32_t rank = 0; rank < size; ++rank)
    children.push_back(startProcess([&] {
      std::shared_ptr<ProcessGroup> group;
      std::string error;
      if (ProcessGroup::create(makeOptions(rank, size, port, timeout), group,
                               error))
        return 10;
      char byte = 0;
      if (write(ready[1], &byte, 1) != 1)
        return 11;
      if (isVictim(rank))
        while (true)
          pause();
      const auto begin = steady_clock::now();
      while (!group->hasFailed() &&
             steady_clock::now() - begin < milliseconds(30'000))
        std::this_thread::sleep_for(milliseconds(5));
      return survive(*group);
    }));
  char byte;
  for (int32_t i = 0; i < size; ++i)
    ASSERT_EQ(read(ready[0], &byte, 1), 1);
  for (int32_t victim : victims)
    kill(children[size_t(victim)], signal);
  for (int32_t rank = 0; rank < size; ++rank)
    if (!isVictim(rank)) {
      EXPECT_EQ(waitFor(children[size_t(rank)]), 0) << "rank " << rank;
    }
  for (int32_t victim : victims) {
    kill(children[size_t(victim)], SIGKILL);
    waitFor(children[size_t(victim)]);
  }
  close(ready[0]);
  close(ready[1]);
}

void loseRank(int32_t victim, int signal, int timeout,
              const std::function<int(ProcessGroup &group)> &survive) {
  loseRanks(3, {victim}, signal, timeout, survive);
}

TEST(ProcessGroupTest, NamesAKilledRank) {
  for (int32_t victim = 0; victim < 3; ++victim) {
    const std::string expected = "rank " + std::to_string(victim) +
                                 " is lost: its connection has closed";
    loseRank(victim, SIGKILL, patient, [&](ProcessGroup &group) {
      std::string error;
      return group.hasFailed(error) && error == expected ? 0 : 1;
    });
  }
}

TEST(ProcessGroupTest, NamesAStoppedRank) {
  for (int32_t victim : {0, 2}) {
    const std::string expected =
        "rank " + std::to_string(victim) + " has not answered for ";
    loseRank(victim, SIGSTOP, 1500, [&](ProcessGroup &group) {
      std::string error;
      return group.hasFailed(error) && error.rfind(expected, 0) == 0 ? 0 : 1;
    });
  }
}

TEST(ProcessGroupTest, ShrinksToTheRanksThatAreLeft) {
  for (int32_t victim = 0; victim < 3; ++victim)
    loseRank(victim, SIGKILL, patient, [&](ProcessGroup &group) {
      std::shared_ptr<ProcessGroup> smaller;
      std::string error;
      if (group.shrink(smaller, error))
        return 1;
      std::vector<int32_t> expected;
      for (int32_t rank = 0; rank < 3; ++rank)
        if (rank != victim)
          expected.push_back(rank);
      std::vector<std::string> all;
      if (smaller->members() != expected || smaller->size() != 3 ||
          smaller->allGather("ranks", std::to_string(smaller->rank()), all,
                             error))
        return 2;
      return all == std::vector<std::string>{std::to_string(expected[0]),
                                             std::to_string(expected[1])}
                 ? 0
                 : 3;
    });
}

TEST(ProcessGroupTest, ShrinksAfterSeveralLosses) {
  for (const std::vector<int32_t> &victims :
       {std::vector<int32_t>{2, 3}, {1, 3}, {0, 2}})
    loseRanks(4, victims, SIGKILL, 2000, [&](ProcessGroup &group) {
      // Whether the second loss is known yet or not.
      std::this_thread::sleep_for(milliseconds(victims[1] == 3 ? 0 : 200));
      std::shared_ptr<ProcessGroup> smaller;
      std::string error;
      if (group.shrink(smaller, error))
        return 1;
      std::vector<std::string> all;
      if (smaller->members().size() != 2 ||
          smaller->allGather("ranks", "", all, error))
        return 2;
      return 0;
    });
}

TEST(ProcessGroupTest, ShrinksOnlyAfterAFailure) {
  std::shared_ptr<ProcessGroup> group, smaller;
  std::string error;
  ASSERT_EQ(ProcessGroup::create(makeOptions(0, 1, findFreePort(), patient),
                                 group, error),
            MOERT_SUCCESS);
  EXPECT_EQ(group->shrink(smaller, error), MOERT_INVALID_ARGUMENT);
  EXPECT_EQ(error, "the group has not failed, expected a group that has lost a "
                   "rank");
}

} // namespace
