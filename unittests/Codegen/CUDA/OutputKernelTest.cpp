//===- OutputKernelTest.cpp - What the kernels put together ---------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The kernels of combine and merge, apart and as one, on an emulated GPU,
// against plain loops. Values are such that every sum is exact, in whatever
// order, so that all bits are known.
//
//===----------------------------------------------------------------------===//

#include "Emulated.h"

#include "gtest/gtest.h"

using namespace moe::codegen::cuda::test;

static const int64_t kTokens[] = {0, 1, 5, 33};

namespace {
/// Rows of experts, and where those of each token are. Every fifth pair has
/// none.
struct Pairs {
  Pairs(std::mt19937 &random, int64_t tokens, int64_t slots, int64_t hidden,
        Element element)
      : rows(exactTensor(random, element, {tokens * slots, hidden})),
        pairs(Element::I32, {tokens, slots},
              [&](int64_t i) {
                int64_t last = std::max<int64_t>(tokens * slots, 1);
                return i % 5 == 4 ? -1.0 : static_cast<double>(i * 7 % last);
              }),
        weights(exactTensor(random, Element::F32, {tokens, slots})) {}

  double sum(int64_t token, int64_t column, bool isWeighted) const {
    double sum = 0;
    for (int64_t slot = 0; slot < pairs.columns(); ++slot)
      if (double row = pairs.get(token, slot); row >= 0)
        sum += (isWeighted ? weights.get(token, slot) : 1) *
               rows.get(static_cast<int64_t>(row), column);
    return sum;
  }

  Tensor rows, pairs, weights;
};
} // namespace

static void testCombine(Element from, Element to, int64_t hidden, int64_t slots,
                        bool isWeighted) {
  std::mt19937 random(hidden + slots);
  Phase combine({{"rows", matrix(hidden, from)},
                 {"pairs", matrix(slots, Element::I32)},
                 {"weights", matrix(slots, Element::F32)},
                 {"y", matrix(hidden, to)}},
                std::string("moe.combine ins(%rows, %pairs : !rows, !pairs) ") +
                    (isWeighted ? "weights(%weights : !weights) " : "") +
                    "outs(%y : !y) scale(0.5)");
  for (int64_t tokens : kTokens) {
    Pairs pairs(random, tokens, slots, hidden, from);
    Tensor y(to, {tokens, hidden});
    combine.run({&pairs.rows, &pairs.pairs, &pairs.weights, &y});
    expectValues(y, 0, [&](int64_t token, int64_t column) {
      return 0.5 * pairs.sum(token, column, isWeighted);
    });
  }
}

TEST(CombineKernelTest, EveryElementTypeAndOddSizes) {
  testCombine(Element::F32, Element::F32, 129, 2, true);
  testCombine(Element::BF16, Element::F32, 136, 8, true);
  testCombine(Element::F16, Element::F16, 6, 5, false);
  testCombine(Element::BF16, Element::BF16, 2056, 22, true);
}

static void testMerge(Element element, int64_t hidden, bool hasShared,
                      bool hasZero) {
  constexpr int64_t kSlots = 3;
  std::mt19937 random(hidden);
  Phase merge(
      {{"routed", matrix(hidden, Element::F32)},
       {"shared", matrix(hidden, Element::F32)},
       {"x", matrix(hidden, element)},
       {"ids", matrix(kSlots, Element::I32)},
       {"weights", matrix(kSlots, Element::F32)},
       {"y", matrix(hidden, element)}},
      std::string("moe.merge ins(%routed : !routed) ") +
          (hasShared ? "shared(%shared : !shared) " : "") +
          (hasZero ? "zero(%x, %ids, %weights : !x, !ids, !weights) from(4) "
                     "scale(2.0) "
                   : "") +
          "outs(%y : !y)");
  for (int64_t tokens : kTokens) {
    Tensor routed = exactTensor(random, Element::F32, {tokens, hidden});
    Tensor shared = exactTensor(random, Element::F32, {tokens, hidden});
    Tensor x = exactTensor(random, element, {tokens, hidden});
    Tensor ids(Element::I32, {tokens, kSlots},
               [&](int64_t) { return static_cast<double>(random() % 7); });
    Tensor weights = exactTensor(random, Element::F32, {tokens, kSlots});
    Tensor y(element, {tokens, hidden});
    merge.run({&routed, &shared, &x, &ids, &weights, &y});
    expectValues(y, 0, [&](int64_t token, int64_t column) {
      double sum = routed.get(token, column);
      if (hasShared)
        sum += shared.get(token, column);
      for (int64_t slot = 0; hasZero && slot < kSlots; ++slot)
        if (ids.get(token, slot) >= 4)
          sum += 2 * weights.get(token, slot) * x.get(token, column);
      return sum;
    });
  }
}

TEST(MergeKernelTest, SharedAndZeroExperts) {
  testMerge(Element::F32, 129, true, false);
  testMerge(Element::BF16, 136, false, true);
  testMerge(Element::F16, 264, true, true);
  testMerge(Element::BF16, 7, false, false);
}

// The merge sums the experts' rows itself: one kernel, and no buffer between.
TEST(MergeKernelTest, SumsTheExpertsRowsItself) {
  constexpr int64_t kSlots = 4, kHidden = 72;
  std::mt19937 random(1);
  Phase both({{"rows", matrix(kHidden, Element::BF16)},
              {"pairs", matrix(kSlots, Element::I32)},
              {"weights", matrix(kSlots, Element::F32)},
              {"shared", matrix(kHidden, Element::F32)},
              {"y", matrix(kHidden, Element::BF16)}},
             R"(
    %c0 = arith.constant 0 : index
    %t = memref.dim %y, %c0 : !y
    %sums = memref.alloc(%t) : memref<?x72xf32>
    schedule.run on(compute) label("combine") {
      moe.combine ins(%rows, %pairs : !rows, !pairs) weights(%weights : !weights)
        outs(%sums : memref<?x72xf32>) scale(2.0)
    }
    schedule.run on(compute) label("merge") {
      moe.merge ins(%sums : memref<?x72xf32>) shared(%shared : !shared) outs(%y : !y)
    })");
  EXPECT_EQ(both.labels().size(), 1u);
  for (int64_t tokens : kTokens) {
    Pairs pairs(random, tokens, kSlots, kHidden, Element::BF16);
    Tensor shared = exactTensor(random, Element::F32, {tokens, kHidden});
    Tensor y(Element::BF16, {tokens, kHidden});
    both.run({&pairs.rows, &pairs.pairs, &pairs.weights, &shared, &y});
    expectValues(y, 0, [&](int64_t token, int64_t column) {
      return 2 * pairs.sum(token, column, true) + shared.get(token, column);
    });
  }
}
