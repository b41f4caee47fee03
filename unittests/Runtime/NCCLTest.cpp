//===- NCCLTest.cpp - Collectives of GPUs, without one --------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "CUDAFixture.h"
#include "FakeNCCL.h"
#include "FreePort.h"
#include "GroupFixture.h"

#include "gmock/gmock.h"

#include <cstdio>
#include <thread>

using namespace moert::test;
using ::testing::AllOf;
using ::testing::Each;
using ::testing::HasSubstr;

namespace {

/// Found by its name, as the driver is.
FakeNCCL &fakeNCCL() {
  static FakeNCCL &nccl = []() -> FakeNCCL & {
    void *library = dlopen(FAKE_NCCL, RTLD_NOW | RTLD_LOCAL);
    EXPECT_NE(library, nullptr) << dlerror();
    auto get = reinterpret_cast<decltype(&moertFakeNCCL)>(
        dlsym(library, "moertFakeNCCL"));
    return *get();
  }();
  return nccl;
}

/// Ranks of a group of processes, all of them in this one.
class GPURanks : public Ranks {
public:
  explicit GPURanks(int32_t count, int64_t timeout = 20'000)
      : groups(size_t(count)), streams(size_t(count)) {
    fakeDriver().reset();
    fakeNCCL().calls.clear();
    fakeNCCL().sent.clear();
    fakeNCCL().fault.clear();
    tokens.assign(size_t(count), 0);
    contexts.resize(size_t(count));
    const std::string place = "127.0.0.1:" + std::to_string(findFreePort());
    forEach([&](int32_t rank) {
      moert_process_options process;
      moert_process_options_init(&process);
      process.rank = rank;
      process.num_ranks = count;
      process.timeout_ms = timeout;
      std::snprintf(process.rendezvous, sizeof(process.rendezvous), "%s",
                    place.c_str());
      ASSERT_EQ(moert_group_create_processes(&process, &groups[size_t(rank)]),
                MOERT_SUCCESS)
          << moert_last_error(nullptr);
      moert_context_options options;
      moert_context_options_init(&options);
      options.device_type = kDLCUDA;
      options.rank = rank;
      options.num_ranks = count;
      moert_context *context = nullptr;
      ASSERT_EQ(moert_context_create(&options, &context), MOERT_SUCCESS)
          << moert_last_error(nullptr);
      contexts[size_t(rank)].reset(context);
      ASSERT_EQ(moert_context_join(context, groups[size_t(rank)]),
                MOERT_SUCCESS)
          << moert_last_error(context);
      ASSERT_EQ(moert_stream_create(context, &streams[size_t(rank)]),
                MOERT_SUCCESS);
    });
  }
  ~GPURanks() {
    forEach([&](int32_t rank) { drop(rank); });
    EXPECT_EQ(fakeNCCL().numLive, 0) << "communicators were not given back";
    EXPECT_EQ(fakeDriver().numLive, 0) << "something was not given back";
  }

  template <typename Body> void forEach(Body body) {
    std::vector<std::thread> threads;
    for (size_t rank = 0; rank < contexts.size(); ++rank)
      threads.emplace_back([&, rank] { body(int32_t(rank)); });
    for (std::thread &thread : threads)
      thread.join();
  }

  /// Ends a rank.
  void drop(int32_t rank) {
    if (!contexts[size_t(rank)])
      return;
    moert_stream_destroy(contexts[size_t(rank)].get(), streams[size_t(rank)]);
    contexts[size_t(rank)].reset();
    moert_group_destroy(groups[size_t(rank)]);
  }

  std::vector<moert_group *> groups;
  std::vector<void *> streams;

private:
  int32_t deviceType() const override { return kDLCUDA; }
  void *streamOf(size_t rank) override { return streams[rank]; }
};

std::vector<moert_status> all(size_t count, moert_status status) {
  return std::vector<moert_status>(count, status);
}

void expectNoMisuse() { EXPECT_EQ(fakeNCCL().fault, ""); }

//===----------------------------------------------------------------------===//
// Rows
//===----------------------------------------------------------------------===//

TEST(NCCLTest, GathersRows) {
  GPURanks ranks(3);
  Program program({MOERT_ALL_GATHER}, f32, 1, 1, 3);
  std::vector<std::vector<float>> send = {{0, 1}, {}, {2, 3, 4, 5}};
  std::vector<std::vector<float>> receive(3);
  auto body = [&](const moert_call &call, int32_t rank) {
    enqueue(call, 0, send[size_t(rank)], receive[size_t(rank)]);
  };
  ranks.tokens = {1, 0, 2};
  receive.assign(3, std::vector<float>(6, -1));
  EXPECT_EQ(ranks.run(program, body), all(3, MOERT_SUCCESS)) << ranks.error(0);
  EXPECT_THAT(receive, Each(std::vector<float>{0, 1, 2, 3, 4, 5}));
  EXPECT_EQ(fakeNCCL().calls["Broadcast"], 6); // Nothing for the empty rank.

  send = {{0, 1}, {2, 3}, {4, 5}};
  ranks.tokens = {1, 1, 1};
  receive.assign(3, std::vector<float>(6, -1));
  EXPECT_EQ(ranks.run(program, body), all(3, MOERT_SUCCESS)) << ranks.error(0);
  EXPECT_THAT(receive, Each(std::vector<float>{0, 1, 2, 3, 4, 5}));
  EXPECT_EQ(fakeNCCL().calls["AllGather"], 3);

  send.assign(3, {});
  ranks.tokens = {0, 0, 0};
  receive.assign(3, {});
  EXPECT_EQ(ranks.run(program, body), all(3, MOERT_SUCCESS)) << ranks.error(0);
  EXPECT_EQ(fakeNCCL().calls["AllGather"], 3);
  expectNoMisuse();
}

// Of 3 and 1 tokens, the first halves are 2 and 1 rows, the second 1 and none.
TEST(NCCLTest, GathersAndScattersHalves) {
  GPURanks ranks(2);
  Program program({MOERT_ALL_GATHER, MOERT_REDUCE_SCATTER}, f32, 1, 1, 2);
  for (int32_t half : {0, 1}) {
    program.collectives[size_t(half)].part = half;
    program.collectives[size_t(half)].num_parts = 2;
  }
  ranks.tokens = {3, 1};
  std::vector<std::vector<float>> send = {{0, 1, 2, 3}, {4, 5}};
  std::vector<std::vector<float>> gathered(2, std::vector<float>(6, -1));
  std::vector<std::vector<float>> sums = {std::vector<float>(2), {}};
  EXPECT_EQ(ranks.run(program,
                      [&](const moert_call &call, int32_t rank) {
                        enqueue(call, 0, send[size_t(rank)],
                                gathered[size_t(rank)]);
                        enqueue(call, 1, std::vector<float>{1, 10},
                                sums[size_t(rank)]);
                      }),
            all(2, MOERT_SUCCESS))
      << ranks.error(0);
  EXPECT_THAT(gathered, Each(std::vector<float>{0, 1, 2, 3, 4, 5}));
  EXPECT_EQ(sums[0], (std::vector<float>{2, 20}));
  expectNoMisuse();
}

TEST(NCCLTest, ScattersSums) {
  GPURanks ranks(2);
  Program program({MOERT_REDUCE_SCATTER}, f32, 1, 1, 2);
  std::vector<std::vector<float>> send = {{1, 2, 3, 4, 5, 6},
                                          {10, 20, 30, 40, 50, 60}};
  std::vector<std::vector<float>> receive = {std::vector<float>(2),
                                             std::vector<float>(4)};
  auto body = [&](const moert_call &call, int32_t rank) {
    enqueue(call, 0, send[size_t(rank)], receive[size_t(rank)]);
  };
  ranks.tokens = {1, 2};
  EXPECT_EQ(ranks.run(program, body), all(2, MOERT_SUCCESS)) << ranks.error(0);
  EXPECT_EQ(receive[0], (std::vector<float>{11, 22}));
  EXPECT_EQ(receive[1], (std::vector<float>{33, 44, 55, 66}));

  send = {{1, 2, 3, 4}, {10, 20, 30, 40}};
  receive.assign(2, std::vector<float>(2));
  ranks.tokens = {1, 1};
  EXPECT_EQ(ranks.run(program, body), all(2, MOERT_SUCCESS)) << ranks.error(0);
  EXPECT_EQ(receive[0], (std::vector<float>{11, 22}));
  EXPECT_EQ(receive[1], (std::vector<float>{33, 44}));
  EXPECT_EQ(fakeNCCL().calls["ReduceScatter"], 2);
  expectNoMisuse();
}

TEST(NCCLTest, SumsOverRanksOfASmallerCommunicator) {
  GPURanks ranks(4);
  // Ranks 0 and 1, and 2 and 3; then 0 and 2, and 1 and 3.
  for (const char *name : {"tp", "dp"}) {
    Program program({MOERT_ALL_REDUCE, MOERT_ALL_REDUCE}, f32, 2, 1, 2, name,
                    /*hash=*/uint64_t(name[0]));
    std::vector<std::vector<float>> receive(4, std::vector<float>(2));
    EXPECT_EQ(ranks.run(program,
                        [&](const moert_call &call, int32_t rank) {
                          std::vector<float> send = {float(1 << rank), 0};
                          for (int32_t step : {0, 1})
                            enqueue(call, step, send, receive[size_t(rank)]);
                        }),
              all(4, MOERT_SUCCESS))
        << ranks.error(0);
    const bool isTp = name[0] == 't';
    for (int rank = 0; rank < 4; ++rank)
      EXPECT_EQ(receive[size_t(rank)][0],
                isTp ? (rank < 2 ? 3 : 12) : (rank % 2 ? 10 : 5))
          << name << " " << rank;
  }
  expectNoMisuse();
}

TEST(NCCLTest, SendsBlocksByCounts) {
  GPURanks ranks(3);
  Program program({MOERT_ALL_TO_ALL, MOERT_ALL_TO_ALL}, f32, 1, 1, 3);
  for (moert_collective &collective : program.collectives)
    collective.flags = MOERT_COLLECTIVE_COUNTS;
  // Rank i sends to each rank what its row says.
  const std::vector<std::vector<int32_t>> counts = {
      {1, 0, 2}, {0, 0, 0}, {3, 1, 0}};
  std::vector<std::vector<float>> there(3), back(3);
  EXPECT_EQ(ranks.run(program,
                      [&](const moert_call &call, int32_t rank) {
                        const size_t me = size_t(rank);
                        std::vector<int32_t> sent = counts[me], received;
                        std::vector<float> send;
                        for (int32_t to = 0; to < 3; ++to) {
                          received.push_back(counts[size_t(to)][me]);
                          for (int i = 0; i < sent[size_t(to)]; ++i)
                            send.insert(send.end(), {float(rank), float(to)});
                        }
                        send.resize(20, -7); // More room than rows.
                        there[me].assign(20, -1);
                        back[me].assign(20, -1);
                        enqueue(call, 0, send, there[me], sent.data(),
                                received.data());
                        // Back with the same counts, which are read no more.
                        std::vector<float> returned = there[me];
                        enqueue(call, 1, returned, back[me], received.data(),
                                sent.data());
                      }),
            all(3, MOERT_SUCCESS))
      << ranks.error(0);
  const auto filled = [](std::vector<float> values) {
    values.resize(20, -1);
    return values;
  };
  EXPECT_EQ(there[0], filled({0, 0, 2, 0, 2, 0, 2, 0}));
  EXPECT_EQ(there[1], filled({2, 1}));
  EXPECT_EQ(there[2], filled({0, 2, 0, 2}));
  EXPECT_EQ(back[0], filled({0, 0, 0, 2, 0, 2}));
  EXPECT_EQ(back[1], filled({}));
  EXPECT_EQ(back[2], filled({2, 0, 2, 0, 2, 0, 2, 1}));
  EXPECT_EQ(fakeNCCL().sent["2>0"], 3 * 8u + 2 * 8u);
  EXPECT_EQ(fakeDriver().calls["cuMemcpyDtoHAsync"], 6); // Once on each rank.
  expectNoMisuse();
}

TEST(NCCLTest, SendsBlocksOfFixedSize) {
  GPURanks ranks(2);
  Program program({MOERT_ALL_TO_ALL, MOERT_ALL_TO_ALL}, f32, 1, 1, 2);
  const int64_t blocks[] = {2, 1};
  for (moert_collective &collective : program.collectives)
    collective.blocks = blocks;
  program.collectives[1].flags = MOERT_COLLECTIVE_BLOCKS_BY_SOURCE;
  std::vector<std::vector<float>> there = {std::vector<float>(8),
                                           std::vector<float>(4)};
  std::vector<std::vector<float>> back(2, std::vector<float>(6));
  EXPECT_EQ(
      ranks.run(program,
                [&](const moert_call &call, int32_t rank) {
                  const float r = float(10 * rank);
                  std::vector<float> send = {r, r, r + 1, r + 1, r + 2, r + 2};
                  enqueue(call, 0, send, there[size_t(rank)]);
                  enqueue(call, 1, there[size_t(rank)], back[size_t(rank)]);
                }),
      all(2, MOERT_SUCCESS))
      << ranks.error(0);
  EXPECT_EQ(there[0], (std::vector<float>{0, 0, 1, 1, 10, 10, 11, 11}));
  EXPECT_EQ(there[1], (std::vector<float>{2, 2, 12, 12}));
  EXPECT_EQ(back[0], (std::vector<float>{0, 0, 1, 1, 2, 2}));
  EXPECT_EQ(back[1], (std::vector<float>{10, 10, 11, 11, 12, 12}));
  EXPECT_EQ(fakeDriver().calls["cuMemcpyDtoHAsync"], 0);
  expectNoMisuse();
}

TEST(NCCLTest, HandsHostValuesOver) {
  GPURanks ranks(3);
  ranks.forEach([&](int32_t rank) {
    const int64_t mine = 10 + rank;
    int64_t values[3] = {};
    EXPECT_EQ(moert_context_all_gather(ranks.contexts[size_t(rank)].get(),
                                       &mine, sizeof(mine), values),
              MOERT_SUCCESS)
        << ranks.error(size_t(rank));
    EXPECT_THAT(values, ::testing::ElementsAre(10, 11, 12));
  });
}

//===----------------------------------------------------------------------===//
// What ends in an error, on all ranks
//===----------------------------------------------------------------------===//

TEST(NCCLTest, RefusesDifferentPrograms) {
  GPURanks ranks(2);
  Program first({MOERT_ALL_GATHER, MOERT_ALL_REDUCE}, f32, 1, 1, 2, "ep", 17);
  Program second({MOERT_ALL_GATHER, MOERT_ALL_GATHER}, f32, 1, 1, 2, "ep", 18);
  std::vector<float> rows(2);
  ranks.tokens = {1, 1};
  EXPECT_EQ(ranks.run([&](int32_t rank)
                          -> const Program & { return rank ? second : first; },
                      [&](const moert_call &call, int32_t) {
                        std::vector<float> receive(4);
                        enqueue(call, 0, rows, receive);
                      }),
            all(2, MOERT_RANK_FAILED));
  for (size_t rank : {0, 1})
    EXPECT_EQ(ranks.error(rank),
              "layer: rank 1 runs another program than rank 0 (their "
              "collectives hash to 0000000000000012 and 0000000000000011): its "
              "step 1 is all_gather of rows of 2 float32 on 'ep', expected "
              "all_reduce of rows of 2 float32 on 'ep'");
  EXPECT_EQ(fakeNCCL().calls["AllGather"], 0);
}

TEST(NCCLTest, EndsWithoutARankThatDoesNotCome) {
  GPURanks ranks(3, /*timeout=*/1000);
  Program program({MOERT_ALL_GATHER, MOERT_ALL_GATHER}, f32, 1, 1, 3);
  ranks.tokens = {1, 1, 1};
  std::vector<moert_status> statuses =
      ranks.run(program, [&](const moert_call &call, int32_t rank) {
        std::vector<float> rows(2), receive(6);
        enqueue(call, 0, rows, receive);
        if (rank != 1)
          enqueue(call, 1, rows, receive);
      });
  EXPECT_EQ(statuses[0], MOERT_RANK_FAILED);
  EXPECT_EQ(statuses[2], MOERT_RANK_FAILED);
  for (size_t rank : {0, 2})
    EXPECT_THAT(ranks.error(rank),
                AllOf(HasSubstr("'step' (all_gather, step 1 of 'layer') on "
                                "communicator 'ep': rank "),
                      HasSubstr("has waited 1000 ms for rank 1, which did not "
                                "come")));
  // Nothing more is of use.
  EXPECT_EQ(ranks.run(program,
                      [&](const moert_call &call, int32_t) {
                        std::vector<float> rows(2), receive(6);
                        enqueue(call, 0, rows, receive);
                      }),
            all(3, MOERT_RANK_FAILED));
  // Whoever watches a rank aborts its communicator, a moment later perhaps.
  auto countAborts = [] {
    std::lock_guard<std::mutex> lock(fakeNCCL().mutex);
    return fakeNCCL().calls["Abort"];
  };
  for (int i = 0; i < 500 && countAborts() < 3; ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  EXPECT_EQ(countAborts(), 3);
}

TEST(NCCLTest, EndsWithOtherTokensThanTheRestExpects) {
  GPURanks ranks(2);
  Program program({MOERT_ALL_GATHER}, f32, 1, 1, 2);
  ranks.tokens = {1, 1};
  EXPECT_EQ(ranks.run(program,
                      [&](const moert_call &call, int32_t rank) {
                        std::vector<float> rows(rank ? 4 : 2), receive(4);
                        enqueue(call, 0, rows, receive);
                      }),
            all(2, MOERT_RANK_FAILED));
  for (size_t rank : {0, 1})
    EXPECT_THAT(ranks.error(rank), HasSubstr("rank 1 has to send 2 rows, "
                                             "expected 1"));
}

TEST(NCCLTest, NamesARankThatHasLeft) {
  GPURanks ranks(3);
  Program program({MOERT_ALL_GATHER}, f32, 1, 1, 3);
  ranks.tokens = {1, 1, 1};
  auto body = [&](const moert_call &call, int32_t) {
    std::vector<float> rows(2), receive(6);
    enqueue(call, 0, rows, receive);
  };
  EXPECT_EQ(ranks.run(program, body), all(3, MOERT_SUCCESS)) << ranks.error(0);
  ranks.drop(2);
  std::vector<moert_status> statuses = ranks.run(program, body);
  EXPECT_EQ(statuses[0], MOERT_RANK_FAILED);
  EXPECT_THAT(ranks.error(0), HasSubstr("'step' (all_gather, step 0 of "
                                        "'layer') on communicator 'ep': rank 2 "
                                        "has left the group"));
}

TEST(NCCLTest, CapturesWhatTheHostNeedNotKnow) {
  GPURanks ranks(2);
  Program program({MOERT_ALL_GATHER, MOERT_ALL_TO_ALL}, f32, 1, 1, 2);
  program.collectives[1].flags = MOERT_COLLECTIVE_COUNTS;
  ranks.tokens = {1, 1};
  std::vector<float> rows(2);
  std::vector<std::vector<float>> receive(2, std::vector<float>(4));
  auto gather = [&](const moert_call &call, int32_t rank) {
    enqueue(call, 0, rows, receive[size_t(rank)]);
  };
  auto capture = [&](auto body, moert_status expected) {
    std::vector<moert_status> statuses(2);
    ranks.forEach([&](int32_t rank) {
      moert_context *context = ranks.contexts[size_t(rank)].get();
      void *stream = ranks.streams[size_t(rank)];
      RankCall given(program, kDLCUDA, context, stream, ranks.tokens,
                     size_t(rank));
      moert_call &call = given.call;
      EXPECT_EQ(moert_capture_begin(context, stream), MOERT_SUCCESS);
      EXPECT_EQ(given.begin(), MOERT_SUCCESS);
      moert_stream_wait(&call, MOERT_STREAM_COMM,
                        moert_event_record(&call, MOERT_STREAM_COMPUTE));
      body(call, rank);
      statuses[size_t(rank)] = moert_call_end(&call);
      moert_graph *graph = nullptr;
      moert_capture_end(context, stream, &graph);
      moert_graph_destroy(context, graph);
    });
    EXPECT_EQ(statuses, all(2, expected)) << ranks.error(0);
  };
  capture(gather, MOERT_UNSUPPORTED);
  EXPECT_THAT(ranks.error(0), HasSubstr("its first call is being captured"));
  EXPECT_EQ(ranks.run(program, gather), all(2, MOERT_SUCCESS));
  capture(gather, MOERT_SUCCESS);
  capture(
      [&](const moert_call &call, int32_t rank) {
        const int32_t counts[2] = {0, 1};
        enqueue(call, 1, rows, receive[size_t(rank)], counts, counts + rank);
      },
      MOERT_UNSUPPORTED);
}

TEST(NCCLTest, GoesOnWithoutALostRank) {
  GPURanks ranks(3);
  Program program({MOERT_ALL_TO_ALL, MOERT_ALL_GATHER}, f32, 1, 1, 3);
  ranks.tokens = {1, 1, 1};
  std::vector<std::vector<float>> blocks(3), gathered(3);
  auto body = [&](const moert_call &call, int32_t rank) {
    std::vector<float> send(6, float(rank + 1)), row(2, float(rank + 1));
    enqueue(call, 0, send, blocks[size_t(rank)]);
    enqueue(call, 1, row, gathered[size_t(rank)]);
  };
  blocks.assign(3, std::vector<float>(6, -1));
  gathered.assign(3, std::vector<float>(6, -1));
  EXPECT_EQ(ranks.run(program, body), all(3, MOERT_SUCCESS)) << ranks.error(0);
  EXPECT_THAT(blocks, Each(std::vector<float>{1, 1, 2, 2, 3, 3}));

  ranks.drop(1);
  EXPECT_EQ(ranks.run(program, body)[0], MOERT_RANK_FAILED);
  for (int32_t rank : {0, 2})
    EXPECT_EQ(moert_context_synchronize(ranks.contexts[size_t(rank)].get()),
              MOERT_RANK_FAILED);
  ranks.forEach([&](int32_t rank) {
    if (rank == 1)
      return;
    uint8_t isMember[3] = {7, 7, 7};
    EXPECT_EQ(
        moert_context_shrink(ranks.contexts[size_t(rank)].get(), isMember),
        MOERT_SUCCESS)
        << ranks.error(size_t(rank));
    EXPECT_THAT(isMember, ::testing::ElementsAre(1, 0, 1));
  });
  // Blocks of the lost rank read as zeros, and it has no tokens.
  ranks.tokens = {1, 0, 1};
  blocks.assign(3, std::vector<float>(6, -1));
  gathered.assign(3, std::vector<float>(4, -1));
  std::vector<moert_status> statuses = ranks.run(program, body);
  for (size_t rank : {0, 2}) {
    EXPECT_EQ(statuses[rank], MOERT_SUCCESS) << ranks.error(rank);
    EXPECT_EQ(blocks[rank], (std::vector<float>{1, 1, 0, 0, 3, 3}));
    EXPECT_EQ(gathered[rank], (std::vector<float>{1, 1, 3, 3}));
  }
  expectNoMisuse();
  ranks.tokens = {1, 1, 1};
  EXPECT_EQ(ranks.run(program, body)[0], MOERT_RANK_FAILED);
  EXPECT_THAT(ranks.error(0),
              HasSubstr("rank 1 is lost, expected no tokens there"));
}

} // namespace
