//===- WeightLoaderTest.cpp - Packing, prefixes and errors ----------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "TestSource.h"
#include "moe-mlir/Import/ModelConfig.h"
#include "moe-mlir/Import/RandomInputs.h"
#include <gtest/gtest.h>

using namespace moe;

static const char *config = R"({
  "model_type": "deepseek_v3", "hidden_size": 12, "moe_intermediate_size": 5,
  "n_routed_experts": 4, "n_shared_experts": 2, "num_experts_per_tok": 2,
  "n_group": 2, "topk_group": 1, "num_hidden_layers": 8,
  "first_k_dense_replace": 3, "torch_dtype": "float32"})";

static ModelLayer parse(const char *text = config) {
  Result<ModelLayer> layer = parseModelConfig(text);
  EXPECT_TRUE(layer) << layer.error();
  return *layer;
}

static TestSource::Entry slice(const HostTensor &tensor, int64_t firstElement,
                               std::vector<int64_t> shape) {
  const int64_t size = dtypeBytes(tensor.dtype());
  const char *begin = tensor.as<char>() + firstElement * size;
  return {tensor.dtype() == DType::F32    ? "F32"
          : tensor.dtype() == DType::BF16 ? "BF16"
                                          : "F16",
          shape,
          {begin, begin + numElements(shape) * size}};
}

/// The layer's inputs as a checkpoint has them, with experts packed or one by
/// one.
static TestSource checkpoint(const LayerSpec &spec,
                             const std::vector<HostTensor> &inputs,
                             bool packed) {
  const int64_t H = spec.hiddenSize, I = spec.intermediateSize;
  const int64_t E = spec.numExperts, S = spec.shared.intermediateSize;
  TestSource source;
  for (const HostTensor &tensor : inputs) {
    const std::string &name = tensor.name();
    if (name == "router_weight")
      source.entries["gate.weight"] = slice(tensor, 0, {E, H});
    if (name == "correction_bias")
      source.entries["gate.e_score_correction_bias"] = slice(tensor, 0, {E});
    if (name == "shared_w2")
      source.entries["shared_experts.down_proj.weight"] =
          slice(tensor, 0, {H, S});
    if (name == "shared_w13") {
      source.entries["shared_experts.gate_proj.weight"] =
          slice(tensor, 0, {S, H});
      source.entries["shared_experts.up_proj.weight"] =
          slice(tensor, S * H, {S, H});
    }
    if (name == "w13" && packed)
      source.entries["experts.gate_up_proj"] = slice(tensor, 0, {E, 2 * I, H});
    if (name == "w2" && packed)
      source.entries["experts.down_proj"] = slice(tensor, 0, {E, H, I});
    for (int64_t e = 0; e < E && !packed; ++e) {
      const std::string expert = "experts." + std::to_string(e);
      if (name == "w13") {
        source.entries[expert + ".gate_proj.weight"] =
            slice(tensor, e * 2 * I * H, {I, H});
        source.entries[expert + ".up_proj.weight"] =
            slice(tensor, (e * 2 + 1) * I * H, {I, H});
      }
      if (name == "w2")
        source.entries[expert + ".down_proj.weight"] =
            slice(tensor, e * H * I, {H, I});
    }
  }
  return source;
}

static void expectSame(const LoadedWeights &loaded,
                       const std::vector<HostTensor> &inputs) {
  ASSERT_EQ(loaded.tensors.size() + 1, inputs.size());
  for (size_t i = 0; i < loaded.tensors.size(); ++i) {
    const HostTensor &tensor = loaded.tensors[i], &input = inputs[i + 1];
    EXPECT_EQ(tensor.name(), input.name());
    EXPECT_EQ(tensor.shape(), input.shape());
    ASSERT_EQ(tensor.numBytes(), input.numBytes());
    EXPECT_EQ(std::memcmp(tensor.data(), input.data(), tensor.numBytes()), 0)
        << tensor.name();
  }
}

// Packed and per-expert checkpoints give the very same inputs.
TEST(WeightLoader, PackedAndPerExpert) {
  for (const char *dtype : {"float32", "bfloat16", "float16"}) {
    ModelConfigOptions options;
    options.dtype = *parseDType(dtype);
    ModelLayer layer = *parseModelConfig(config, options);
    std::vector<HostTensor> inputs = randomInputs(layer.spec, 1, 3);
    for (bool packed : {true, false}) {
      TestSource source = checkpoint(layer.spec, inputs, packed);
      Result<LoadedWeights> loaded =
          loadWeights(layer.spec, layer.weights, source);
      ASSERT_TRUE(loaded) << loaded.error();
      expectSame(*loaded, inputs);
      EXPECT_TRUE(loaded->notes.empty());
    }
  }
}

// The layer asked for is picked out of a model, whatever else there is.
TEST(WeightLoader, PicksTheLayer) {
  ModelLayer layer = parse();
  ASSERT_EQ(layer.layer, 3);
  std::vector<HostTensor> inputs = randomInputs(layer.spec, 1, 3);
  std::vector<HostTensor> others = randomInputs(layer.spec, 1, 4);
  TestSource model =
      checkpoint(layer.spec, inputs, false).withPrefix("model.layers.3.mlp.");
  for (const char *prefix :
       {"model.layers.4.mlp.", "model.layers.13.mlp.", "mtp.layers.3.mlp."})
    for (const auto &[name, entry] :
         checkpoint(layer.spec, others, false).withPrefix(prefix).entries)
      model.entries[name] = entry;
  model.entries["vision.layers.3.mlp.fc1.weight"] = {"F32", {0}, {}};
  model.entries["model.norm.weight"] = {"F32", {0}, {}};
  Result<LoadedWeights> loaded = loadWeights(layer.spec, layer.weights, model);
  ASSERT_TRUE(loaded) << loaded.error();
  expectSame(*loaded, inputs);
}

TEST(WeightLoader, ModulePrefixWithoutLayer) {
  ModelLayer layer = parse();
  std::vector<HostTensor> inputs = randomInputs(layer.spec, 1, 3);
  TestSource source = checkpoint(layer.spec, inputs, true).withPrefix("mlp.");
  source.entries["input_layernorm.weight"] = {"F32", {0}, {}};
  Result<LoadedWeights> loaded = loadWeights(layer.spec, layer.weights, source);
  ASSERT_TRUE(loaded) << loaded.error();
  expectSame(*loaded, inputs);
}

// The map travels as JSON and loads the same weights.
TEST(WeightLoader, MapRoundTrip) {
  ModelLayer layer = parse();
  Result<WeightMap> map = weightMapFromJSONText(toJSONText(layer.weights));
  ASSERT_TRUE(map) << map.error();
  EXPECT_EQ(toJSON(*map), toJSON(layer.weights));
  std::vector<HostTensor> inputs = randomInputs(layer.spec, 1, 3);
  TestSource source = checkpoint(layer.spec, inputs, false);
  Result<LoadedWeights> loaded = loadWeights(layer.spec, *map, source);
  ASSERT_TRUE(loaded) << loaded.error();
  expectSame(*loaded, inputs);
  nlohmann::json broken = toJSON(layer.weights);
  broken["sources"][0]["alternatives"][0]["layout"] = "columns";
  EXPECT_EQ(weightMapFromJSON(broken).error(),
            "weights.sources.router_weight: expected 'layout' to be one of "
            "'rows', 'interleaved', 'transposed', 'transposed_interleaved' but "
            "got 'columns'");
}

// Interleaved and transposed tensors, element by element.
TEST(WeightLoader, Layouts) {
  LayerSpec spec;
  spec.hiddenSize = 3;
  spec.intermediateSize = 2;
  spec.numExperts = 1;
  spec.topK = 1;
  spec.hasExpertBias = true;
  WeightMap map;
  map.sources = {{"router_weight", {{{"router"}, WeightLayout::Rows}}},
                 {"w13", {{{"up"}, WeightLayout::TransposedInterleaved}}},
                 {"w2", {{{"down"}, WeightLayout::Transposed}}},
                 {"b13", {{{"up_bias"}, WeightLayout::Interleaved}}},
                 {"b2", {{{"down_bias"}, WeightLayout::Rows}}}};
  auto floats = [](std::vector<float> values, std::vector<int64_t> shape) {
    const char *begin = reinterpret_cast<const char *>(values.data());
    return TestSource::Entry{
        "F32", shape, {begin, begin + values.size() * sizeof(float)}};
  };
  TestSource source;
  source.entries["router"] = floats({0, 0, 0}, {1, 3});
  // Columns g0 u0 g1 u1, one row for each of 3 inputs.
  source.entries["up"] = floats(
      {10, 20, 11, 21, 110, 120, 111, 121, 210, 220, 211, 221}, {1, 3, 4});
  source.entries["up_bias"] = floats({1, 2, 3, 4}, {1, 4});
  source.entries["down"] = floats({1, 2, 3, 4, 5, 6}, {1, 2, 3});
  source.entries["down_bias"] = floats({7, 8, 9}, {1, 3});
  Result<LoadedWeights> loaded = loadWeights(spec, map, source);
  ASSERT_TRUE(loaded) << loaded.error();
  auto values = [&](size_t i) {
    const HostTensor &tensor = loaded->tensors[i];
    return std::vector<float>(tensor.as<float>(),
                              tensor.as<float>() + tensor.numElements());
  };
  EXPECT_EQ(values(1), (std::vector<float>{10, 110, 210, 11, 111, 211, 20, 120,
                                           220, 21, 121, 221}));
  EXPECT_EQ(values(2), (std::vector<float>{1, 4, 2, 5, 3, 6}));
  EXPECT_EQ(values(3), (std::vector<float>{1, 3, 2, 4}));
  EXPECT_EQ(values(4), (std::vector<float>{7, 8, 9}));
}

// Data of a file need not be aligned.
TEST(WeightLoader, UnalignedData) {
  class Shifted : public TestSource {
  public:
    explicit Shifted(TestSource source) : TestSource(std::move(source)) {
      for (auto &[name, entry] : entries)
        entry.bytes.insert(entry.bytes.begin(), 0);
    }
    Result<SourceTensor> find(const std::string &name) override {
      Result<SourceTensor> tensor = TestSource::find(name);
      tensor->data = static_cast<const char *>(tensor->data) + 1;
      return tensor;
    }
  };
  ModelLayer layer = parse();
  std::vector<HostTensor> inputs = randomInputs(layer.spec, 1, 3);
  Shifted source(checkpoint(layer.spec, inputs, false));
  Result<LoadedWeights> loaded = loadWeights(layer.spec, layer.weights, source);
  ASSERT_TRUE(loaded) << loaded.error();
  expectSame(*loaded, inputs);
}

TEST(WeightLoader, Conversion) {
  ModelConfigOptions asBF16;
  asBF16.dtype = DType::BF16;
  ModelLayer layer = *parseModelConfig(config, asBF16);
  LayerSpec wide = layer.spec;
  wide.dtype = DType::F32;
  std::vector<HostTensor> inputs = randomInputs(wide, 1, 3);
  TestSource source = checkpoint(wide, inputs, false);
  EXPECT_EQ(loadWeights(layer.spec, layer.weights, source).error(),
            "expected 'gate.weight' of dtype bf16 but got f32; conversion has "
            "to be asked for");
  LoadOptions options;
  options.convertDType = true;
  Result<LoadedWeights> loaded =
      loadWeights(layer.spec, layer.weights, source, options);
  ASSERT_TRUE(loaded) << loaded.error();
  ASSERT_EQ(loaded->notes.size(), 5u);
  EXPECT_EQ(loaded->notes[1], "'w13' was converted from f32 to bf16");
  const HostTensor &w13 = loaded->tensors[2];
  for (int64_t i = 0; i < w13.numElements(); ++i)
    EXPECT_EQ(w13.as<uint16_t>()[i], floatToBF16(inputs[3].as<float>()[i]));
}

// A bias that is f32 in every layer is widened unasked: nothing is lost.
TEST(WeightLoader, WideningOfBiases) {
  ModelConfigOptions asBF16;
  asBF16.dtype = DType::BF16;
  ModelLayer layer = *parseModelConfig(config, asBF16);
  std::vector<HostTensor> inputs = randomInputs(layer.spec, 1, 3);
  TestSource source = checkpoint(layer.spec, inputs, true);
  source.entries["gate.e_score_correction_bias"] = {
      "BF16", {1, 4}, {0, 0, '\x80', '\x3f', 0, '\x40', 0, '\xc0'}};
  Result<LoadedWeights> loaded = loadWeights(layer.spec, layer.weights, source);
  ASSERT_TRUE(loaded) << loaded.error();
  const float *bias = loaded->tensors[1].as<float>();
  EXPECT_EQ(bias[0], 0);
  EXPECT_EQ(bias[1], 1);
  EXPECT_EQ(bias[2], 2);
  EXPECT_EQ(bias[3], -2);
  EXPECT_EQ(loaded->notes.at(0),
            "'correction_bias' was converted from bf16 to f32");
}

class LoaderErrors : public testing::Test {
protected:
  template <typename Change> std::string error(Change change) {
    TestSource source = checkpoint(layer.spec, inputs, packed);
    change(source.entries);
    TestSource model = source.withPrefix("model.layers.3.mlp.");
    Result<LoadedWeights> loaded =
        loadWeights(layer.spec, layer.weights, model);
    return loaded ? "no error" : loaded.error();
  }

  ModelLayer layer = parse();
  std::vector<HostTensor> inputs = randomInputs(layer.spec, 1, 3);
  bool packed = false;
};

TEST_F(LoaderErrors, Missing) {
  EXPECT_EQ(error([](auto &e) { e.erase("experts.2.up_proj.weight"); }),
            "missing tensor 'model.layers.3.mlp.experts.2.up_proj.weight': "
            "expected shape [5, 12] for 'w13'");
  EXPECT_EQ(error([](auto &e) { e.erase("gate.weight"); }),
            "missing tensor for 'router_weight' of layer 3: expected "
            "'gate.weight' in 'model.layers.3.mlp.'");
  packed = true;
  EXPECT_EQ(error([](auto &e) { e.erase("experts.gate_up_proj"); }),
            "missing tensor for 'w13' of layer 3: expected "
            "'experts.gate_up_proj' or 'experts.{e}.gate_proj.weight', "
            "'experts.{e}.up_proj.weight' in 'model.layers.3.mlp.'");
}

TEST_F(LoaderErrors, Extra) {
  EXPECT_EQ(error([](auto &e) {
              e["experts.4.up_proj.weight"] = e["experts.3.up_proj.weight"];
              e["gate.bias"] = e["gate.e_score_correction_bias"];
            }),
            "unexpected tensors, which no input of the layer uses: "
            "'model.layers.3.mlp.experts.4.up_proj.weight', "
            "'model.layers.3.mlp.gate.bias'");
}

TEST_F(LoaderErrors, Shape) {
  EXPECT_EQ(
      error([](auto &e) { e["experts.1.down_proj.weight"].shape = {5, 12}; }),
      "expected 'model.layers.3.mlp.experts.1.down_proj.weight' of shape "
      "[12, 5] but got [5, 12]");
  packed = true;
  EXPECT_EQ(error([](auto &e) { e["experts.down_proj"].shape = {2, 24, 5}; }),
            "expected 'model.layers.3.mlp.experts.down_proj' of shape [4, 12, "
            "5] but got [2, 24, 5]");
}

TEST_F(LoaderErrors, DType) {
  EXPECT_EQ(error([](auto &e) { e["gate.weight"].dtype = "F8_E4M3"; }),
            "expected 'model.layers.3.mlp.gate.weight' of dtype f32 but got "
            "F8_E4M3");
  layer.weights.quantization = "fp8";
  EXPECT_EQ(error([](auto &e) { e["gate.weight"].dtype = "F8_E4M3"; }),
            "expected 'model.layers.3.mlp.gate.weight' of dtype f32 but got "
            "F8_E4M3; weights quantized with 'fp8' cannot be loaded yet");
}

TEST_F(LoaderErrors, OtherLayersOnly) {
  layer.weights.layer = 5;
  EXPECT_EQ(error([](auto &) {}),
            "expected tensors of layer 5 but the file holds layers 3");
}

TEST_F(LoaderErrors, DenseLayerInFile) {
  EXPECT_EQ(error([](auto &e) {
              auto entry = e["gate.weight"];
              e.clear();
              e["gate_proj.weight"] = entry;
            }),
            "expected a MoE module 'mlp' in layer 3 but none of the file's "
            "tensors is a weight of one");
}

TEST_F(LoaderErrors, SeveralModules) {
  TestSource both;
  for (const char *prefix : {"a.model.layers.3.mlp.", "b.model.layers.3.mlp."})
    for (const auto &[name, entry] :
         checkpoint(layer.spec, inputs, true).withPrefix(prefix).entries)
      both.entries[name] = entry;
  EXPECT_EQ(loadWeights(layer.spec, layer.weights, both).error(),
            "expected one MoE module of layer 3 but got several: "
            "'a.model.layers.3.mlp.', 'b.model.layers.3.mlp.'");
}
