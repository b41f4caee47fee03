//===- GroupTest.cpp - Ranks of one process -------------------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "GroupFixture.h"

#include <deque>
#include <functional>
#include <string>
#include <vector>

using namespace moert::test;

namespace {

/// Ranks of this process, on the CPU.
class LocalRanks : public Ranks {
public:
  explicit LocalRanks(int32_t count, int64_t timeout = 20'000) {
    EXPECT_EQ(moert_group_create_local(count, timeout, &group), MOERT_SUCCESS)
        << moert_last_error(nullptr);
    tokens.assign(size_t(count), 0);
    for (int32_t rank = 0; rank < count; ++rank) {
      contexts.push_back(makeContext(1, rank, count));
      EXPECT_EQ(moert_context_join(contexts.back().get(), group), MOERT_SUCCESS)
          << moert_last_error(contexts.back().get());
    }
  }
  ~LocalRanks() { moert_group_destroy(group); }

  moert_group *group = nullptr;
};

const std::vector<moert_status> bothSucceed(2, MOERT_SUCCESS);

TEST(GroupTest, GathersDifferentRows) {
  LocalRanks ranks(3);
  Program program({MOERT_ALL_GATHER}, f32, 1, 1, 3);
  std::vector<std::vector<float>> send = {{0, 1}, {}, {2, 3, 4, 5}};
  std::vector<std::vector<float>> receive(3, std::vector<float>(6));
  for (int i = 0; i < 50; ++i) {
    for (auto &rows : receive)
      rows.assign(6, -1);
    EXPECT_EQ(ranks.run(program,
                        [&](const moert_call &call, int32_t rank) {
                          enqueue(call, 0, send[rank], receive[rank]);
                        }),
              std::vector<moert_status>(3, MOERT_SUCCESS));
    for (const auto &rows : receive)
      EXPECT_EQ(rows, (std::vector<float>{0, 1, 2, 3, 4, 5}));
  }
}

TEST(GroupTest, SumsAndScatters) {
  LocalRanks ranks(2);
  Program program({MOERT_REDUCE_SCATTER, MOERT_ALL_REDUCE}, f32, 1, 1, 2);
  std::vector<std::vector<float>> send = {{1, 2, 3, 4, 5, 6},
                                          {10, 20, 30, 40, 50, 60}};
  std::vector<std::vector<float>> part = {std::vector<float>(2),
                                          std::vector<float>(4)};
  std::vector<std::vector<float>> sum(2, std::vector<float>(6));
  EXPECT_EQ(ranks.run(program,
                      [&](const moert_call &call, int32_t rank) {
                        enqueue(call, 0, send[rank], part[rank]);
                        enqueue(call, 1, send[rank], sum[rank]);
                      }),
            bothSucceed);
  EXPECT_EQ(part[0], (std::vector<float>{11, 22}));
  EXPECT_EQ(part[1], (std::vector<float>{33, 44, 55, 66}));
  for (const auto &rows : sum)
    EXPECT_EQ(rows, (std::vector<float>{11, 22, 33, 44, 55, 66}));
}

// 1 + 2^-9 + 2^-9: each summand alone would be rounded away.
TEST(GroupTest, SumsInFloat32) {
  LocalRanks ranks(3);
  Program program({MOERT_ALL_REDUCE}, bf16, 3, 1, 1, "tp");
  std::vector<std::vector<uint16_t>> send = {
      {0x3f80, 0}, {0x3b80, 0}, {0x3b80, 0}};
  std::vector<std::vector<uint16_t>> sum(3, std::vector<uint16_t>(2));
  ranks.run(program, [&](const moert_call &call, int32_t rank) {
    enqueue(call, 0, send[rank], sum[rank]);
  });
  for (const auto &rows : sum)
    EXPECT_EQ(rows[0], 0x3f81);
}

TEST(GroupTest, SendsByCountsAndInBlocks) {
  LocalRanks ranks(2);
  Program counted({MOERT_ALL_TO_ALL}, i32, 1, 1, 2);
  counted.collectives[0].flags = MOERT_COLLECTIVE_COUNTS;
  std::vector<std::vector<int32_t>> send = {{1, 1, 2, 2, 3, 3, 0, 0},
                                            {4, 4, 0, 0}};
  std::vector<std::vector<int32_t>> receive(2, std::vector<int32_t>(8, -1));
  int32_t sends[2][2] = {{1, 2}, {0, 1}}, receives[2][2] = {{1, 0}, {2, 1}};
  EXPECT_EQ(ranks.run(counted,
                      [&](const moert_call &call, int32_t rank) {
                        enqueue(call, 0, send[rank], receive[rank], sends[rank],
                                receives[rank]);
                      }),
            bothSucceed);
  EXPECT_EQ(receive[0], (std::vector<int32_t>{1, 1, -1, -1, -1, -1, -1, -1}));
  EXPECT_EQ(receive[1], (std::vector<int32_t>{2, 2, 3, 3, 4, 4, -1, -1}));

  Program blocks({MOERT_ALL_TO_ALL}, i32, 1, 1, 2);
  const int64_t rows[2] = {1, 2};
  blocks.collectives[0].blocks = rows;
  send = {{1, 1, 2, 2, 3, 3}, {4, 4, 5, 5, 6, 6}};
  receive = {std::vector<int32_t>(4), std::vector<int32_t>(8)};
  EXPECT_EQ(ranks.run(blocks,
                      [&](const moert_call &call, int32_t rank) {
                        enqueue(call, 0, send[rank], receive[rank]);
                      }),
            bothSucceed);
  EXPECT_EQ(receive[0], (std::vector<int32_t>{1, 1, 4, 4}));
  EXPECT_EQ(receive[1], (std::vector<int32_t>{2, 2, 3, 3, 5, 5, 6, 6}));
}

// Rank = (dp * pcp_size + pcp) * tp_size + tp.
TEST(GroupTest, FlattensRanks) {
  const std::pair<const char *, std::vector<std::vector<int>>> expected[] = {
      {"tp", {{0, 1}, {0, 1}, {2, 3}, {2, 3}, {4, 5}, {4, 5}, {6, 7}, {6, 7}}},
      {"pcp", {{0, 2}, {1, 3}, {0, 2}, {1, 3}, {4, 6}, {5, 7}, {4, 6}, {5, 7}}},
      {"dp", {{0, 4}, {1, 5}, {2, 6}, {3, 7}, {0, 4}, {1, 5}, {2, 6}, {3, 7}}}};
  LocalRanks ranks(8);
  // Programs stay where they are while contexts know them.
  std::deque<Program> programs;
  for (const auto &[name, members] : expected) {
    const Program &program = programs.emplace_back(
        std::vector<int32_t>{MOERT_ALL_GATHER}, i32, 2, 2, 2, name);
    std::vector<std::vector<int32_t>> receive(8, std::vector<int32_t>(4));
    std::vector<std::vector<int32_t>> send;
    for (int32_t rank = 0; rank < 8; ++rank)
      send.push_back({rank, rank});
    EXPECT_EQ(ranks.run(program,
                        [&](const moert_call &call, int32_t rank) {
                          enqueue(call, 0, send[rank], receive[rank]);
                        }),
              std::vector<moert_status>(8, MOERT_SUCCESS));
    for (int32_t rank = 0; rank < 8; ++rank) {
      EXPECT_EQ(receive[rank][0], members[rank][0]) << name << rank;
      EXPECT_EQ(receive[rank][2], members[rank][1]) << name << rank;
    }
  }
}

TEST(GroupTest, RefusesGroupsThatRanksDoNotFill) {
  LocalRanks ranks(2);
  Program program({MOERT_ALL_GATHER}, f32, 1, 1, 2);
  program.communicator.size = 3;
  std::vector<float> send(2), receive(4);
  EXPECT_EQ(
      ranks.run(program, [&](const moert_call &call,
                             int32_t) { enqueue(call, 0, send, receive); }),
      std::vector<moert_status>(2, MOERT_INVALID_ARGUMENT));
  EXPECT_EQ(ranks.error(0),
            "layer: communicator 'ep' has groups of 3 ranks 1 apart, expected "
            "groups that share out 2 ranks");
}

TEST(GroupTest, NamesTheRankThatDoesNotCome) {
  LocalRanks ranks(2, 100);
  Program program({MOERT_ALL_GATHER, MOERT_ALL_REDUCE}, f32, 1, 1, 2);
  std::vector<float> send(2), receive(4);
  int ran = 0;
  auto behind = [&](int64_t) { ++ran; };
  std::vector<moert_status> statuses =
      ranks.run(program, [&](const moert_call &call, int32_t rank) {
        if (rank == 1)
          return;
        enqueue(call, 0, send, receive);
        launch(call, MOERT_STREAM_COMPUTE, 1, behind);
      });
  EXPECT_EQ(statuses[0], MOERT_RANK_FAILED);
  EXPECT_EQ(ranks.error(0),
            "collective 'step' (all_gather, step 0 of 'layer') on communicator "
            "'ep': rank 0 has waited 100 ms for rank 1, which did not come");
  EXPECT_EQ(ran, 0);
  // The rank that comes too late learns why there is nobody.
  std::vector<float> late(4);
  statuses = ranks.run(program, [&](const moert_call &call, int32_t rank) {
    if (rank == 1)
      enqueue(call, 0, send, late);
  });
  EXPECT_EQ(statuses[1], MOERT_RANK_FAILED);
  EXPECT_EQ(ranks.error(1), ranks.error(0));
}

TEST(GroupTest, NoticesThatARankHasLeft) {
  LocalRanks ranks(2);
  Program program({MOERT_ALL_GATHER}, f32, 1, 1, 2);
  ranks.contexts[1].reset();
  std::vector<float> send(2), receive(4);
  std::vector<moert_status> statuses =
      ranks.run(program, [&](const moert_call &call, int32_t) {
        enqueue(call, 0, send, receive);
      });
  EXPECT_EQ(statuses[0], MOERT_RANK_FAILED);
  EXPECT_EQ(ranks.error(0),
            "collective 'step' (all_gather, step 0 of 'layer') on communicator "
            "'ep': rank 1 has left the group");
}

TEST(GroupTest, RefusesDifferentPrograms) {
  LocalRanks ranks(2);
  Program first({MOERT_ALL_GATHER, MOERT_ALL_REDUCE}, f32, 1, 1, 2, "ep", 0xa);
  Program second({MOERT_ALL_GATHER, MOERT_ALL_GATHER}, f32, 1, 1, 2, "ep", 0xb);
  std::vector<std::vector<float>> send(2, std::vector<float>(2)),
      receive(2, std::vector<float>(4));
  std::vector<moert_status> statuses = ranks.run(
      [&](int32_t rank) -> const Program & { return rank ? second : first; },
      [&](const moert_call &call, int32_t rank) {
        enqueue(call, 0, send[rank], receive[rank]);
      });
  EXPECT_EQ(statuses, std::vector<moert_status>(2, MOERT_RANK_FAILED));
  // Whichever of the two notices first says so, and both hear it.
  EXPECT_EQ(ranks.error(0), ranks.error(1));
  std::string error = ranks.error(0);
  EXPECT_NE(error.find("another program"), std::string::npos) << error;
  EXPECT_NE(error.find("000000000000000a"), std::string::npos) << error;
  EXPECT_NE(error.find("000000000000000b"), std::string::npos) << error;
  EXPECT_NE(error.find("its step 1 is all_"), std::string::npos) << error;
}

TEST(GroupTest, RefusesDifferentRows) {
  LocalRanks ranks(2);
  Program program({MOERT_ALL_GATHER}, f32, 1, 1, 2);
  std::vector<std::vector<float>> send = {std::vector<float>(2),
                                          std::vector<float>(6)};
  std::vector<std::vector<float>> receive(2, std::vector<float>(4));
  std::vector<moert_status> statuses =
      ranks.run(program, [&](const moert_call &call, int32_t rank) {
        enqueue(call, 0, send[rank], receive[rank]);
      });
  EXPECT_EQ(statuses, std::vector<moert_status>(2, MOERT_RANK_FAILED));
  EXPECT_NE(ranks.error(0).find("expected 2 rows of all ranks, as its "
                                "tokens_per_rank says, but they have 1 of rank "
                                "0, 3 of rank 1"),
            std::string::npos)
      << ranks.error(0);
}

// Who finds a fault and goes must not take along what others still read.
TEST(GroupTest, StaysUntilOthersHaveRead) {
  constexpr size_t many = 1 << 20;
  for (int i = 0; i < 5; ++i) {
    LocalRanks ranks(3);
    Program program({MOERT_ALL_GATHER}, f32, 1, 1, 3);
    std::vector<std::vector<float>> send(3, std::vector<float>(many));
    std::vector<std::vector<float>> receive(3, std::vector<float>(3 * many));
    receive[2].resize(2);
    std::vector<moert_status> statuses =
        ranks.run([&](int32_t) -> const Program & { return program; },
                  [&](const moert_call &call, int32_t rank) {
                    enqueue(call, 0, send[rank], receive[rank]);
                  },
                  [&](int32_t rank) {
                    std::vector<float>().swap(send[rank]);
                    std::vector<float>().swap(receive[rank]);
                  });
    EXPECT_EQ(statuses, std::vector<moert_status>(3, MOERT_RANK_FAILED));
    EXPECT_NE(ranks.error(0).find("rank 2 expected 1 rows of all ranks"),
              std::string::npos)
        << ranks.error(0);
  }
}

TEST(GroupTest, RefusesWrongGroups) {
  moert_group *group = nullptr;
  EXPECT_EQ(moert_group_create_local(0, 0, &group), MOERT_INVALID_ARGUMENT);
  EXPECT_STREQ(moert_last_error(nullptr),
               "num_ranks is 0, expected 1 to 65536");
  ASSERT_EQ(moert_group_create_local(2, 0, &group), MOERT_SUCCESS);
  ContextPointer one = makeContext(1), zero = makeContext(1, 0, 2),
                 again = makeContext(1, 0, 2);
  EXPECT_EQ(moert_context_join(one.get(), group), MOERT_INVALID_ARGUMENT);
  EXPECT_STREQ(moert_last_error(one.get()),
               "the group has 2 ranks, expected 1, as the context");
  EXPECT_EQ(moert_context_join(zero.get(), group), MOERT_SUCCESS);
  EXPECT_EQ(moert_context_join(zero.get(), group), MOERT_INVALID_ARGUMENT);
  EXPECT_EQ(moert_context_join(again.get(), group), MOERT_INVALID_ARGUMENT);
  EXPECT_STREQ(moert_last_error(again.get()), "rank 0 is in the group already");

  // A program of several ranks needs a group, and one of its size.
  Program program({MOERT_ALL_GATHER}, f32, 1, 1, 2);
  int64_t tokens[3] = {0, 0, 0};
  moert_call call = makeCall(again.get());
  call.tokens_per_rank = tokens;
  EXPECT_EQ(moert_call_begin(&call, &program.signature), MOERT_UNSUPPORTED);
  EXPECT_STREQ(moert_last_error(again.get()),
               "layer: exchanges data between 2 ranks, but the context has "
               "joined no group (moert_context_join)");
  Program three({MOERT_ALL_GATHER}, f32, 1, 1, 3);
  call = makeCall(zero.get());
  EXPECT_EQ(moert_call_begin(&call, &three.signature), MOERT_INVALID_ARGUMENT);
  EXPECT_STREQ(moert_last_error(zero.get()),
               "layer: the context has 2 ranks, expected 3");
  // Contexts keep what they need.
  moert_group_destroy(group);
}

} // namespace
