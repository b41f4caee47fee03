//===- OracleTest.cpp - Against the modules of transformers ---------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// What MoE modules of Hugging Face transformers computed on small layers, from
// their own config.json and state_dict, must come out of parsing that config,
// loading those weights and evaluating.
//
//===----------------------------------------------------------------------===//

#include "TestSource.h"
#include "moe-mlir/Import/ModelConfig.h"
#include "moe-mlir/Reference/Compare.h"
#include <gtest/gtest.h>

using namespace moe;

class Oracle : public testing::TestWithParam<const char *> {
protected:
  std::string file(const char *name) const {
    return std::string(MOE_ORACLES) + "/" + GetParam() + "/" + name;
  }

  /// What the layer gives for the oracle's input and `weights`.
  Result<reference::Comparison> compareWith(TensorSource &weights) const {
    Result<ModelLayer> layer = readModelConfig(file("config.json"));
    if (!layer)
      return Failure{layer.error()};
    Result<LoadedWeights> loaded =
        loadWeights(layer->spec, layer->weights, weights);
    if (!loaded)
      return Failure{loaded.error()};
    TestSource input = readTestFile(file("input.safetensors"));
    TestSource output = readTestFile(file("output.safetensors"));
    const auto &x = input.entries.at("hidden_states");
    const auto &y = output.entries.at("output");
    std::vector<TensorView> inputs = {
        {"hidden_states", DType::F32, x.shape, x.bytes.data()}};
    for (const HostTensor &tensor : loaded->tensors)
      inputs.push_back(tensor.view());
    Result<reference::Evaluation> evaluation =
        reference::evaluate(layer->spec, inputs, x.shape[0]);
    if (!evaluation)
      return Failure{evaluation.error()};
    return reference::compare({"output", DType::F32, y.shape, y.bytes.data()},
                              *evaluation);
  }
};

TEST_P(Oracle, Agrees) {
  TestSource weights = readTestFile(file("model.safetensors"));
  Result<reference::Comparison> comparison = compareWith(weights);
  ASSERT_TRUE(comparison) << comparison.error();
  EXPECT_EQ(comparison->rowsCompared, 13);
  EXPECT_LT(comparison->relativeError, 5e-7);
  RecordProperty("relative_error", std::to_string(comparison->relativeError));
}

// The same with the names that tensors have in a whole model.
TEST_P(Oracle, AgreesInsideAModel) {
  Result<ModelLayer> layer = readModelConfig(file("config.json"));
  ASSERT_TRUE(layer) << layer.error();
  TestSource weights =
      readTestFile(file("model.safetensors"))
          .withPrefix("model.layers.0." + layer->weights.modules[0] + ".");
  weights.entries["model.layers.0.self_attn.q_proj.weight"] = {
      "F32", {1}, {0, 0, 0, 0}};
  weights.entries["lm_head.weight"] = {"F32", {1}, {0, 0, 0, 0}};
  Result<reference::Comparison> comparison = compareWith(weights);
  ASSERT_TRUE(comparison) << comparison.error();
  EXPECT_LT(comparison->relativeError, 5e-7);
}

INSTANTIATE_TEST_SUITE_P(Families, Oracle,
                         testing::Values("deepseek_v2", "deepseek_v3",
                                         "glm4_moe", "gpt_oss", "llama4",
                                         "mixtral", "qwen2_moe", "qwen3_next"),
                         [](const auto &info) {
                           return std::string(info.param);
                         });
