//===- ShardTest.cpp - A rank's part of a tensor --------------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moe-mlir/Reference/Shard.h"
#include <gtest/gtest.h>

using namespace moe;

/// 3 experts of width 4, hidden size 2, a shared expert of width 4.
static LayerSpec smallLayer() {
  LayerSpec spec;
  spec.hiddenSize = 2;
  spec.intermediateSize = 4;
  spec.numExperts = 3;
  spec.topK = 1;
  spec.hasExpertBias = true;
  spec.shared.intermediateSize = 4;
  return spec;
}

/// The tensor with the numbers 0, 1, 2, ... as its elements.
static HostTensor makeCounted(TensorId id, const LayerSpec &spec) {
  TensorSpec tensor = getTensorSpec(id, spec);
  for (int64_t &dim : tensor.shape)
    dim = dim == -1 ? 5 : dim;
  HostTensor result(tensor.name, tensor.dtype, tensor.shape);
  for (int64_t i = 0; i < result.numElements(); ++i)
    result.as<float>()[i] = float(i);
  return result;
}

static std::string take(TensorId id, const RankShares &shares,
                        const std::vector<int64_t> &experts,
                        const LayerSpec &spec = smallLayer()) {
  HostTensor part = takeShare(makeCounted(id, spec), spec, shares, experts);
  std::string text = shapeText(part.shape());
  for (int64_t i = 0; i < part.numElements(); ++i)
    text += " " + std::to_string(int64_t(part.as<float>()[i]));
  return text;
}

// Of a width that two ranks share, the second has the last rows of the gate and
// the last of up, and the last columns of the second weight; the bias that both
// would add is zero.
TEST(Shard, Widths) {
  RankShares shares;
  shares.width = shares.sharedWidth = {2, 1};
  EXPECT_EQ(take(TensorId::W13, shares, {0, 1, 2}),
            "[3, 4, 2] 4 5 6 7 12 13 14 15 20 21 22 23 28 29 30 31 36 37 38 39 "
            "44 45 46 47");
  EXPECT_EQ(take(TensorId::W2, shares, {0, 1, 2}),
            "[3, 2, 2] 2 3 6 7 10 11 14 15 18 19 22 23");
  EXPECT_EQ(take(TensorId::B13, shares, {0, 1, 2}),
            "[3, 4] 2 3 6 7 10 11 14 15 18 19 22 23");
  EXPECT_EQ(take(TensorId::B2, shares, {0, 1, 2}), "[3, 2] 0 0 0 0 0 0");
  EXPECT_EQ(take(TensorId::SharedW13, shares, {0, 1, 2}),
            "[4, 2] 4 5 6 7 12 13 14 15");
  EXPECT_EQ(take(TensorId::SharedW2, shares, {0, 1, 2}), "[2, 2] 2 3 6 7");
  EXPECT_EQ(take(TensorId::RouterWeight, shares, {0, 1, 2}),
            "[3, 2] 0 1 2 3 4 5");
  shares.width = {2, 0};
  EXPECT_EQ(take(TensorId::B2, shares, {0, 1, 2}), "[3, 2] 0 1 2 3 4 5");
}

// Without a gate there is one block of rows.
TEST(Shard, WidthsWithoutGate) {
  LayerSpec spec = smallLayer();
  spec.activation.kind = ActivationKind::relu2;
  RankShares shares;
  shares.width = {4, 2};
  EXPECT_EQ(take(TensorId::W13, shares, {1}, spec), "[1, 1, 2] 12 13");
  EXPECT_EQ(take(TensorId::B13, shares, {0, 2}, spec), "[2, 1] 2 10");
}

// Experts come in the order of the rank's slots, redundant ones again; what has
// no experts stays whole.
TEST(Shard, Experts) {
  EXPECT_EQ(take(TensorId::W2, {}, {2, 0}),
            "[2, 2, 4] 16 17 18 19 20 21 22 23 0 1 2 3 4 5 6 7");
  EXPECT_EQ(take(TensorId::B2, {}, {1, 1}), "[2, 2] 2 3 2 3");
  EXPECT_EQ(take(TensorId::B13, {}, {}), "[0, 8]");
  EXPECT_EQ(take(TensorId::SharedW2, {}, {2}), "[2, 4] 0 1 2 3 4 5 6 7");
  EXPECT_EQ(take(TensorId::HiddenStates, {}, {2}),
            "[5, 2] 0 1 2 3 4 5 6 7 8 9");
}

// A tensor that no layer describes stays as it is.
TEST(Shard, Unknown) {
  HostTensor other("other", DType::I32, {2});
  other.as<int32_t>()[0] = 7;
  other.as<int32_t>()[1] = 9;
  RankShares shares;
  shares.width = {2, 1};
  HostTensor part = takeShare(other, smallLayer(), shares, {0});
  EXPECT_EQ(part.shape(), other.shape());
  EXPECT_EQ(part.as<int32_t>()[1], 9);
}
