//===- GridTest.cpp - Ranks, communicators and parts ----------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moe-mlir/Dialect/Schedule/IR/Schedule.h"

#include "mlir/AsmParser/AsmParser.h"
#include "gtest/gtest.h"

using namespace mlir;
using namespace moe::schedule;

namespace {

class GridTest : public ::testing::Test {
protected:
  GridTest() {
    context.loadDialect<ScheduleDialect>();
    grid = cast<GridAttr>(
        parseAttribute("#schedule.grid<dp = 2, pcp = 3, tp = 2>", &context));
  }

  CommunicatorAttr over(ArrayRef<StringRef> axes) {
    return CommunicatorAttr::getOver(grid, axes);
  }

  MLIRContext context;
  GridAttr grid;
};

TEST_F(GridTest, Groups) {
  using Ranks = SmallVector<int64_t>;
  // Rank 9 is dp 1, pcp 1, tp 1.
  EXPECT_EQ(over({"tp"}).getGroup(9), (Ranks{8, 9}));
  EXPECT_EQ(over({"pcp"}).getGroup(9), (Ranks{7, 9, 11}));
  EXPECT_EQ(over({"dp"}).getGroup(9), (Ranks{3, 9}));
  EXPECT_EQ(over({"pcp", "tp"}).getGroup(9), (Ranks{6, 7, 8, 9, 10, 11}));
  EXPECT_EQ(over({"dp", "pcp", "tp"}).getGroup(9).size(), 12u);
}

TEST_F(GridTest, Communicators) {
  EXPECT_EQ(grid.getNumRanks(), 12);
  EXPECT_EQ(grid.getText(), "dp = 2, pcp = 3, tp = 2");
  CommunicatorAttr inner = over({"tp", "pcp"});
  EXPECT_EQ(inner.getName(), "pcp x tp");
  EXPECT_EQ(inner.getNumRanks(), 6);
  EXPECT_EQ(inner.getStride(), 1);
  EXPECT_FALSE(inner.coversGrid());
  EXPECT_TRUE(inner.hasAxis("pcp"));
  EXPECT_FALSE(inner.hasAxis("dp"));
  EXPECT_EQ(over({"dp"}).getStride(), 6);
  EXPECT_TRUE(over({"dp", "pcp", "tp"}).coversGrid());
}

TEST_F(GridTest, AxesOfOneRank) {
  auto flat = cast<GridAttr>(
      parseAttribute("#schedule.grid<dp = 4, pcp = 1, tp = 1>", &context));
  // They say nothing, and so they are left out.
  CommunicatorAttr all = CommunicatorAttr::getOver(flat, {"dp", "pcp", "tp"});
  EXPECT_EQ(all.getName(), "dp");
  EXPECT_TRUE(all.coversGrid());
  CommunicatorAttr one = CommunicatorAttr::getOver(flat, {"pcp", "tp"});
  EXPECT_EQ(one.getName(), "tp");
  EXPECT_EQ(one.getGroup(3), SmallVector<int64_t>{3});
}

TEST_F(GridTest, Parts) {
  for (int64_t count : {1, 2, 3, 5})
    for (int64_t tokens : {0, 1, 2, 7, 8, 9}) {
      int64_t sum = 0, last = tokens;
      for (int64_t index = 0; index < count; ++index) {
        int64_t part = PartAttr::get(&context, index, count).getTokens(tokens);
        EXPECT_LE(part, last);
        EXPECT_GE(part, tokens / count);
        sum += last = part;
      }
      EXPECT_EQ(sum, tokens) << "in " << count;
    }
}

} // namespace
