//===- TransferTest.cpp - Weights that change their rank ------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Support.h"

#include <functional>
#include <random>
#include <string>
#include <vector>

using namespace moert::test;

namespace {

/// Contexts that have joined a group, each with memory of its own.
class Ranks {
public:
  explicit Ranks(int32_t count, int64_t timeout = 20'000) {
    EXPECT_EQ(moert_group_create_local(count, timeout, &group), MOERT_SUCCESS);
    for (int32_t rank = 0; rank < count; ++rank) {
      contexts.push_back(makeContext(1, rank, count));
      EXPECT_EQ(moert_context_join(contexts.back().get(), group),
                MOERT_SUCCESS);
    }
  }
  ~Ranks() {
    contexts.clear();
    moert_group_destroy(group);
  }

  using Lists = std::function<std::vector<moert_transfer>(int32_t)>;

  /// Each rank enqueues its list on a thread of its own, then `after`, and
  /// waits. Returns the ranks' statuses.
  std::vector<moert_status> run(
      const Lists &listOf,
      const std::function<void(int32_t)> &after = [](int32_t) {}) {
    std::vector<moert_status> statuses(contexts.size(), MOERT_SUCCESS);
    std::vector<std::thread> threads;
    for (size_t rank = 0; rank < contexts.size(); ++rank)
      threads.emplace_back([&, rank] {
        if (!contexts[rank])
          return;
        {
          // The list goes before the transfers are done.
          std::vector<moert_transfer> list = listOf(int32_t(rank));
          statuses[rank] = moert_transfer_enqueue(
              contexts[rank].get(), nullptr, list.data(), int64_t(list.size()));
        }
        if (statuses[rank] != MOERT_SUCCESS)
          return;
        after(int32_t(rank));
        statuses[rank] = moert_context_synchronize(contexts[rank].get());
      });
    for (std::thread &thread : threads)
      thread.join();
    return statuses;
  }

  std::string error(size_t rank) {
    return moert_last_error(contexts[rank].get());
  }

  std::vector<ContextPointer> contexts;

private:
  moert_group *group = nullptr;
};

const std::vector<moert_status> allFailed(2, MOERT_RANK_FAILED);

} // namespace

// Slots change ranks at random, in a ring among them, and within ranks, round
// after round: received apart and copied over what was sent from there.
TEST(TransferTest, MovesSlots) {
  constexpr int32_t numRanks = 4, perRank = 3, numSlots = numRanks * perRank;
  constexpr size_t width = 1000;
  using Row = std::vector<int32_t>;
  std::vector<Row> slots(numSlots), staging(numSlots, Row(width));
  for (int32_t slot = 0; slot < numSlots; ++slot)
    slots[slot] = Row(width, slot);
  Ranks ranks(numRanks);
  std::mt19937 random(1);
  for (int round = 0; round < 20; ++round) {
    std::vector<int32_t> sources(numSlots);
    for (int32_t slot = 0; slot < numSlots; ++slot)
      sources[slot] = round == 0 ? (slot + perRank) % numSlots
                                 : int32_t(random() % numSlots);
    std::vector<int32_t> expected;
    for (int32_t source : sources)
      expected.push_back(slots[source][0]);
    std::vector<moert_status> statuses = ranks.run(
        [&](int32_t rank) {
          std::vector<moert_transfer> list;
          for (int32_t slot = 0; slot < numSlots; ++slot) {
            moert_transfer transfer = {};
            transfer.from_rank = sources[slot] / perRank;
            transfer.to_rank = slot / perRank;
            transfer.bytes = width * sizeof(int32_t);
            if (transfer.from_rank == rank)
              transfer.send = slots[sources[slot]].data();
            if (transfer.to_rank == rank)
              transfer.receive = staging[slot].data();
            list.push_back(transfer);
          }
          return list;
        },
        [&](int32_t rank) {
          for (int32_t slot = rank * perRank; slot < (rank + 1) * perRank;
               ++slot)
            EXPECT_EQ(moert_memory_copy(
                          ranks.contexts[rank].get(), nullptr,
                          slots[slot].data(), staging[slot].data(),
                          width * sizeof(int32_t), MOERT_COPY_ON_DEVICE),
                      MOERT_SUCCESS);
        });
    ASSERT_EQ(statuses, std::vector<moert_status>(numRanks, MOERT_SUCCESS));
    for (int32_t slot = 0; slot < numSlots; ++slot)
      ASSERT_EQ(slots[slot], Row(width, expected[slot])) << "slot " << slot;
  }
}

// Ranks without a part in the transfers come, and there may be none at all.
TEST(TransferTest, NobodyIsLeftOut) {
  Ranks ranks(3);
  int32_t sent = 7, received = 0;
  auto statuses = ranks.run([&](int32_t rank) -> std::vector<moert_transfer> {
    return {{0, 2, rank == 0 ? &sent : nullptr, rank == 2 ? &received : nullptr,
             sizeof(sent)}};
  });
  EXPECT_EQ(statuses, std::vector<moert_status>(3, MOERT_SUCCESS));
  EXPECT_EQ(received, 7);
  statuses = ranks.run([](int32_t) { return std::vector<moert_transfer>(); });
  EXPECT_EQ(statuses, std::vector<moert_status>(3, MOERT_SUCCESS));
}

TEST(TransferTest, RefusesDifferentLists) {
  char memory[2][64] = {};
  auto transfer = [&](int32_t rank, size_t bytes) {
    return moert_transfer{0, 1, rank == 0 ? memory[0] : nullptr,
                          rank == 1 ? memory[1] : nullptr, bytes};
  };
  {
    Ranks ranks(2);
    EXPECT_EQ(ranks.run([&](int32_t rank) -> std::vector<moert_transfer> {
      return {transfer(rank, 8), transfer(rank, 0)};
    }),
              std::vector<moert_status>(2, MOERT_SUCCESS));
    EXPECT_EQ(ranks.run([&](int32_t rank) {
      return std::vector<moert_transfer>(rank ? 0 : 1, transfer(rank, 8));
    }),
              allFailed);
    // Whichever of the two notices first says so, and both hear it.
    EXPECT_EQ(ranks.error(0), ranks.error(1));
    EXPECT_NE(ranks.error(0).find("collective 'transfer' ("),
              std::string::npos);
    EXPECT_NE(ranks.error(0).find(" transfers, expected "), std::string::npos)
        << ranks.error(0);
  }
  Ranks ranks(2);
  memory[0][0] = 5;
  memory[1][0] = 0;
  EXPECT_EQ(ranks.run([&](int32_t rank) -> std::vector<moert_transfer> {
    return {transfer(rank, rank ? 16 : 8)};
  }),
            allFailed);
  EXPECT_NE(ranks.error(0).find("transfer 0 of rank "), std::string::npos)
      << ranks.error(0);
  EXPECT_EQ(memory[1][0], 0);
}

TEST(TransferTest, GivesUpOnRanksThatDoNotCome) {
  Ranks ranks(2, 100);
  char byte = 0;
  moert_transfer transfer = {0, 1, &byte, nullptr, 1};
  moert_context *context = ranks.contexts[0].get();
  ASSERT_EQ(moert_transfer_enqueue(context, nullptr, &transfer, 1),
            MOERT_SUCCESS);
  EXPECT_EQ(moert_context_synchronize(context), MOERT_RANK_FAILED);
  EXPECT_EQ(ranks.error(0), "collective 'transfer' (1 blocks): rank 0 has "
                            "waited 100 ms for rank 1, which did not come");
  // The group is of no use any more.
  EXPECT_EQ(moert_transfer_enqueue(context, nullptr, &transfer, 1),
            MOERT_RANK_FAILED);
}

TEST(TransferTest, NoticesThatARankHasLeft) {
  Ranks ranks(2);
  ranks.contexts[1].reset();
  char byte = 0;
  EXPECT_EQ(ranks.run([&](int32_t) -> std::vector<moert_transfer> {
    return {{0, 1, &byte, nullptr, 1}};
  })[0],
            MOERT_RANK_FAILED);
  EXPECT_EQ(ranks.error(0),
            "collective 'transfer' (1 blocks): rank 1 has left the group");
}

TEST(TransferTest, RefusesWhatIsWrongAtOnce) {
  Ranks ranks(2);
  char memory[64] = {};
  moert_context *context = ranks.contexts[0].get();
  auto refuse = [&](std::vector<moert_transfer> list) {
    EXPECT_EQ(moert_transfer_enqueue(context, nullptr, list.data(),
                                     int64_t(list.size())),
              MOERT_INVALID_ARGUMENT);
    return ranks.error(0);
  };
  EXPECT_EQ(refuse({{0, 2, memory, nullptr, 1}}),
            "transfer 0 (1 bytes from rank 0 to rank 2) names rank 2, expected "
            "0 to 1");
  EXPECT_EQ(refuse({{1, 1, nullptr, nullptr, 9}, {0, 1, nullptr, memory, 8}}),
            "transfer 1 (8 bytes from rank 0 to rank 1) has null to send");
  EXPECT_EQ(
      refuse({{1, 0, memory, nullptr, 8}}),
      "transfer 0 (8 bytes from rank 1 to rank 0) has null to receive to");
  const std::string overlap =
      "transfers 0 and 1 overlap in memory of rank 0 where something is "
      "received";
  // A slot that is sent and overwritten, within one rank or not, and two that
  // come to one place.
  EXPECT_EQ(
      refuse({{0, 1, memory, nullptr, 8}, {1, 0, nullptr, memory + 7, 8}}),
      overlap);
  EXPECT_EQ(
      refuse({{1, 0, nullptr, memory, 8}, {1, 0, nullptr, memory + 4, 8}}),
      overlap);
  EXPECT_NE(refuse({{0, 0, memory, memory + 2, 8}}).find("overlap"),
            std::string::npos);
  EXPECT_EQ(moert_transfer_enqueue(context, nullptr, nullptr, 1),
            MOERT_INVALID_ARGUMENT);
  EXPECT_EQ(ranks.error(0),
            "there are 1 transfers in a list that is null, expected 0 or more");
  EXPECT_EQ(moert_transfer_enqueue(context, memory, nullptr, 0),
            MOERT_INVALID_ARGUMENT);
  EXPECT_EQ(ranks.error(0), "the stream is not null, expected null on the cpu");
  ContextPointer alone = makeContext(1);
  EXPECT_EQ(moert_transfer_enqueue(alone.get(), nullptr, nullptr, 0),
            MOERT_INVALID_ARGUMENT);
  EXPECT_STREQ(moert_last_error(alone.get()),
               "transfers need the other ranks, but the context has joined no "
               "group (moert_context_join)");
  // What is sent twice overlaps nothing that is received.
  EXPECT_EQ(ranks.run([&](int32_t rank) -> std::vector<moert_transfer> {
    return {{0, 1, rank ? nullptr : memory, rank ? memory + 16 : nullptr, 8},
            {0, 1, rank ? nullptr : memory, rank ? memory + 32 : nullptr, 8}};
  }),
            std::vector<moert_status>(2, MOERT_SUCCESS));
}
