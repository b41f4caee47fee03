//===- ExchangeTest.cpp - Kernels of several ranks compile ----------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Kernels.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "gtest/gtest.h"

using namespace mlir;
using namespace moe;
using namespace moe::codegen::cuda;
using namespace moe::codegen::cuda::test;

namespace {
/// What `#moe.placement` says.
struct Placement {
  int64_t experts, ranks;
  bool roundRobin;

  PlacementAttr getAttr(const Emission &emission) const {
    return PlacementAttr::get(emission.loc.getContext(), experts, ranks,
                              roundRobin ? PlacementKind::round_robin
                                         : PlacementKind::linear);
  }
};
} // namespace

/// More experts than ranks, as many, fewer, and counts that do not divide.
static std::vector<Placement> allPlacements() {
  std::vector<Placement> all;
  for (bool roundRobin : {false, true})
    for (auto [experts, ranks] : std::vector<std::pair<int64_t, int64_t>>{
             {64, 1}, {64, 8}, {61, 8}, {8, 8}, {3, 8}, {512, 1024}})
      all.push_back({experts, ranks, roundRobin});
  return all;
}

static std::string vectorOf(int64_t size) {
  return std::to_string(size) + "xi32";
}

TEST(ExpertMapTest, Compiles) {
  Kernels kernels;
  for (const Placement &placement : allPlacements())
    EXPECT_EQ(kernels.add({vectorOf(placement.experts)},
                          [&](const Emission &emission, ValueRange v) {
                            Value rank = arith::ConstantIndexOp::create(
                                emission.builder, emission.loc, 0);
                            return emit<ExpertMapOp>(
                                emission, rank, v[0],
                                placement.getAttr(emission));
                          }),
              "");
  EXPECT_EQ(kernels.countKernels(), int64_t(allPlacements().size()));
  // The rank is the only thing that the host must know.
  EXPECT_NE(kernels.getText().find("#schedule.scalar<0>"), std::string::npos);
  kernels.compile();
}

static std::string addSendPlan(Kernels &kernels, const std::string &tokens,
                               const std::string &slots,
                               const Placement &placement) {
  return kernels.add({tokens + "x" + slots + "xi32", vectorOf(placement.ranks),
                      "?xi32", tokens + "x" + slots + "xi32"},
                     [&](const Emission &emission, ValueRange v) {
                       return emit<SendPlanOp>(emission, v[0], v[1], v[2], v[3],
                                               placement.getAttr(emission));
                     });
}

TEST(SendPlanTest, Compiles) {
  Kernels kernels;
  for (const Placement &placement : allPlacements())
    for (const char *slots : {"1", "8", "22"})
      EXPECT_EQ(addSendPlan(kernels, "?", slots, placement), "");
  kernels.compile();
}

// Keys are found first. Few pairs are sorted by one block; more are counted
// before.
TEST(SendPlanTest, KnownTokensTakeOneWay) {
  Kernels few, many;
  Placement placement{64, 8, false};
  EXPECT_EQ(addSendPlan(few, "16", "8", placement), "");
  EXPECT_EQ(few.countLaunches(), 2);
  EXPECT_EQ(addSendPlan(many, "8192", "8", placement), "");
  EXPECT_EQ(many.countLaunches(), 3);
}

// Experts of other ranks are other kernels, and equal ones are emitted once:
// all sort by the keys that one finds.
TEST(SendPlanTest, PlacementsAreTold) {
  Kernels kernels;
  for (bool roundRobin : {false, true, true})
    EXPECT_EQ(addSendPlan(kernels, "16", "8", {64, 8, roundRobin}), "");
  EXPECT_EQ(kernels.countKernels(), 3);
}

static std::string addBatchedSendPlan(Kernels &kernels,
                                      const std::string &tokens,
                                      const std::string &slots,
                                      const Placement &placement,
                                      int64_t capacity) {
  std::string choices = tokens + "x" + slots;
  std::string rows = std::to_string(placement.experts * capacity);
  return kernels.add(
      {choices + "xi32", choices + "xf32", vectorOf(placement.experts),
       rows + "xi32", rows + "x1xf32", choices + "xi32"},
      [&](const Emission &emission, ValueRange v) {
        return emit<BatchedSendPlanOp>(emission, v[0], v[1], v[2], v[3], v[4],
                                       v[5], placement.getAttr(emission),
                                       capacity);
      });
}

TEST(BatchedSendPlanTest, Compiles) {
  Kernels kernels;
  for (const Placement &placement : allPlacements())
    for (const char *slots : {"1", "8", "22"})
      for (int64_t capacity : {1, 256})
        EXPECT_EQ(addBatchedSendPlan(kernels, "?", slots, placement, capacity),
                  "");
  kernels.compile();
}

TEST(BatchedPlanTest, Compiles) {
  Kernels kernels;
  for (const char *offsets : {"?", "9"})
    for (int64_t capacity : {1, 100, 1024})
      EXPECT_EQ(kernels.add({"?xi32", std::string(offsets) + "xi32", "?xi32",
                             "?x1xi32"},
                            [&](const Emission &emission, ValueRange v) {
                              return emit<BatchedPlanOp>(emission, v[0], v[1],
                                                         v[2], v[3],
                                                         /*ranks=*/8, capacity);
                            }),
                "");
  EXPECT_EQ(kernels.countKernels(), 2 * 3);
  kernels.compile();
}

// Hidden states, weights and ids, in vectors or one by one.
TEST(GatherRowsTest, Compiles) {
  Kernels kernels;
  for (const char *element : {"f32", "bf16", "f16", "i32"})
    for (const char *columns : {"7168", "2048", "129", "8", "6", "1"}) {
      std::string row = std::string("?x") + columns + "x" + element;
      for (const char *rows : {"?", "8192"})
        EXPECT_EQ(
            kernels.add({row, std::string(rows) + "xi32",
                         std::string(rows) + "x" + columns + "x" + element},
                        [&](const Emission &emission, ValueRange v) {
                          return emit<GatherRowsOp>(emission, v[0], v[1], v[2]);
                        }),
            "");
    }
  EXPECT_EQ(kernels.countKernels(), 4 * 6 * 2);
  kernels.compile();
}

TEST(ClearIdsTest, Compiles) {
  Kernels kernels;
  for (const char *ids : {"?x8xi32", "?x1xi32", "128x6xi32"})
    EXPECT_EQ(kernels.add({ids},
                          [&](const Emission &emission, ValueRange v) {
                            return emit<ClearIdsOp>(emission, v[0]);
                          }),
              "");
  EXPECT_EQ(kernels.countKernels(), 3);
  kernels.compile();
}
