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
using namespace moe::codegen;
using namespace moe::codegen::cuda;
using namespace moe::codegen::cuda::test;

/// More experts than ranks, as many, fewer, and counts that do not divide.
static std::vector<PlacementParams> allPlacements() {
  std::vector<PlacementParams> all;
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
  for (const PlacementParams &params : allPlacements())
    EXPECT_EQ(kernels.add({vectorOf(params.numExperts)},
                          [&](const Emission &emission, ValueRange v) {
                            Value rank = arith::ConstantIndexOp::create(
                                emission.builder, emission.loc, 0);
                            return emitExpertMap(emission, {rank, v[0]},
                                                 params);
                          }),
              "");
  EXPECT_EQ(kernels.countKernels(), int64_t(allPlacements().size()));
  // The rank is the only thing that the host must know.
  EXPECT_NE(kernels.getText().find("#schedule.scalar<0>"), std::string::npos);
  kernels.compile();
}

static std::string addSendPlan(Kernels &kernels, const std::string &tokens,
                               const std::string &slots,
                               const PlacementParams &params) {
  return kernels.add({tokens + "x" + slots + "xi32", vectorOf(params.ranks),
                      "?xi32", tokens + "x" + slots + "xi32"},
                     [&](const Emission &emission, ValueRange v) {
                       return emitSendPlan(emission, {v[0], v[1], v[2], v[3]},
                                           params);
                     });
}

TEST(SendPlanTest, Compiles) {
  Kernels kernels;
  for (const PlacementParams &params : allPlacements())
    for (const char *slots : {"1", "8", "22"})
      EXPECT_EQ(addSendPlan(kernels, "?", slots, params), "");
  kernels.compile();
}

// Keys are found first. Few pairs are sorted by one block; more are counted
// before.
TEST(SendPlanTest, KnownTokensTakeOneWay) {
  Kernels few, many;
  PlacementParams params{64, 8, false};
  EXPECT_EQ(addSendPlan(few, "16", "8", params), "");
  EXPECT_EQ(few.countLaunches(), 2);
  EXPECT_EQ(addSendPlan(many, "8192", "8", params), "");
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
                                      const PlacementParams &params,
                                      int64_t capacity) {
  std::string choices = tokens + "x" + slots;
  std::string rows = std::to_string(params.numExperts * capacity);
  return kernels.add(
      {choices + "xi32", choices + "xf32", vectorOf(params.numExperts),
       rows + "xi32", rows + "x1xf32", choices + "xi32"},
      [&](const Emission &emission, ValueRange v) {
        return emitBatchedSendPlan(
            emission, {v[0], v[1], v[2], v[3], v[4], v[5]}, params, capacity);
      });
}

TEST(BatchedSendPlanTest, Compiles) {
  Kernels kernels;
  for (const PlacementParams &params : allPlacements())
    for (const char *slots : {"1", "8", "22"})
      for (int64_t capacity : {1, 256})
        EXPECT_EQ(addBatchedSendPlan(kernels, "?", slots, params, capacity),
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
                              return emitBatchedPlan(emission,
                                                     {v[0], v[1], v[2], v[3]},
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
                          return emitGatherRows(emission, {v[0], v[1], v[2]});
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
                            return emitClearIds(emission, v[0]);
                          }),
              "");
  EXPECT_EQ(kernels.countKernels(), 3);
  kernels.compile();
}

TEST(ExchangeErrorsTest, NameTheOperand) {
  Kernels kernels;
  auto sendPlan = [](const Emission &emission, ValueRange v) {
    return emitSendPlan(emission, {v[0], v[1], v[2], v[3]}, {64, 8, false});
  };
  EXPECT_EQ(kernels.add({"?x8xi32", "4xi32", "?xi32", "?x8xi32"}, sendPlan),
            "expected 'counts' with rows of 8 elements but got "
            "'memref<4xi32>'");
  EXPECT_EQ(kernels.add({"?x8xi32", "8xi32", "?xi32", "?x4xi32"}, sendPlan),
            "expected 'positions' with rows of 8 elements but got "
            "'memref<?x4xi32>'");
  auto gatherRows = [](const Emission &emission, ValueRange v) {
    return emitGatherRows(emission, {v[0], v[1], v[2]});
  };
  EXPECT_EQ(kernels.add({"?x8xbf16", "?xi32", "?x8xf16"}, gatherRows),
            "expected 'to' of elements 'bf16' but got 'memref<?x8xf16>'");
  EXPECT_EQ(addBatchedSendPlan(kernels, "?", "8", {64, 8, false}, 0),
            "expected at least 1 row of capacity but got 0");
  EXPECT_EQ(kernels.countKernels(), 0);
}
