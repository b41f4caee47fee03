//===- ExpertPlacementTest.cpp - Placement maps ---------------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moe-mlir/Policy/ExpertPlacement.h"

#include <gtest/gtest.h>
#include <set>

using namespace moe;
using namespace moe::policy;

static constexpr PlacementKind strategies[] = {PlacementKind::linear,
                                               PlacementKind::round_robin};

TEST(ExpertPlacement, Examples) {
  using Ids = std::vector<int64_t>;
  auto linear = PlacementKind::linear;
  auto roundRobin = PlacementKind::round_robin;
  EXPECT_EQ(getLocalExperts(linear, 8, 2, 1), (Ids{4, 5, 6, 7}));
  EXPECT_EQ(getLocalExperts(roundRobin, 8, 2, 1), (Ids{1, 3, 5, 7}));
  // 10 over 4: ranks 0 and 1 own three.
  EXPECT_EQ(getLocalExperts(linear, 10, 4, 1), (Ids{3, 4, 5}));
  EXPECT_EQ(getLocalExperts(linear, 10, 4, 2), (Ids{6, 7}));
  EXPECT_EQ(getLocalExperts(roundRobin, 10, 4, 1), (Ids{1, 5, 9}));
  EXPECT_EQ(getLocalExperts(roundRobin, 10, 4, 3), (Ids{3, 7}));
  // More ranks than experts: some own none.
  EXPECT_EQ(getLocalExperts(linear, 2, 3, 2), Ids{});
}

// Every expert has exactly one owner, and the two directions agree.
TEST(ExpertPlacement, IsAPartition) {
  for (auto strategy : strategies)
    for (int64_t experts = 1; experts <= 40; ++experts)
      for (int64_t ranks = 1; ranks <= 48; ++ranks) {
        std::set<int64_t> seen;
        for (int64_t rank = 0; rank < ranks; ++rank) {
          auto local = getLocalExperts(strategy, experts, ranks, rank);
          ASSERT_EQ(int64_t(local.size()),
                    getNumLocalExperts(experts, ranks, rank));
          ASSERT_EQ(int64_t(local.size()),
                    experts / ranks + (rank < experts % ranks ? 1 : 0));
          for (size_t id = 0; id < local.size(); ++id) {
            ASSERT_TRUE(local[id] >= 0 && local[id] < experts);
            ASSERT_TRUE(seen.insert(local[id]).second);
            ExpertOwner owner =
                getExpertOwner(strategy, experts, ranks, local[id]);
            ASSERT_EQ(owner.rank, rank);
            ASSERT_EQ(owner.localId, int64_t(id));
          }
        }
        ASSERT_EQ(int64_t(seen.size()), experts);
      }
}

TEST(ExpertPlacement, InitialEplbMaps) {
  EplbMaps maps = getInitialEplbMaps(4, 6);
  EXPECT_EQ(maps.maxReplicas, 7);
  EXPECT_EQ(maps.physicalToLogical,
            (std::vector<int64_t>{0, 1, 2, 3, 0, 1, 2, 3, 0, 1}));
  EXPECT_EQ(maps.logicalReplicaCount, (std::vector<int64_t>{3, 3, 2, 2}));
  EXPECT_EQ(maps.logicalToPhysical,
            (std::vector<int64_t>{0, 4, 8,  -1, -1, -1, -1, //
                                  1, 5, 9,  -1, -1, -1, -1, //
                                  2, 6, -1, -1, -1, -1, -1, //
                                  3, 7, -1, -1, -1, -1, -1}));
}

TEST(ExpertPlacement, EplbMapsAreInverse) {
  for (int64_t experts : {1, 3, 8, 64})
    for (int64_t redundant : {0, 1, 7, 64, 130}) {
      EplbMaps maps = getInitialEplbMaps(experts, redundant);
      ASSERT_EQ(int64_t(maps.physicalToLogical.size()), experts + redundant);
      ASSERT_EQ(int64_t(maps.logicalToPhysical.size()),
                experts * (redundant + 1));
      int64_t total = 0;
      for (int64_t logical = 0; logical < experts; ++logical) {
        int64_t count = maps.logicalReplicaCount[logical];
        ASSERT_GE(count, 1);
        total += count;
        for (int64_t replica = 0; replica <= redundant; ++replica) {
          int64_t physical =
              maps.logicalToPhysical[logical * (redundant + 1) + replica];
          if (replica >= count)
            ASSERT_EQ(physical, -1);
          else
            ASSERT_EQ(maps.physicalToLogical.at(physical), logical);
        }
      }
      ASSERT_EQ(total, experts + redundant);
    }
}
