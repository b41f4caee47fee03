//===- LayerSpecTest.cpp - JSON and constraints of layers -----------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moe-mlir/Layer/LayerSpec.h"
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

using namespace moe;
using nlohmann::json;

/// A layer with every field away from its default.
static LayerSpec unusualLayer() {
  LayerSpec spec;
  spec.name = "odd";
  spec.hiddenSize = 24;
  spec.intermediateSize = 10;
  spec.numExperts = 12;
  spec.topK = 4;
  spec.dtype = DType::BF16;
  spec.routing.score = ScoreFunction::sigmoid;
  spec.routing.hasRouterBias = true;
  spec.routing.hasCorrectionBias = true;
  spec.routing.nGroup = 4;
  spec.routing.topkGroup = 2;
  spec.routing.groupScore = GroupScore::top2_sum;
  spec.routing.renormalize = true;
  spec.routing.renormalizeEpsilon = 1e-20;
  spec.routing.renormalizeMinimum = 1e-12;
  spec.routing.scale = 2.827;
  spec.activation = {ActivationKind::swigluoai, 7.0, 1.702};
  spec.hasExpertBias = true;
  spec.shared = {20, 2, SharedGate::sigmoid};
  spec.latentSize = 16;
  return spec;
}

static std::string errorOf(const json &object) {
  Result<LayerSpec> spec = layerSpecFromJSON(object);
  return spec ? "no error" : spec.error();
}

// What was written is read back, doubles to the last bit.
TEST(LayerSpec, RoundTrip) {
  json written = toJSON(unusualLayer());
  Result<LayerSpec> read = layerSpecFromJSONText(toJSONText(unusualLayer()));
  ASSERT_TRUE(read) << read.error();
  EXPECT_EQ(toJSON(*read), written);
  EXPECT_EQ(read->routing.scale, 2.827);
  EXPECT_EQ(read->routing.renormalizeEpsilon, 1e-20);
  EXPECT_EQ(read->dtype, DType::BF16);
}

// Each enumerator has a spelling of its own that is read back.
TEST(LayerSpec, Spellings) {
  for (const char *kind : {"swiglu", "geglu", "geglu_tanh", "relu2"}) {
    json object = toJSON(unusualLayer());
    object["activation"] = {{"kind", kind}, {"limit", 0}, {"alpha", 0}};
    Result<LayerSpec> read = layerSpecFromJSON(object);
    ASSERT_TRUE(read) << read.error();
    EXPECT_STREQ(name(read->activation.kind), kind);
  }
  for (const char *score : {"softmax", "sigmoid", "sqrt_softplus", "logits"}) {
    json object = toJSON(unusualLayer());
    object["routing"]["score"] = score;
    Result<LayerSpec> read = layerSpecFromJSON(object);
    ASSERT_TRUE(read) << read.error();
    EXPECT_STREQ(name(read->routing.score), score);
  }
}

TEST(LayerSpec, StrictReading) {
  json object = toJSON(unusualLayer());
  object["routing"]["top_p"] = 1;
  EXPECT_EQ(errorOf(object), "layer.routing: unknown key 'top_p'");

  object = toJSON(unusualLayer());
  object.erase("top_k");
  EXPECT_EQ(errorOf(object), "layer: expected key 'top_k' but it is missing");

  object = toJSON(unusualLayer());
  object["hidden_size"] = "wide";
  EXPECT_EQ(errorOf(object),
            "layer: expected 'hidden_size' to be an integer but got \"wide\"");

  object = toJSON(unusualLayer());
  object["shared"]["gate"] = "tanh";
  EXPECT_EQ(errorOf(object), "layer.shared: expected 'gate' to be one of "
                             "'none', 'sigmoid' but got 'tanh'");

  object = toJSON(unusualLayer());
  object["dtype"] = "f8";
  EXPECT_EQ(errorOf(object),
            "layer.dtype: expected a dtype (float32, bfloat16, float16, int32) "
            "but got 'f8'");

  EXPECT_EQ(errorOf(json::array()),
            "layer: expected an object but got an array of 0");
  EXPECT_EQ(layerSpecFromJSONText("{\"name\": ]").error().substr(0, 26),
            "layer: expected JSON but b");
}

TEST(LayerSpec, Constraints) {
  auto check = [](auto change) {
    LayerSpec spec = unusualLayer();
    change(spec);
    Status status = validate(spec);
    return status ? std::string("valid") : status.error();
  };
  EXPECT_EQ(check([](LayerSpec &) {}), "valid");
  EXPECT_EQ(check([](LayerSpec &s) { s.topK = 13; }),
            "expected 'top_k' to be within 1 .. num_experts + zero_experts = "
            "12 but got 13");
  EXPECT_EQ(check([](LayerSpec &s) { s.routing.nGroup = 5; }),
            "expected 'n_group' to be a divisor of num_experts = 12 but got 5");
  EXPECT_EQ(check([](LayerSpec &s) { s.routing.topkGroup = 5; }),
            "expected 'topk_group' to be within 1 .. n_group = 4 but got 5");
  EXPECT_EQ(check([](LayerSpec &s) { s.routing.topkGroup = 1; }),
            "expected 'top_k' to be at most the experts of the kept groups, "
            "topk_group * num_experts / n_group = 3 but got 4");
  EXPECT_EQ(check([](LayerSpec &s) {
              s.routing.nGroup = 12;
              s.routing.topkGroup = 12;
            }),
            "expected 'n_group' to be at most num_experts / 2 where "
            "group_score is 'top2_sum' but got 12");
  EXPECT_EQ(check([](LayerSpec &s) { s.routing.weightOnInput = true; }),
            "expected 'top_k' to be 1 where weight_on_input is set but got 4");
  EXPECT_EQ(check([](LayerSpec &s) { s.shared.intermediateSize = 0; }),
            "expected 'shared.gate' to be 'none' without shared experts but "
            "got sigmoid");
  EXPECT_EQ(
      check([](LayerSpec &s) { s.routing.source = RoutingSource::given; }),
      "expected 'has_router_bias' to be false where source is 'given' "
      "but got true");
}
