//===- GemmRecipeTest.cpp - Every GEMM finds tiles that fit ---------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Codegen/CUDA/GemmRecipe.h"

#include "gtest/gtest.h"

using namespace moe::codegen::cuda;

/// All kinds of products, of sizes that layers have, that nothing divides and
/// that are smaller than a tile.
static std::vector<GemmShape> allShapes() {
  std::vector<GemmShape> all;
  for (GemmKind kind :
       {GemmKind::Dense, GemmKind::Experts, GemmKind::GatheredExperts})
    for (int64_t columns : {64, 768, 2880, 14336})
      for (int64_t depth : {8, 768, 2880, 7168})
        for (bool isStaged : {false, true})
          for (int64_t mostTileRows : {128, 160, 192})
            all.push_back({WeightKind::Plain, ActivationKind::Half, kind,
                           columns, depth, isStaged, mostTileRows});
  return all;
}

// What the table says fits into the chip that it says it for.
TEST(GemmRecipeTest, RowsAreValidOnTheirChips) {
  for (const GemmRecipe &recipe : getGemmRecipes()) {
    llvm::Expected<Target> target = Target::parse(recipe.chip);
    ASSERT_TRUE(static_cast<bool>(target)) << recipe.chip.str();
    EXPECT_TRUE(target->hasTMA);
    EXPECT_EQ(recipe.tile.findProblem(*target), "");
    // Other tiles of experts would reach into the next one's rows.
    if (recipe.kind != GemmKind::Dense) {
      EXPECT_TRUE(recipe.tile.swapAB);
    }
    EXPECT_FALSE(recipe.measured.empty());
  }
}

// Every chip, format and shape has tiles for any number of rows, and all that
// epilogues make of the rows of the table fits, too.
TEST(GemmRecipeTest, EveryShapeFindsTiles) {
  for (const Chip &chip : getChips())
    for (const GemmShape &shape : allShapes()) {
      Target target(chip);
      auto choices = chooseGemmTiles(target, shape);
      ASSERT_FALSE(choices.empty());
      EXPECT_EQ(choices.back().mostRows, kAllRows);
      int64_t previous = 0;
      for (const GemmChoice &choice : choices) {
        EXPECT_EQ(choice.tile.findProblem(target), "");
        EXPECT_LT(previous, choice.mostRows);
        previous = choice.mostRows;
        if (shape.kind != GemmKind::Dense) {
          EXPECT_LE(choice.tile.tileM, shape.mostTileRows);
        }
        if (!shape.isStaged) {
          EXPECT_EQ(choice.tile.stepM, choice.tile.tileM);
        }
      }
    }
}

// One tile, then a pair, two tiles and pairs again where rows are gathered; the
// epilogue's limit makes high tiles lower, and equal neighbours one.
TEST(GemmRecipeTest, ExpertsTakeTheRowsOfTheTable) {
  Target target;
  auto bounds = [&](GemmKind kind, int64_t mostTileRows) {
    std::vector<std::pair<int64_t, int64_t>> all;
    for (const GemmChoice &choice :
         chooseGemmTiles(target, {WeightKind::Plain, ActivationKind::Half, kind,
                                  1536, 2048, true, mostTileRows}))
      all.push_back({choice.mostRows, choice.tile.tileM * choice.tile.cluster});
    return all;
  };
  using Bounds = std::vector<std::pair<int64_t, int64_t>>;
  EXPECT_EQ(bounds(GemmKind::GatheredExperts, 192),
            (Bounds{{136, 144}, {264, 288}, {352, 144}, {kAllRows, 288}}));
  EXPECT_EQ(bounds(GemmKind::Experts, 192),
            (Bounds{{112, 144}, {172, 192}, {480, 144}, {kAllRows, 192}}));
  EXPECT_EQ(bounds(GemmKind::Experts, 128),
            (Bounds{{112, 128}, {172, 128}, {480, 128}, {kAllRows, 128}}));
}

// The more rows a dense product has, the wider are its tiles.
TEST(GemmRecipeTest, DenseTilesGrow) {
  Target target;
  auto choices =
      chooseGemmTiles(target, {WeightKind::Plain, ActivationKind::Half,
                               GemmKind::Dense, 2816, 2048, true, 192});
  EXPECT_TRUE(choices.front().tile.swapAB);
  EXPECT_FALSE(choices.back().tile.swapAB);
  EXPECT_EQ(choices.back().tile.tileN, 256);
}

TEST(TargetTest, IsARowOfTheTable) {
  EXPECT_EQ(Target().chip, kDefaultChip);
  for (const Chip &chip : getChips()) {
    llvm::Expected<Target> target = Target::parse(chip.chip);
    ASSERT_TRUE(static_cast<bool>(target));
    EXPECT_EQ(target->chip, chip.chip);
  }
  llvm::Expected<Target> unknown = Target::parse("sm_10");
  ASSERT_FALSE(static_cast<bool>(unknown));
  EXPECT_EQ(llvm::toString(unknown.takeError()),
            "expected GPU architecture 'sm_90a' but got 'sm_10'");
}
