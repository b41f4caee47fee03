//===- ExchangeStepKernelTest.cpp - What exchanges are made of ------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The kernels of the steps of an exchange on an emulated GPU, one by one,
// against plain loops. All that they give is exactly defined.
//
//===----------------------------------------------------------------------===//

#include "Choices.h"
#include "Emulated.h"

#include "gtest/gtest.h"

using namespace moe::codegen::cuda::test;

/// More experts than ranks, counts that do not divide, one rank.
static const Placement kPlacements[] = {
    {8, 4, false}, {61, 8, false}, {61, 8, true}, {5, 1, false}, {7, 7, true}};

TEST(ExpertMapKernelTest, EveryPlacementOnEveryRank) {
  for (const Placement &placement : kPlacements) {
    Tensor map(Element::I32, {placement.experts});
    Phase phase({{"map", map.type()}}, R"(
    %rank = schedule.rank : index
    schedule.run on(compute) { moe.expert_map of(%rank) )" +
                                           placement.text() +
                                           " outs(%map : !map) }");
    std::vector<Tensor> maps(placement.ranks, map);
    std::vector<std::vector<Tensor *>> arguments;
    for (Tensor &one : maps)
      arguments.push_back({&one});
    phase.runOnRanks(arguments);
    for (int64_t rank = 0; rank < placement.ranks; ++rank)
      expectValues(maps[rank], 0, [&](int64_t, int64_t expert) {
        return static_cast<double>(placement.numberOf(expert, rank));
      });
  }
}

static void testSendPlan(const Placement &placement, int64_t slots,
                         const std::vector<int64_t> &numsOfTokens) {
  SCOPED_TRACE(placement.text() + ", " + std::to_string(slots) + " slots");
  std::mt19937 random(placement.experts + slots);
  Phase plan({{"ids", matrix(slots, Element::I32)},
              {"counts", vector(placement.ranks)},
              {"rows", "memref<?xi32>"},
              {"positions", matrix(slots, Element::I32)}},
             "moe.send_plan ins(%ids : !ids) " + placement.text() +
                 " outs(%counts, %rows, %positions : !counts, !rows, "
                 "!positions)");
  for (int64_t tokens : numsOfTokens) {
    Tensor ids = choices(random, tokens, slots, placement.experts, true);
    Tensor counts(Element::I32, {placement.ranks});
    Tensor rows(Element::I32, {tokens * std::min(slots, placement.ranks)});
    Tensor positions(Element::I32, {tokens, slots});
    plan.run({&ids, &counts, &rows, &positions});
    std::vector<int64_t> expectedCounts, expectedRows;
    std::vector<int64_t> expectedPositions(tokens * slots, -1);
    for (int64_t rank = 0; rank < placement.ranks; ++rank) {
      size_t before = expectedRows.size();
      for (int64_t token = 0; token < tokens; ++token)
        for (int64_t slot = 0; slot < slots; ++slot)
          if (placement.numberOf(ids.get(token, slot), rank) >= 0) {
            expectedPositions[token * slots + slot] = expectedRows.size();
            expectedRows.push_back(token);
            break;
          }
      expectedCounts.push_back(expectedRows.size() - before);
    }
    expectedRows.resize(rows.size(), -1);
    expectNumbers(counts, expectedCounts);
    expectNumbers(rows, expectedRows);
    expectNumbers(positions, expectedPositions);
  }
}

TEST(SendPlanKernelTest, TokensGoOnceToEveryRank) {
  for (const Placement &placement : kPlacements)
    testSendPlan(placement, 3, {0, 1, 5, 33});
  testSendPlan({16, 4, false}, 1, {1, 40});
  // More pairs than one block sorts.
  testSendPlan({61, 8, true}, 8, {700});
}

static void testBatchedSendPlan(const Placement &placement, int64_t slots,
                                int64_t capacity,
                                const std::vector<int64_t> &numsOfTokens) {
  SCOPED_TRACE(placement.text() + ", " + std::to_string(slots) + " slots");
  std::mt19937 random(placement.experts + slots);
  int64_t numRows = placement.experts * capacity;
  Phase plan({{"ids", matrix(slots, Element::I32)},
              {"weights", matrix(slots, Element::F32)},
              {"counts", vector(placement.experts)},
              {"rows", vector(numRows)},
              {"row_weights", "memref<" + std::to_string(numRows) + "x1xf32>"},
              {"positions", matrix(slots, Element::I32)}},
             "moe.batched_send_plan ins(%ids, %weights : !ids, !weights) " +
                 placement.text() + " capacity(" + std::to_string(capacity) +
                 ") outs(%counts, %rows, %row_weights, %positions : !counts, "
                 "!rows, !row_weights, !positions)");
  for (int64_t tokens : numsOfTokens) {
    Tensor ids = choices(random, tokens, slots, placement.experts, true);
    Tensor weights = exactTensor(random, Element::F32, {tokens, slots});
    Tensor counts(Element::I32, {placement.experts});
    Tensor rows(Element::I32, {numRows});
    Tensor rowWeights(Element::F32, {numRows, 1});
    Tensor positions(Element::I32, {tokens, slots});
    plan.run({&ids, &weights, &counts, &rows, &rowWeights, &positions});
    std::vector<int64_t> expectedCounts, expectedRows(numRows, -1);
    std::vector<int64_t> expectedPositions(tokens * slots, -1);
    std::vector<double> expectedWeights(numRows, 0.0);
    int64_t first = 0; // Of an expert, in the order of ranks.
    for (int64_t rank = 0; rank < placement.ranks; ++rank)
      for (int64_t expert : placement.expertsOf(rank)) {
        int64_t row = first;
        for (int64_t token = 0; token < tokens; ++token) {
          bool isChosen = false;
          for (int64_t slot = 0; slot < slots; ++slot)
            if (ids.get(token, slot) == expert) {
              if (!isChosen)
                expectedPositions[token * slots + slot] = row;
              isChosen = true;
              expectedWeights[row] += weights.get(token, slot);
            }
          if (isChosen)
            expectedRows[row++] = token;
        }
        expectedCounts.push_back(row - first);
        first += capacity;
      }
    expectNumbers(counts, expectedCounts);
    expectNumbers(rows, expectedRows);
    expectNumbers(positions, expectedPositions);
    for (int64_t row = 0; row < numRows; ++row)
      if (expectedRows[row] >= 0) {
        ASSERT_EQ(rowWeights.get(row), expectedWeights[row]) << "row " << row;
      }
  }
}

TEST(BatchedSendPlanKernelTest, ExpertsHaveRoomForEveryToken) {
  for (const Placement &placement : kPlacements)
    testBatchedSendPlan(placement, 3, 33, {0, 1, 5, 33});
  testBatchedSendPlan({61, 8, true}, 8, 600, {600});
}

TEST(BatchedPlanKernelTest, RowsInUseBecomeAPlan) {
  struct Shape {
    int64_t ranks, experts, capacity;
  };
  for (auto [ranks, experts, room] :
       {Shape{4, 2, 16}, {3, 5, 100}, {1, 1, 1}, {8, 40, 7}}) {
    int64_t capacity = room;
    std::mt19937 random(experts);
    int64_t numRows = ranks * experts * capacity;
    Tensor counts(Element::I32, {ranks * experts}, [&](int64_t i) {
      return i % 3 == 1 ? 0.0 : static_cast<double>(random() % (capacity + 1));
    });
    Tensor offsets(Element::I32, {experts + 1}), rows(Element::I32, {numRows});
    Tensor pairs(Element::I32, {numRows, 1});
    Phase plan({{"counts", counts.type()},
                {"offsets", offsets.type()},
                {"rows", rows.type()},
                {"pairs", pairs.type()}},
               "moe.batched_plan ins(%counts : !counts) ranks(" +
                   std::to_string(ranks) + ") capacity(" +
                   std::to_string(capacity) +
                   ") outs(%offsets, %rows, %pairs : !offsets, !rows, !pairs)");
    plan.run({&counts, &offsets, &rows, &pairs});
    std::vector<int64_t> begins{0}, sorted, places(numRows, -1);
    for (int64_t expert = 0; expert < experts; ++expert) {
      for (int64_t rank = 0; rank < ranks; ++rank) {
        int64_t block = rank * experts + expert;
        for (int64_t i = 0; i < counts.get(block); ++i) {
          places[block * capacity + i] = sorted.size();
          sorted.push_back(block * capacity + i);
        }
      }
      begins.push_back(sorted.size());
    }
    sorted.resize(numRows, -1);
    expectNumbers(offsets, begins);
    expectNumbers(rows, sorted);
    expectNumbers(pairs, places);
  }
}

static void testGatherRows(Element element, int64_t columns) {
  Phase gather({{"from", matrix(columns, element)},
                {"rows", "memref<?xi32>"},
                {"to", matrix(columns, element)}},
               "moe.gather_rows ins(%from, %rows : !from, !rows) "
               "outs(%to : !to)");
  std::mt19937 random(columns);
  for (int64_t count : {0, 1, 5, 130}) {
    Tensor from = element == Element::I32
                      ? choices(random, 9, columns, 100)
                      : exactTensor(random, element, {9, columns});
    Tensor rows(Element::I32, {count}, [](int64_t i) {
      return i % 4 == 3 ? -1.0 : static_cast<double>(i * 5 % 9);
    });
    Tensor to(element, {count, columns});
    gather.run({&from, &rows, &to});
    for (int64_t i = 0; i < to.size(); ++i) {
      int64_t row = rows.get(i / columns);
      ASSERT_EQ(to.isSet(i), row >= 0) << "element " << i;
      if (row >= 0) {
        ASSERT_EQ(to.get(i), from.get(row, i % columns)) << "element " << i;
      }
    }
  }
}

TEST(GatherRowsKernelTest, EveryElementTypeAndOddSizes) {
  testGatherRows(Element::F32, 3);
  testGatherRows(Element::I32, 8);
  testGatherRows(Element::BF16, 2056);
  testGatherRows(Element::F16, 129);
}

TEST(ClearIdsKernelTest, LeavesNoExpert) {
  Phase clear({{"ids", matrix(3, Element::I32)}},
              "moe.clear_ids outs(%ids : !ids)");
  for (int64_t rows : {0, 1, 700}) {
    Tensor ids(Element::I32, {rows, 3});
    clear.run({&ids});
    expectNumbers(ids, std::vector<int64_t>(rows * 3, -1));
  }
}
