//===- LoadBalanceTest.cpp - Placement of replicas by load ----------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moe-mlir/Policy/LoadBalance.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <gtest/gtest.h>
#include <random>
#include <set>

using namespace moe::policy;

/// The initial placement of so many experts in so many slots.
static Placement startAt(int64_t numExperts, int64_t numSlots) {
  return getInitialEplbMaps(numExperts, numSlots - numExperts)
      .physicalToLogical;
}

static Placement balance(const BalanceInput &input) {
  std::string error;
  std::optional<Placement> placement = balanceExperts(input, error);
  EXPECT_TRUE(placement.has_value()) << error;
  return placement.value_or(input.current);
}

static double getLargest(const Placement &placement,
                         const std::vector<double> &loads, int64_t numRanks) {
  std::vector<double> rankLoads = getRankLoads(placement, loads, numRanks);
  return *std::max_element(rankLoads.begin(), rankLoads.end());
}

static std::vector<double> randomLoads(std::mt19937 &random,
                                       int64_t numExperts) {
  std::vector<double> loads(numExperts);
  for (double &load : loads)
    load = double(random() % 100);
  return loads;
}

static std::vector<double> zipfLoads(int64_t numExperts, double exponent) {
  std::vector<double> loads(numExperts);
  // Which expert is how popular has nothing to do with its number.
  for (int64_t i = 0; i < numExperts; ++i)
    loads[(i * 7 + 3) % numExperts] =
        std::round(1e6 * std::pow(double(i + 1), -exponent));
  return loads;
}

//===----------------------------------------------------------------------===//
// Against brute force
//===----------------------------------------------------------------------===//

/// The smallest load of the most loaded rank that any placement has.
static double findOptimum(const std::vector<double> &loads, int64_t numSlots,
                          int64_t numRanks) {
  const int64_t numExperts = loads.size(), perRank = numSlots / numRanks;
  Placement placement(numSlots, 0);
  double best = INFINITY;
  while (true) {
    // Slots of a rank are alike, so sorted ones stand for all.
    bool isSorted = true;
    for (int64_t slot = 0; slot + 1 < numSlots; ++slot)
      isSorted &=
          (slot + 1) % perRank == 0 || placement[slot] <= placement[slot + 1];
    if (isSorted &&
        std::set<int64_t>(placement.begin(), placement.end()).size() ==
            size_t(numExperts))
      best = std::min(best, getLargest(placement, loads, numRanks));
    int64_t slot = 0;
    while (slot < numSlots && ++placement[slot] == numExperts)
      placement[slot++] = 0;
    if (slot == numSlots)
      return best;
  }
}

// The most loaded rank has at most 3/2 of the load that the best of all
// placements leaves to its most loaded rank: what is greedy about the numbers
// of replicas costs that much where ranks have two or three slots.
TEST(LoadBalance, IsCloseToTheOptimum) {
  struct Case {
    int64_t numExperts, numSlots, numRanks;
  };
  const Case cases[] = {{2, 4, 2}, {2, 6, 3}, {3, 4, 2}, {3, 6, 2}, {3, 6, 3},
                        {4, 4, 2}, {4, 6, 2}, {4, 6, 3}, {4, 8, 2}, {4, 8, 4},
                        {5, 6, 2}, {5, 6, 3}, {6, 6, 2}, {6, 6, 3}};
  std::mt19937 random(1);
  double worst = 1;
  int64_t numOptimal = 0, numCases = 0;
  for (const Case &c : cases)
    for (int i = 0; i < 12; ++i) {
      const std::vector<double> loads = randomLoads(random, c.numExperts);
      const double optimum = findOptimum(loads, c.numSlots, c.numRanks);
      const Placement placement =
          balance({loads, startAt(c.numExperts, c.numSlots), c.numRanks, 1, 1});
      const double largest = getLargest(placement, loads, c.numRanks);
      ASSERT_GE(largest, optimum * (1 - 1e-12));
      ASSERT_LE(largest, optimum * 1.5)
          << c.numExperts << " experts, " << c.numSlots << " slots, "
          << c.numRanks << " ranks, case " << i;
      worst = std::max(worst, largest / optimum);
      numOptimal += largest <= optimum * (1 + 1e-12);
      ++numCases;
    }
  EXPECT_GE(3 * numOptimal, 2 * numCases);
  std::printf("worst %.3f of the optimum, optimal in %lld of %lld cases\n",
              worst, static_cast<long long>(numOptimal),
              static_cast<long long>(numCases));
}

// Without replicas and with two experts for each rank the heaviest meets the
// lightest, and with one expert for each rank nothing can be chosen.
TEST(LoadBalance, IsOptimalForPairs) {
  std::mt19937 random(2);
  for (int i = 0; i < 20; ++i)
    for (auto [numSlots, numRanks] :
         {std::pair(4, 2), {6, 3}, {4, 4}, {6, 6}}) {
      const std::vector<double> loads = randomLoads(random, numSlots);
      const Placement placement =
          balance({loads, startAt(numSlots, numSlots), numRanks, 1, 1});
      ASSERT_EQ(getLargest(placement, loads, numRanks),
                findOptimum(loads, numSlots, numRanks));
    }
}

/// The smallest largest load per replica that any counts of replicas leave.
static double findBestShare(const std::vector<double> &loads, size_t expert,
                            int64_t numSlots) {
  if (expert == loads.size())
    return numSlots == 0 ? 0 : INFINITY;
  double best = INFINITY;
  for (int64_t count = 1; count <= numSlots; ++count)
    best = std::min(
        best, std::max(loads[expert] / double(count),
                       findBestShare(loads, expert + 1, numSlots - count)));
  return best;
}

// With one slot for each rank the load of a rank is that of a replica, and
// giving replicas to the largest load per replica is optimal.
TEST(LoadBalance, ReplicasAreOptimal) {
  std::mt19937 random(3);
  for (int i = 0; i < 50; ++i)
    for (auto [numExperts, numSlots] : {std::pair(2, 5), {3, 8}, {4, 9}}) {
      const std::vector<double> loads = randomLoads(random, numExperts);
      const Placement placement =
          balance({loads, startAt(numExperts, numSlots), numSlots, 1, 1});
      ASSERT_EQ(getLargest(placement, loads, numSlots),
                findBestShare(loads, 0, numSlots));
    }
}

//===----------------------------------------------------------------------===//
// Properties
//===----------------------------------------------------------------------===//

static int64_t countMoves(const Placement &before, const Placement &after) {
  int64_t moves = 0;
  for (size_t slot = 0; slot < before.size(); ++slot)
    moves += before[slot] != after[slot];
  return moves;
}

// Every expert has a replica, loads do not get worse, equal arguments give
// equal results, and what is balanced stays, also when loads are only scaled.
TEST(LoadBalance, Properties) {
  std::mt19937 random(4);
  for (int64_t numRanks : {1, 2, 4, 8})
    for (int64_t numNodes : {1, 2, 4})
      for (int64_t numGroups : {1, 2, 4, 8})
        for (int64_t numSlots : {16, 24, 32}) {
          if (numNodes > numRanks)
            continue;
          BalanceInput input = {randomLoads(random, 16), startAt(16, numSlots),
                                numRanks, numNodes, numGroups};
          for (int step = 0; step < 4; ++step) {
            const Placement placement = balance(input);
            ASSERT_EQ(placement.size(), size_t(numSlots));
            const EplbMaps maps = makeEplbMaps(placement, 16);
            for (int64_t count : maps.logicalReplicaCount)
              ASSERT_GE(count, 1);
            ASSERT_EQ(placement, balance(input));
            // With groups on nodes, balance between nodes is given up for it.
            if (numNodes == 1 || numGroups % numNodes != 0) {
              ASSERT_LE(getLargest(placement, input.loads, numRanks),
                        getLargest(input.current, input.loads, numRanks));
            }
            input.current = placement;
            ASSERT_EQ(countMoves(placement, balance(input)), 0);
            for (double &load : input.loads)
              load *= 4;
            ASSERT_EQ(countMoves(placement, balance(input)), 0);
            input.loads = randomLoads(random, 16);
          }
        }
}

// Replicas of a group's experts are on one node where groups divide by nodes.
TEST(LoadBalance, GroupsStayOnNodes) {
  std::mt19937 random(5);
  for (int i = 0; i < 20; ++i) {
    const Placement placement =
        balance({randomLoads(random, 32), startAt(32, 48), 8, 4, 8});
    std::vector<std::set<int64_t>> nodesOf(8);
    for (int64_t slot = 0; slot < 48; ++slot)
      nodesOf[placement[slot] / 4].insert(slot / 12);
    for (const std::set<int64_t> &nodes : nodesOf)
      ASSERT_EQ(nodes.size(), 1u);
  }
  // 3 groups over 2 nodes: any expert may be anywhere.
  std::vector<double> loads = {90, 1, 1, 1, 1, 1};
  const Placement placement = balance({loads, startAt(6, 8), 4, 2, 3});
  std::set<int64_t> nodes;
  for (int64_t slot = 0; slot < 8; ++slot)
    if (placement[slot] == 0)
      nodes.insert(slot / 4);
  EXPECT_EQ(nodes.size(), 2u);
}

// What a rank had and has still is in the slots where it was, whatever else
// comes to the rank; and experts come to the ranks that have them.
TEST(LoadBalance, WhatStaysStaysInItsSlot) {
  std::mt19937 random(7);
  const auto sorted = [](const Placement &placement, int64_t rank) {
    std::vector<int64_t> experts(placement.begin() + rank * 6,
                                 placement.begin() + (rank + 1) * 6);
    std::sort(experts.begin(), experts.end());
    return experts;
  };
  Placement before = startAt(16, 24);
  for (int i = 0; i < 30; ++i) {
    const Placement after = balance({randomLoads(random, 16), before, 4, 1, 1});
    for (int64_t rank = 0; rank < 4; ++rank) {
      std::vector<int64_t> a = sorted(before, rank), b = sorted(after, rank),
                           common;
      std::set_intersection(a.begin(), a.end(), b.begin(), b.end(),
                            std::back_inserter(common));
      int64_t unchanged = 0;
      for (int64_t slot = rank * 6; slot < (rank + 1) * 6; ++slot)
        unchanged += before[slot] == after[slot];
      ASSERT_EQ(unchanged, int64_t(common.size()));
    }
    before = after;
  }
  // The loads ask for pairs 0 5, 1 4 and 2 3, in any order of ranks.
  EXPECT_EQ(balance({{6, 5, 4, 3, 2, 1}, {2, 3, 0, 1, 5, 4}, 3, 1, 1}),
            (Placement{2, 3, 0, 5, 1, 4}));
}

// Equal loads with a replica for each expert: nothing is better than the start.
TEST(LoadBalance, NothingMovesWithoutNeed) {
  const Placement start = startAt(8, 16);
  EXPECT_EQ(balance({std::vector<double>(8, 5.0), start, 4, 1, 1}), start);
  EXPECT_EQ(balance({std::vector<double>(8, 0.0), start, 4, 1, 1}), start);
  // One expert that becomes hot takes replicas of cold ones, and no more than
  // the slots of these change.
  std::vector<double> loads(16, 10.0);
  const Placement even = balance({loads, startAt(16, 16), 4, 1, 1});
  loads[5] = 11;
  EXPECT_LE(countMoves(even, balance({loads, even, 4, 1, 1})), 2 * 3);
}

// Zipf over 8 ranks.
TEST(LoadBalance, Zipf) {
  for (auto [numExperts, numSlots] :
       {std::pair(64, 64), {64, 72}, {64, 96}, {256, 288}})
    for (double exponent : {0.5, 1.0}) {
      const std::vector<double> loads = zipfLoads(numExperts, exponent);
      const Placement start = startAt(numExperts, numSlots);
      const double before = getBalancedness(getRankLoads(start, loads, 8));
      const Placement placement = balance({loads, start, 8, 1, 1});
      const double after = getBalancedness(getRankLoads(placement, loads, 8));
      std::printf(
          "%d experts, %d slots, exponent %.1f: %.3f before, %.3f after\n",
          numExperts, numSlots, exponent, before, after);
      ASSERT_GT(after, before);
      // With no replicas the most popular expert alone may be a rank's share.
      if (numSlots > numExperts) {
        ASSERT_GT(after, 0.95);
      }
    }
}

// As many tokens as balance says: loads that were counted in slots add up to
// those of experts, and a rank without any has its share of nothing.
TEST(LoadBalance, Loads) {
  const Placement placement = {0, 1, 2, 0};
  EXPECT_EQ(getLogicalLoads(placement, {1, 2, 3, 4}, 3),
            (std::vector<double>{5, 2, 3}));
  EXPECT_EQ(getRankLoads(placement, {6, 2, 3}, 2), (std::vector<double>{5, 6}));
  EXPECT_EQ(getBalancedness({5, 6}), 5.5 / 6);
  EXPECT_EQ(getBalancedness({0, 8, 0, 0}), 0.25);
  EXPECT_EQ(getBalancedness({0, 0}), 1.0);
}

TEST(LoadBalance, RefusesWhatCannotBe) {
  auto refuse = [](const BalanceInput &input) {
    std::string error;
    EXPECT_FALSE(balanceExperts(input, error).has_value());
    return error;
  };
  EXPECT_EQ(refuse({{}, {}, 1, 1, 1}),
            "expected the load of at least 1 expert but got none");
  EXPECT_EQ(refuse({{1, -2}, {0, 1}, 1, 1, 1}),
            "expected loads of at least 0 but expert 1 has -2.000000");
  EXPECT_EQ(refuse({{1, NAN}, {0, 1}, 1, 1, 1}),
            "expected loads of at least 0 but expert 1 has nan");
  EXPECT_EQ(refuse({{1, 2}, {0}, 1, 1, 1}),
            "expected at least 2 slots, one for each expert, but got 1");
  EXPECT_EQ(refuse({{1, 2}, {0, 1, 0}, 2, 1, 1}),
            "expected ranks that divide the 3 slots but got 2");
  EXPECT_EQ(refuse({{1, 2}, {0, 1, 0, 1}, 2, 3, 1}),
            "expected nodes that divide the 2 ranks but got 3");
  EXPECT_EQ(refuse({{1, 2}, {0, 1}, 1, 1, 3}),
            "expected groups that divide the 2 experts but got 3");
  EXPECT_EQ(refuse({{1, 2}, {0, 2}, 1, 1, 1}),
            "expected experts from 0 to 1 but slot 1 has 2");
}

//===----------------------------------------------------------------------===//
// Between placements
//===----------------------------------------------------------------------===//

// Transfers turn the one placement into the other, read only what was there,
// and stay on the rank where it has the expert.
TEST(LoadBalance, TransfersMakeThePlacement) {
  std::mt19937 random(6);
  for (int i = 0; i < 50; ++i) {
    const Placement before =
        balance({randomLoads(random, 12), startAt(12, 16), 4, 1, 1});
    const Placement after = balance({randomLoads(random, 12), before, 4, 1, 1});
    Placement slots = before;
    std::set<int64_t> targets;
    for (SlotTransfer transfer : planTransfers(before, after, 4)) {
      ASSERT_TRUE(targets.insert(transfer.to).second);
      slots[transfer.to] = before.at(transfer.from);
      for (int64_t slot = transfer.to / 4 * 4; slot < transfer.to / 4 * 4 + 4;
           ++slot)
        if (before[slot] == after[transfer.to]) {
          ASSERT_EQ(transfer.from / 4, transfer.to / 4);
        }
    }
    ASSERT_EQ(slots, after);
    ASSERT_EQ(int64_t(targets.size()), countMoves(before, after));
  }
}

// Sources are spread over the ranks that have the expert; what nobody has comes
// from nowhere.
TEST(LoadBalance, TransfersAreSpread) {
  const Placement before = {0, 1, 0, 1, 2, 2, 2, 2};
  const Placement after = {0, 1, 0, 1, 0, 0, 0, 3};
  std::vector<SlotTransfer> transfers = planTransfers(before, after, 4);
  ASSERT_EQ(transfers.size(), 4u);
  EXPECT_EQ(transfers[0].from, 0);
  EXPECT_EQ(transfers[1].from, 2);
  EXPECT_EQ(transfers[2].from, 0);
  EXPECT_EQ(transfers[3].from, -1);
  EXPECT_EQ(transfers[3].to, 7);
}

// Lost ranks' replicas are left out, and who has none is named.
TEST(LoadBalance, Survivors) {
  const Placement placement = {0, 1, 2, 0, 3, 1, 4, 2};
  SurvivorMaps left = getSurvivorMaps(placement, 5, 4, {3, 0});
  EXPECT_EQ(left.lostExperts, (std::vector<int64_t>{3}));
  EXPECT_EQ(left.maps.maxReplicas, 4);
  EXPECT_EQ(left.maps.logicalReplicaCount,
            (std::vector<int64_t>{1, 1, 1, 0, 1}));
  EXPECT_EQ(left.maps.logicalToPhysical,
            (std::vector<int64_t>{0,  -1, -1, -1, //
                                  1,  -1, -1, -1, //
                                  7,  -1, -1, -1, //
                                  -1, -1, -1, -1, //
                                  6,  -1, -1, -1}));
  SurvivorMaps all = getSurvivorMaps(placement, 5, 4, {0, 1, 2, 3});
  EXPECT_TRUE(all.lostExperts.empty());
  EXPECT_EQ(all.maps.logicalToPhysical,
            makeEplbMaps(placement, 5).logicalToPhysical);
}
