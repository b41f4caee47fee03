//===- ModelConfigTest.cpp - Families, layers and errors of configs -------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moe-mlir/Import/ModelConfig.h"
#include <algorithm>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

using namespace moe;
using nlohmann::json;

static json deepseekV3() {
  return {{"model_type", "deepseek_v3"},
          {"hidden_size", 64},
          {"moe_intermediate_size", 32},
          {"n_routed_experts", 16},
          {"n_shared_experts", 2},
          {"num_experts_per_tok", 4},
          {"n_group", 4},
          {"topk_group", 2},
          {"norm_topk_prob", true},
          {"routed_scaling_factor", 2.5},
          {"num_hidden_layers", 6},
          {"first_k_dense_replace", 3},
          {"torch_dtype", "bfloat16"}};
}

static json qwen3Moe() {
  return {{"model_type", "qwen3_moe"},   {"hidden_size", 64},
          {"moe_intermediate_size", 32}, {"num_experts", 16},
          {"num_experts_per_tok", 4},    {"norm_topk_prob", true},
          {"num_hidden_layers", 8},      {"torch_dtype", "bfloat16"}};
}

static Result<ModelLayer> parse(const json &config,
                                const ModelConfigOptions &options = {}) {
  return parseModelConfig(config.dump(), options);
}

static std::string errorOf(const json &config,
                           const ModelConfigOptions &options = {}) {
  Result<ModelLayer> layer = parse(config, options);
  return layer ? "no error" : layer.error();
}

static std::string errorWith(json config, const char *key, json value) {
  config[key] = std::move(value);
  return errorOf(config);
}

static ModelConfigOptions atLayer(int64_t layer) {
  ModelConfigOptions options;
  options.layer = layer;
  return options;
}

//===----------------------------------------------------------------------===//
// Published models
//===----------------------------------------------------------------------===//

namespace {
struct Published {
  const char *folder;
  const char *modelType;
  int64_t layer, hidden, inter, experts, topK, groups, topkGroups, shared;
  const char *score;
  bool bias, normalized;
  double scale;
  bool sequenceParallel;
  const char *activation;
};
} // namespace

static const Published published[] = {
    {"deepseek-v3", "deepseek_v3", 3, 7168, 2048, 256, 8, 8, 4, 2048, "sigmoid",
     true, true, 2.5, true, "swiglu"},
    {"deepseek-v2-lite", "deepseek_v2", 1, 2048, 1408, 64, 6, 1, 1, 2816,
     "softmax", false, false, 1.0, true, "swiglu"},
    {"kimi-k2", "kimi_k2", 1, 7168, 2048, 384, 8, 1, 1, 2048, "sigmoid", true,
     true, 2.827, true, "swiglu"},
    {"glm-4.5", "glm4_moe", 3, 5120, 1536, 160, 8, 1, 1, 1536, "sigmoid", true,
     true, 2.5, false, "swiglu"},
    {"qwen2-57b-a14b", "qwen2_moe", 0, 3584, 2560, 64, 8, 1, 1, 20480,
     "softmax", false, false, 1.0, false, "swiglu"},
    {"qwen3-30b-a3b", "qwen3_moe", 0, 2048, 768, 128, 8, 1, 1, 0, "softmax",
     false, true, 1.0, true, "swiglu"},
    {"qwen3-next-80b-a3b", "qwen3_next", 0, 2048, 512, 512, 10, 1, 1, 512,
     "softmax", false, true, 1.0, false, "swiglu"},
    {"mixtral-8x7b", "mixtral", 0, 4096, 14336, 8, 2, 1, 1, 0, "softmax", false,
     true, 1.0, false, "swiglu"},
    {"llama-4-maverick", "llama4_text", 1, 5120, 8192, 128, 1, 1, 1, 8192,
     "logits", false, false, 1.0, true, "swiglu"},
    {"gpt-oss-20b", "gpt_oss", 0, 2880, 2880, 32, 4, 1, 1, 0, "logits", false,
     false, 1.0, true, "swigluoai"},
    {"nemotron-3-nano-30b-a3b", "nemotron_h", 1, 2688, 1856, 128, 6, 1, 1, 3712,
     "sigmoid", true, true, 2.5, true, "relu2"},
};

TEST(ModelConfig, PublishedModels) {
  for (const Published &model : published) {
    SCOPED_TRACE(model.folder);
    Result<ModelLayer> layer = readModelConfig(std::string(MOE_EXAMPLES) + "/" +
                                               model.folder + "/config.json");
    ASSERT_TRUE(layer) << layer.error();
    const LayerSpec &spec = layer->spec;
    EXPECT_EQ(layer->modelType, model.modelType);
    EXPECT_EQ(layer->layer, model.layer);
    EXPECT_EQ(layer->sequenceParallel, model.sequenceParallel);
    EXPECT_EQ(spec.dtype, DType::BF16);
    EXPECT_EQ(spec.hiddenSize, model.hidden);
    EXPECT_EQ(spec.intermediateSize, model.inter);
    EXPECT_EQ(spec.numExperts, model.experts);
    EXPECT_EQ(spec.topK, model.topK);
    EXPECT_EQ(spec.routing.nGroup, model.groups);
    EXPECT_EQ(spec.routing.topkGroup, model.topkGroups);
    EXPECT_EQ(spec.shared.intermediateSize, model.shared);
    EXPECT_STREQ(name(spec.routing.score), model.score);
    EXPECT_EQ(spec.routing.hasCorrectionBias, model.bias);
    EXPECT_EQ(spec.routing.renormalize, model.normalized);
    EXPECT_EQ(spec.routing.scale, model.scale);
    EXPECT_STREQ(name(spec.activation.kind), model.activation);
    EXPECT_EQ(spec.name, std::string(model.modelType) + "_layer" +
                             std::to_string(model.layer));
  }
}

// Every weight of the layer has a source, and no source is without an input.
TEST(ModelConfig, SourcesMatchTheSignature) {
  for (const Published &model : published) {
    SCOPED_TRACE(model.folder);
    Result<ModelLayer> layer = readModelConfig(std::string(MOE_EXAMPLES) + "/" +
                                               model.folder + "/config.json");
    ASSERT_TRUE(layer) << layer.error();
    std::vector<std::string> inputs, sources;
    for (const TensorSpec &input : layerInputs(layer->spec))
      if (input.name != "hidden_states")
        inputs.push_back(input.name);
    for (const WeightSource &source : layer->weights.sources)
      sources.push_back(source.input);
    std::sort(inputs.begin(), inputs.end());
    std::sort(sources.begin(), sources.end());
    EXPECT_EQ(inputs, sources);
  }
}

TEST(ModelConfig, Quantization) {
  Result<ModelLayer> layer =
      readModelConfig(std::string(MOE_EXAMPLES) + "/deepseek-v3/config.json");
  ASSERT_TRUE(layer) << layer.error();
  EXPECT_EQ(layer->weights.quantization, "fp8");
  ASSERT_EQ(layer->warnings.size(), 1u);
  EXPECT_EQ(layer->warnings[0],
            "key 'quantization_config': weights quantized with 'fp8' cannot be "
            "loaded yet; the layer is imported with weights of dtype bf16");
}

//===----------------------------------------------------------------------===//
// What families do
//===----------------------------------------------------------------------===//

TEST(ModelConfig, DeepSeekV3) {
  Result<ModelLayer> layer = parse(deepseekV3());
  ASSERT_TRUE(layer) << layer.error();
  const RoutingSpec &routing = layer->spec.routing;
  EXPECT_EQ(routing.groupScore, GroupScore::top2_sum);
  EXPECT_EQ(routing.renormalizeEpsilon, 1e-20);
  EXPECT_EQ(layer->spec.shared.intermediateSize, 64);
  EXPECT_EQ(layer->spec.shared.count, 2);
  EXPECT_TRUE(layer->warnings.empty());
}

TEST(ModelConfig, DeepSeekV2Groups) {
  json config = deepseekV3();
  config["model_type"] = "deepseek_v2";
  config["norm_topk_prob"] = false;
  // Greedy choice ignores the groups.
  Result<ModelLayer> layer = parse(config);
  ASSERT_TRUE(layer) << layer.error();
  EXPECT_EQ(layer->spec.routing.nGroup, 1);
  config["topk_method"] = "group_limited_greedy";
  layer = parse(config);
  ASSERT_TRUE(layer) << layer.error();
  EXPECT_EQ(layer->spec.routing.nGroup, 4);
  EXPECT_EQ(layer->spec.routing.topkGroup, 2);
  EXPECT_EQ(layer->spec.routing.groupScore, GroupScore::max);
  EXPECT_FALSE(layer->spec.routing.hasCorrectionBias);
  EXPECT_EQ(errorWith(config, "topk_method", "noaux_tc"),
            "key 'topk_method': expected 'greedy' or 'group_limited_greedy' "
            "but got 'noaux_tc'");
}

TEST(ModelConfig, DeepSeekV2NeverRenormalizes) {
  json config = deepseekV3();
  config["model_type"] = "deepseek_v2";
  Result<ModelLayer> layer = parse(config);
  ASSERT_TRUE(layer) << layer.error();
  EXPECT_FALSE(layer->spec.routing.renormalize);
  ASSERT_EQ(layer->warnings.size(), 1u);
  EXPECT_EQ(layer->warnings[0], "key 'norm_topk_prob' is ignored: model_type "
                                "'deepseek_v2' never renormalizes");
}

TEST(ModelConfig, NoSharedExperts) {
  for (json none : {json(nullptr), json(0)}) {
    json config = deepseekV3();
    config["n_shared_experts"] = none;
    Result<ModelLayer> layer = parse(config);
    ASSERT_TRUE(layer) << layer.error();
    EXPECT_EQ(layer->spec.shared.intermediateSize, 0);
    for (const WeightSource &source : layer->weights.sources)
      EXPECT_EQ(source.input.find("shared"), std::string::npos);
  }
}

TEST(ModelConfig, Qwen2SharedGate) {
  json config = qwen3Moe();
  config["model_type"] = "qwen2_moe";
  config["shared_expert_intermediate_size"] = 48;
  Result<ModelLayer> layer = parse(config);
  ASSERT_TRUE(layer) << layer.error();
  EXPECT_EQ(layer->spec.shared.intermediateSize, 48);
  EXPECT_EQ(layer->spec.shared.gate, SharedGate::sigmoid);
}

// Defaults of norm_topk_prob differ.
TEST(ModelConfig, RenormalizationDefaults) {
  for (auto [type, expected] : {std::pair{"qwen2_moe", false},
                                {"qwen3_moe", false},
                                {"qwen3_next", true}}) {
    json config = qwen3Moe();
    config["model_type"] = type;
    config["shared_expert_intermediate_size"] = 48;
    config.erase("norm_topk_prob");
    Result<ModelLayer> layer = parse(config);
    ASSERT_TRUE(layer) << layer.error();
    EXPECT_EQ(layer->spec.routing.renormalize, expected) << type;
  }
}

TEST(ModelConfig, EitherExpertKey) {
  json config = qwen3Moe();
  config["num_local_experts"] = config["num_experts"];
  config.erase("num_experts");
  Result<ModelLayer> layer = parse(config);
  ASSERT_TRUE(layer) << layer.error();
  EXPECT_EQ(layer->spec.numExperts, 16);
}

TEST(ModelConfig, Activations) {
  json config = qwen3Moe();
  config["hidden_act"] = "gelu";
  EXPECT_EQ(parse(config)->spec.activation.kind, ActivationKind::geglu);
  config["hidden_act"] = "gelu_pytorch_tanh";
  EXPECT_EQ(parse(config)->spec.activation.kind, ActivationKind::geglu_tanh);
  EXPECT_EQ(errorWith(config, "hidden_act", "relu"),
            "key 'hidden_act': expected one of 'silu', 'gelu', "
            "'gelu_pytorch_tanh', 'gelu_new' but got 'relu'");
}

TEST(ModelConfig, Ernie) {
  json config = {{"model_type", "ernie4_5_moe"},
                 {"hidden_size", 64},
                 {"moe_intermediate_size", 32},
                 {"moe_num_experts", 8},
                 {"moe_k", 2},
                 {"moe_num_shared_experts", 2},
                 {"moe_layer_start_index", 1},
                 {"moe_layer_end_index", 2},
                 {"num_hidden_layers", 4},
                 {"dtype", "bfloat16"}};
  Result<ModelLayer> layer = parse(config);
  ASSERT_TRUE(layer) << layer.error();
  EXPECT_EQ(layer->layer, 1);
  EXPECT_TRUE(layer->spec.routing.hasCorrectionBias);
  EXPECT_EQ(layer->spec.routing.renormalizeMinimum, 1e-12);
  EXPECT_EQ(layer->spec.shared.intermediateSize, 64);
  EXPECT_EQ(errorOf(config, atLayer(3)),
            "expected a MoE layer but layer 3 is dense; the first MoE layer is "
            "1");
}

// Sizes may be lists with a value for each layer.
TEST(ModelConfig, HunyuanLists) {
  json config = {{"model_type", "hunyuan_v1_moe"},
                 {"hidden_size", 64},
                 {"intermediate_size", 128},
                 {"moe_intermediate_size", {32, 40}},
                 {"num_experts", 8},
                 {"moe_topk", {1, 2}},
                 {"num_shared_expert", {1, 2}},
                 {"num_hidden_layers", 3},
                 {"torch_dtype", "bfloat16"}};
  Result<ModelLayer> layer = parse(config, atLayer(1));
  ASSERT_TRUE(layer) << layer.error();
  EXPECT_EQ(layer->spec.intermediateSize, 40);
  EXPECT_EQ(layer->spec.topK, 2);
  EXPECT_EQ(layer->spec.shared.intermediateSize, 80);
  EXPECT_EQ(errorOf(config, atLayer(2)),
            "key 'moe_intermediate_size': expected a value for layer 2 but got "
            "an array of 2");
}

TEST(ModelConfig, MiniMaxWithoutBias) {
  json config = {{"model_type", "minimax_m2"}, {"hidden_size", 64},
                 {"intermediate_size", 32},    {"num_local_experts", 8},
                 {"num_experts_per_tok", 2},   {"num_hidden_layers", 2},
                 {"scoring_func", "sigmoid"},  {"use_routing_bias", true},
                 {"torch_dtype", "bfloat16"}};
  EXPECT_TRUE(parse(config)->spec.routing.hasCorrectionBias);
  config["use_routing_bias"] = false;
  EXPECT_FALSE(parse(config)->spec.routing.hasCorrectionBias);
}

TEST(ModelConfig, LongCatZeroExperts) {
  json config = {{"model_type", "longcat_flash"}, {"hidden_size", 64},
                 {"expert_ffn_hidden_size", 32},  {"n_routed_experts", 8},
                 {"zero_expert_num", 4},          {"moe_topk", 3},
                 {"routed_scaling_factor", 6.0},  {"num_layers", 2},
                 {"torch_dtype", "bfloat16"}};
  Result<ModelLayer> layer = parse(config);
  ASSERT_TRUE(layer) << layer.error();
  EXPECT_EQ(layer->spec.routing.zeroExperts, 4);
  EXPECT_EQ(layer->spec.routing.scale, 6);
  EXPECT_FALSE(layer->spec.routing.renormalize);
  EXPECT_EQ(errorWith(config, "zero_expert_type", "copy"),
            "key 'zero_expert_type': expected 'identity' for model_type "
            "'longcat_flash' but got 'copy'");
}

TEST(ModelConfig, NemotronLatent) {
  json config = {{"model_type", "nemotron_h"},
                 {"hidden_size", 64},
                 {"moe_intermediate_size", 32},
                 {"moe_shared_expert_intermediate_size", 48},
                 {"moe_latent_size", 16},
                 {"n_routed_experts", 8},
                 {"num_experts_per_tok", 2},
                 {"layers_block_type", {"mamba", "attention", "moe"}},
                 {"torch_dtype", "bfloat16"}};
  Result<ModelLayer> layer = parse(config);
  ASSERT_TRUE(layer) << layer.error();
  EXPECT_EQ(layer->layer, 2);
  EXPECT_EQ(layer->spec.latentSize, 16);
  EXPECT_EQ(layer->spec.shared.intermediateSize, 48);
  EXPECT_EQ(layer->weights.sources.size(), 8u);
  config["num_hidden_layers"] = 4;
  EXPECT_EQ(errorOf(config), "key 'layers_block_type': expected one block for "
                             "each of 4 layers but got 3");
}

TEST(ModelConfig, NestedTextConfig) {
  json text = qwen3Moe();
  text["model_type"] = "qwen3_5_moe_text";
  text["shared_expert_intermediate_size"] = 48;
  text.erase("torch_dtype");
  json config = {{"model_type", "qwen3_5_moe"},
                 {"dtype", "float16"},
                 {"text_config", text},
                 {"vision_config", {{"hidden_size", 1}}}};
  Result<ModelLayer> layer = parse(config);
  ASSERT_TRUE(layer) << layer.error();
  EXPECT_EQ(layer->modelType, "qwen3_5_moe_text");
  EXPECT_EQ(layer->spec.hiddenSize, 64);
  EXPECT_EQ(layer->spec.dtype, DType::F16);
  EXPECT_EQ(errorWith(config, "text_config", 3),
            "key 'text_config': expected an object but got 3");
}

//===----------------------------------------------------------------------===//
// Layers
//===----------------------------------------------------------------------===//

/// The MoE layers of a config, as digits.
static std::string moeLayers(const json &config) {
  std::string layers;
  for (int64_t layer = 0; layer < config["num_hidden_layers"]; ++layer)
    if (parse(config, atLayer(layer)))
      layers += std::to_string(layer);
  return layers;
}

TEST(ModelConfig, Layers) {
  json config = deepseekV3();
  EXPECT_EQ(moeLayers(config), "345");
  config["moe_layer_freq"] = 2;
  EXPECT_EQ(moeLayers(config), "4");

  config = qwen3Moe();
  EXPECT_EQ(moeLayers(config), "01234567");
  config["decoder_sparse_step"] = 2;
  EXPECT_EQ(moeLayers(config), "1357");
  config["mlp_only_layers"] = {3};
  EXPECT_EQ(moeLayers(config), "157");

  config = {{"model_type", "llama4_text"},    {"hidden_size", 64},
            {"intermediate_size", 32},        {"num_local_experts", 8},
            {"num_experts_per_tok", 1},       {"num_hidden_layers", 6},
            {"interleave_moe_layer_step", 2}, {"dtype", "bfloat16"}};
  EXPECT_EQ(moeLayers(config), "135");
  config["moe_layers"] = {0, 4};
  EXPECT_EQ(moeLayers(config), "04");
}

TEST(ModelConfig, LayerErrors) {
  EXPECT_EQ(errorOf(deepseekV3(), atLayer(0)),
            "expected a MoE layer but layer 0 is dense; the first MoE layer is "
            "3");
  EXPECT_EQ(errorOf(deepseekV3(), atLayer(6)),
            "expected a layer within 0 .. 5 but got 6");
  EXPECT_EQ(errorWith(deepseekV3(), "first_k_dense_replace", 9),
            "expected a MoE layer but all 6 layers of the model are dense");
}

//===----------------------------------------------------------------------===//
// Options
//===----------------------------------------------------------------------===//

TEST(ModelConfig, Overrides) {
  ModelConfigOptions options;
  options.dtype = DType::F32;
  options.numExperts = 8;
  Result<ModelLayer> layer = parse(deepseekV3(), options);
  ASSERT_TRUE(layer) << layer.error();
  EXPECT_EQ(layer->spec.dtype, DType::F32);
  EXPECT_EQ(layer->spec.numExperts, 8);
  EXPECT_EQ(layer->spec.intermediateSize, 32);
  options.numExperts = 3;
  EXPECT_EQ(errorOf(deepseekV3(), options),
            "key 'num_experts_per_tok': expected at most the number of "
            "experts, 3, but got 4");
  options.numExperts = 10;
  EXPECT_EQ(errorOf(deepseekV3(), options),
            "key 'n_group': expected a divisor of the number of experts, 10, "
            "but got 4");
}

TEST(ModelConfig, DTypes) {
  json config = deepseekV3();
  config["dtype"] = "float16";
  EXPECT_EQ(parse(config)->spec.dtype, DType::F16);
  EXPECT_EQ(errorWith(config, "dtype", "float8_e4m3fn"),
            "key 'dtype': expected one of 'bfloat16', 'float16', 'float32' but "
            "got \"float8_e4m3fn\"");
  config.erase("dtype");
  config.erase("torch_dtype");
  Result<ModelLayer> layer = parse(config);
  ASSERT_TRUE(layer) << layer.error();
  EXPECT_EQ(layer->spec.dtype, DType::F32);
  EXPECT_EQ(layer->warnings.at(0),
            "neither 'dtype' nor 'torch_dtype' is given: float32 is taken");
}

//===----------------------------------------------------------------------===//
// Errors
//===----------------------------------------------------------------------===//

TEST(ModelConfig, Unsupported) {
  std::string error = errorWith(deepseekV3(), "model_type", "gpt2");
  EXPECT_EQ(error.find("model_type 'gpt2' is not supported, expected one of "
                       "'deepseek_v2', 'deepseek_v3', 'dots1',"),
            0u)
      << error;
  json config = deepseekV3();
  config.erase("model_type");
  EXPECT_EQ(errorOf(config),
            "expected key 'model_type' with a string but it is missing");
}

TEST(ModelConfig, NotAConfig) {
  EXPECT_EQ(parseModelConfig("{\"a\": 1,").error().find("expected JSON but"),
            0u);
  EXPECT_EQ(parseModelConfig("[]").error(),
            "expected a JSON object but got an array of 0");
  EXPECT_EQ(readModelConfig("/no/such/config.json").error(),
            "/no/such/config.json: cannot be opened");
}

TEST(ModelConfig, MissingKeys) {
  for (const char *key :
       {"hidden_size", "moe_intermediate_size", "n_routed_experts",
        "n_shared_experts", "num_experts_per_tok", "num_hidden_layers"}) {
    json config = deepseekV3();
    config.erase(key);
    EXPECT_EQ(errorOf(config),
              "expected key '" + std::string(key) + "' but it is missing");
  }
  json config = qwen3Moe();
  config.erase("num_experts");
  EXPECT_EQ(errorOf(config), "expected key 'num_experts' or "
                             "'num_local_experts' but it is missing");
}

TEST(ModelConfig, WrongValues) {
  const json config = deepseekV3();
  EXPECT_EQ(errorWith(config, "hidden_size", "big"),
            "key 'hidden_size': expected an integer of at least 1 but got "
            "\"big\"");
  EXPECT_EQ(errorWith(config, "hidden_size", 64.5),
            "key 'hidden_size': expected an integer of at least 1 but got "
            "64.5");
  EXPECT_EQ(errorWith(config, "moe_intermediate_size", 0),
            "key 'moe_intermediate_size': expected an integer of at least 1 "
            "but got 0");
  EXPECT_EQ(errorWith(config, "hidden_size", 1ll << 40),
            "key 'hidden_size': expected an integer of at most 2147483647 but "
            "got 1099511627776");
  EXPECT_EQ(errorWith(config, "num_experts_per_tok", 17),
            "key 'num_experts_per_tok': expected at most the number of "
            "experts, 16, but got 17");
  EXPECT_EQ(errorWith(config, "n_group", 3),
            "key 'n_group': expected a divisor of the number of experts, 16, "
            "but got 3");
  EXPECT_EQ(errorWith(config, "topk_group", 5),
            "key 'topk_group': expected at most n_group, 4, but got 5");
  EXPECT_EQ(errorWith(config, "norm_topk_prob", 1),
            "key 'norm_topk_prob': expected true or false but got 1");
  EXPECT_EQ(errorWith(config, "routed_scaling_factor", "2"),
            "key 'routed_scaling_factor': expected a number but got \"2\"");
  EXPECT_EQ(errorWith(config, "scoring_func", "softmax"),
            "key 'scoring_func': expected 'sigmoid' for model_type "
            "'deepseek_v3' but got 'softmax'");
  EXPECT_EQ(errorWith(config, "quantization_config", "fp8"),
            "key 'quantization_config': expected an object but got \"fp8\"");
  EXPECT_EQ(errorWith(qwen3Moe(), "mlp_only_layers", 3),
            "key 'mlp_only_layers': expected an array of layer indices but got "
            "3");
}
