//===- RandomInputsTest.cpp - Deterministic inputs ------------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moe-mlir/Import/RandomInputs.h"
#include "moe-mlir/Reference/Evaluate.h"
#include <cmath>
#include <cstring>
#include <gtest/gtest.h>
#include <set>

using namespace moe;

static LayerSpec layer() {
  LayerSpec spec;
  spec.hiddenSize = 128;
  spec.intermediateSize = 64;
  spec.numExperts = 16;
  spec.topK = 4;
  spec.dtype = DType::BF16;
  spec.routing.hasCorrectionBias = true;
  spec.shared.intermediateSize = 64;
  return spec;
}

static uint64_t hashOf(const std::vector<HostTensor> &tensors) {
  uint64_t hash = 0xcbf29ce484222325u;
  for (const HostTensor &tensor : tensors)
    for (int64_t i = 0; i < tensor.numBytes(); ++i)
      hash = (hash ^ tensor.as<unsigned char>()[i]) * 0x100000001b3u;
  return hash;
}

// The very bytes are fixed: runs on different machines see the same layer. A
// change of this number changes every published error and benchmark.
TEST(RandomInputs, SameBytesEverywhere) {
  EXPECT_EQ(hashOf(randomInputs(layer(), 5, 42)), 14763345610207127559u);
  LayerSpec given = layer();
  given.dtype = DType::F32;
  given.routing = RoutingSpec();
  given.routing.source = RoutingSource::given;
  EXPECT_EQ(hashOf(randomInputs(given, 5, 42)), 11488188390741552642u);
  EXPECT_NE(hashOf(randomInputs(layer(), 5, 42)),
            hashOf(randomInputs(layer(), 5, 43)));
}

TEST(RandomInputs, MatchTheSignature) {
  std::vector<HostTensor> tensors = randomInputs(layer(), 5, 1);
  std::vector<TensorSpec> inputs = layerInputs(layer());
  ASSERT_EQ(tensors.size(), inputs.size());
  for (size_t i = 0; i < inputs.size(); ++i) {
    EXPECT_EQ(tensors[i].name(), inputs[i].name);
    EXPECT_EQ(tensors[i].dtype(), inputs[i].dtype);
    EXPECT_EQ(tensors[i].shape().back(), inputs[i].shape.back());
  }
}

TEST(RandomInputs, RowsDoNotDependOnTheirNumber) {
  std::vector<HostTensor> few = randomInputs(layer(), 3, 1);
  std::vector<HostTensor> many = randomInputs(layer(), 300, 1);
  EXPECT_EQ(std::memcmp(few[0].data(), many[0].data(), few[0].numBytes()), 0);
}

static void expectMoments(const HostTensor &tensor, double deviation) {
  SCOPED_TRACE(tensor.name());
  std::vector<double> values(tensor.numElements());
  readAsDouble(tensor.dtype(), tensor.data(), 0, tensor.numElements(),
               values.data());
  double sum = 0, squares = 0;
  for (double value : values) {
    sum += value;
    squares += value * value;
  }
  const double n = static_cast<double>(values.size());
  EXPECT_NEAR(sum / n, 0, 4 * deviation / std::sqrt(n));
  EXPECT_NEAR(std::sqrt(squares / n), deviation, 0.03 * deviation);
}

TEST(RandomInputs, Moments) {
  std::vector<HostTensor> tensors = randomInputs(layer(), 64, 9);
  expectMoments(tensors[0], 1);                   // hidden_states
  expectMoments(tensors[1], 1 / std::sqrt(128.)); // router_weight
  expectMoments(tensors[3], 1 / std::sqrt(128.)); // w13
  expectMoments(tensors[4], 1 / std::sqrt(64.));  // w2
}

// Neither vanishing nor exploding.
TEST(RandomInputs, OutputsAreOfOrderOne) {
  std::vector<HostTensor> tensors = randomInputs(layer(), 64, 9);
  std::vector<TensorView> views;
  for (const HostTensor &tensor : tensors)
    views.push_back(tensor.view());
  Result<reference::Evaluation> evaluation =
      reference::evaluate(layer(), views, 64);
  ASSERT_TRUE(evaluation) << evaluation.error();
  double squares = 0;
  for (double value : evaluation->output)
    squares += value * value;
  double rms = std::sqrt(squares / double(evaluation->output.size()));
  EXPECT_GT(rms, 0.1);
  EXPECT_LT(rms, 3);
}

TEST(RandomInputs, GivenIdsAreDistinct) {
  LayerSpec spec = layer();
  spec.routing = RoutingSpec();
  spec.routing.source = RoutingSource::given;
  spec.topK = 16;
  std::vector<HostTensor> tensors = randomInputs(spec, 40, 5);
  const HostTensor &ids = tensors[tensors.size() - 2];
  const HostTensor &weights = tensors.back();
  ASSERT_EQ(ids.name(), "topk_ids");
  std::set<int32_t> first;
  for (int64_t row = 0; row < 40; ++row) {
    std::set<int32_t> seen(ids.as<int32_t>() + row * 16,
                           ids.as<int32_t>() + (row + 1) * 16);
    EXPECT_EQ(seen.size(), 16u);
    EXPECT_EQ(*seen.begin(), 0);
    EXPECT_EQ(*seen.rbegin(), 15);
    first.insert(ids.as<int32_t>()[row * 16]);
  }
  EXPECT_GT(first.size(), 8u);
  for (int64_t i = 0; i < weights.numElements(); ++i) {
    EXPECT_GE(weights.as<float>()[i], 0.5f / 16);
    EXPECT_LE(weights.as<float>()[i], 1.5f / 16);
  }
}

// The token's constant first column times the expert's is what its logit loses.
TEST(RandomInputs, SkewedRouting) {
  HostTensor hidden("hidden_states", DType::BF16, {5, 8});
  HostTensor router("router_weight", DType::F32, {6, 8});
  std::memset(hidden.data(), 0, size_t(hidden.numBytes()));
  std::memset(router.data(), 0, size_t(router.numBytes()));
  skewHiddenStates(hidden);
  skewRouter(router, 1.5, 3);
  std::multiset<float> found, expected;
  for (int64_t row = 0; row < 5; ++row)
    for (int64_t column = 0; column < 8; ++column)
      EXPECT_EQ(bf16ToFloat(hidden.as<uint16_t>()[row * 8 + column]),
                column == 0 ? 1.0f : 0.0f);
  for (int64_t expert = 0; expert < 6; ++expert) {
    found.insert(router.as<float>()[expert * 8]);
    expected.insert(static_cast<float>(-1.5 * std::log(double(expert + 1))));
    for (int64_t column = 1; column < 8; ++column)
      EXPECT_EQ(router.as<float>()[expert * 8 + column], 0.0f);
  }
  EXPECT_EQ(found, expected);
  // The seed says who is popular.
  HostTensor other("router_weight", DType::F32, {6, 8});
  std::memset(other.data(), 0, size_t(other.numBytes()));
  skewRouter(other, 1.5, 4);
  EXPECT_NE(std::memcmp(router.data(), other.data(), size_t(router.numBytes())),
            0);
}
