//===- ModelConfig.cpp - From config.json to a layer ----------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moe-mlir/Import/ModelConfig.h"
#include "ConfigKeys.h"
#include "ModelFamilies.h"
#include "moe-mlir/Support/JSONFields.h"
#include <algorithm>
#include <fstream>
#include <iterator>

using namespace moe;
using nlohmann::json;

namespace {
/// Reads one config for one family.
class ConfigReader : private ConfigKeys {
public:
  ConfigReader(const json &outer, const json &text, const ModelFamily &family,
               const ModelConfigOptions &options)
      : ConfigKeys(text), outer(outer), family(family), options(options) {}

  Result<ModelLayer> read();

private:
  std::vector<char> readMoELayers();
  std::vector<char> readPattern(int64_t numLayers);
  void chooseLayer();
  void readDType();
  void readQuantization();
  void readSizes();
  void readRouting();
  void readGroups();
  void readActivation();
  void readShared();
  void checkExpectations();
  void selectSources();

  const json &outer;
  const ModelFamily &family;
  const ModelConfigOptions &options;
  ModelLayer result;
};
} // namespace

/// One character or one name for each layer.
std::vector<char> ConfigReader::readPattern(int64_t numLayers) {
  std::vector<char> isMoE;
  std::string key;
  const json *value =
      find({"hybrid_override_pattern", "layers_block_type"}, &key);
  if (!value) {
    failMissing({"hybrid_override_pattern", "layers_block_type"});
    return isMoE;
  }
  if (const auto *pattern = value->get_ptr<const std::string *>()) {
    for (char block : *pattern)
      isMoE.push_back(block == 'E');
  } else if (value->is_array()) {
    for (const json &block : *value)
      isMoE.push_back(block == "moe");
  } else {
    fail(key, "one block for each layer", describe(*value));
    return isMoE;
  }
  if (static_cast<int64_t>(isMoE.size()) != numLayers)
    fail(key, "one block for each of " + std::to_string(numLayers) + " layers",
         std::to_string(isMoE.size()));
  return isMoE;
}

/// Which layers are MoE layers.
std::vector<char> ConfigReader::readMoELayers() {
  const int64_t numLayers =
      readSize(family.numLayers, 1,
               family.layers == ModelFamily::Layers::Pattern &&
                       find({"layers_block_type"})
                   ? std::optional<int64_t>(static_cast<int64_t>(
                         find({"layers_block_type"})->size()))
                   : std::nullopt);
  // More would be no model, and a typing error should not cost memory.
  if (numLayers > 100000) {
    fail(family.numLayers.front(), "at most 100000", std::to_string(numLayers));
    return {};
  }
  std::vector<char> isMoE(numLayers, true);
  switch (family.layers) {
  case ModelFamily::Layers::All:
    break;
  case ModelFamily::Layers::FirstDense: {
    int64_t first =
        readSize({"first_k_dense_replace"}, 0, family.defaultFirstDense);
    int64_t step = readSize({"moe_layer_freq"}, 1, 1);
    for (int64_t layer = 0; layer < numLayers; ++layer)
      isMoE[layer] = layer >= first && layer % step == 0;
    break;
  }
  case ModelFamily::Layers::SparseStep: {
    int64_t step = readSize({"decoder_sparse_step"}, 1, 1);
    std::vector<int64_t> dense = readIndices("mlp_only_layers");
    for (int64_t layer = 0; layer < numLayers; ++layer)
      isMoE[layer] =
          (layer + 1) % step == 0 &&
          std::find(dense.begin(), dense.end(), layer) == dense.end();
    break;
  }
  case ModelFamily::Layers::Interleaved: {
    int64_t step = readSize({"interleave_moe_layer_step"}, 1, 1);
    bool listed = find({"moe_layers"});
    std::vector<int64_t> layers = readIndices("moe_layers");
    for (int64_t layer = 0; layer < numLayers; ++layer)
      isMoE[layer] = listed ? std::find(layers.begin(), layers.end(), layer) !=
                                  layers.end()
                            : (layer + 1) % step == 0;
    break;
  }
  case ModelFamily::Layers::Range: {
    int64_t first = readSize({"moe_layer_start_index"}, 0, 1);
    int64_t last = readSize({"moe_layer_end_index"}, -1, -1);
    int64_t step = readSize({"moe_layer_interval"}, 1, 1);
    for (int64_t layer = 0; layer < numLayers; ++layer)
      isMoE[layer] = layer >= first && (last < 0 || layer <= last) &&
                     (layer + 1) % step == 0;
    break;
  }
  case ModelFamily::Layers::Pattern:
    isMoE = readPattern(numLayers);
    break;
  }
  return isMoE;
}

void ConfigReader::chooseLayer() {
  std::vector<char> isMoE = readMoELayers();
  if (!message.empty())
    return;
  auto first = std::find(isMoE.begin(), isMoE.end(), true);
  if (first == isMoE.end()) {
    message = "expected a MoE layer but all " + std::to_string(isMoE.size()) +
              " layers of the model are dense";
    return;
  }
  const int64_t firstMoE = first - isMoE.begin();
  result.layer = options.layer.value_or(firstMoE);
  const int64_t numLayers = static_cast<int64_t>(isMoE.size());
  if (result.layer < 0 || result.layer >= numLayers)
    message = "expected a layer within 0 .. " + std::to_string(numLayers - 1) +
              " but got " + std::to_string(result.layer);
  else if (!isMoE[result.layer])
    message = "expected a MoE layer but layer " + std::to_string(result.layer) +
              " is dense; the first MoE layer is " + std::to_string(firstMoE);
}

void ConfigReader::readDType() {
  if (options.dtype) {
    result.spec.dtype = *options.dtype;
    return;
  }
  // Multimodal configs may name it outside of text_config only.
  for (const json *config : {&text, &outer})
    for (const char *key : {"dtype", "torch_dtype"}) {
      auto found = config->find(key);
      if (found == config->end() || found->is_null())
        continue;
      const auto *name = found->get_ptr<const std::string *>();
      Result<DType> dtype = name ? parseDType(*name) : Failure{};
      if (!dtype || *dtype == DType::I32)
        return fail(key, "one of 'bfloat16', 'float16', 'float32'",
                    describe(*found));
      result.spec.dtype = *dtype;
      return;
    }
  result.warnings.push_back(
      "neither 'dtype' nor 'torch_dtype' is given: float32 is taken");
}

void ConfigReader::readQuantization() {
  for (const json *config : {&text, &outer}) {
    auto found = config->find("quantization_config");
    if (found == config->end() || found->is_null())
      continue;
    if (!found->is_object())
      return fail("quantization_config", "an object", describe(*found));
    auto method = found->find("quant_method");
    const auto *name = method == found->end()
                           ? nullptr
                           : method->get_ptr<const std::string *>();
    result.weights.quantization = name ? *name : "an unnamed method";
    result.warnings.push_back(
        "key 'quantization_config': weights quantized with '" +
        result.weights.quantization +
        "' cannot be loaded yet; the layer is imported with weights of dtype " +
        dtypeName(result.spec.dtype));
    return;
  }
}

void ConfigReader::readSizes() {
  LayerSpec &spec = result.spec;
  spec.hiddenSize = readSize({"hidden_size"}, 1);
  spec.intermediateSize = readSize(family.intermediateSize, 1);
  spec.numExperts = readSize(family.numExperts, 1);
  if (options.numExperts) {
    spec.numExperts = *options.numExperts;
    if (spec.numExperts < 1 && message.empty())
      message = "expected at least 1 expert but got " +
                std::to_string(spec.numExperts);
  }
  spec.latentSize = readSize(family.latentSize, 0, 0);
  spec.routing.zeroExperts = readSize(family.zeroExperts, 0, 0);
  spec.topK = readSize(family.topK, 1);
  if (spec.topK > spec.numRouted())
    fail(family.topK.front(),
         "at most the number of experts, " + std::to_string(spec.numRouted()) +
             ",",
         std::to_string(spec.topK));
}

void ConfigReader::readGroups() {
  RoutingSpec &routing = result.spec.routing;
  if (family.groups == ModelFamily::Groups::None)
    return;
  if (family.groups == ModelFamily::Groups::ByMethod) {
    std::string method = readText("topk_method", "greedy");
    if (method == "greedy")
      return;
    if (method != "group_limited_greedy")
      return fail("topk_method", "'greedy' or 'group_limited_greedy'",
                  "'" + method + "'");
  }
  routing.nGroup = readSize({"n_group"}, 1, family.defaultGroups);
  routing.topkGroup = readSize({"topk_group"}, 1, family.defaultTopkGroups);
  if (result.spec.numExperts % routing.nGroup != 0)
    fail("n_group",
         "a divisor of the number of experts, " +
             std::to_string(result.spec.numExperts) + ",",
         std::to_string(routing.nGroup));
  if (routing.topkGroup > routing.nGroup)
    fail("topk_group",
         "at most n_group, " + std::to_string(routing.nGroup) + ",",
         std::to_string(routing.topkGroup));
}

void ConfigReader::readRouting() {
  RoutingSpec &routing = result.spec.routing;
  const int64_t zeroExperts = routing.zeroExperts;
  routing = family.routing;
  routing.zeroExperts = zeroExperts;
  readGroups();
  routing.hasCorrectionBias = readFlag(family.correctionBias);
  routing.renormalize = readFlag(family.renormalize);
  routing.renormalizeMinimum = readNumber(family.renormalizeMinimum);
  routing.scale = readNumber(family.scale);
  // Of two descriptions of one layer the plainer one is given.
  if (routing.nGroup == 1)
    routing.groupScore = GroupScore::max;
  if (!routing.renormalize)
    routing.renormalizeEpsilon = routing.renormalizeMinimum = 0;
}

void ConfigReader::readActivation() {
  ActivationSpec &activation = result.spec.activation;
  activation = family.activation;
  activation.limit =
      readNumber({family.activationLimit, family.activation.limit});
  if (family.activationKey.empty())
    return;
  std::string fallback = activation.isGated() ? "silu" : "relu2";
  std::string name = readText(family.activationKey, fallback);
  if (!activation.isGated()) {
    if (name != "relu2")
      fail(family.activationKey, "'relu2'", "'" + name + "'");
    return;
  }
  if (name == "silu" || name == "swish")
    activation.kind = ActivationKind::swiglu;
  else if (name == "gelu")
    activation.kind = ActivationKind::geglu;
  else if (name == "gelu_pytorch_tanh" || name == "gelu_new")
    activation.kind = ActivationKind::geglu_tanh;
  else
    fail(family.activationKey,
         "one of 'silu', 'gelu', 'gelu_pytorch_tanh', 'gelu_new'",
         "'" + name + "'");
}

void ConfigReader::readShared() {
  SharedSpec &shared = result.spec.shared;
  if (family.shared == ModelFamily::Shared::None)
    return;
  // A null says that there are none; a missing key says nothing.
  const bool isNull =
      std::any_of(family.sharedKeys.begin(), family.sharedKeys.end(),
                  [&](const std::string &key) { return text.contains(key); });
  const int64_t value = readSize(
      family.sharedKeys, 0, isNull ? std::optional<int64_t>(0) : std::nullopt);
  if (value == 0)
    return;
  shared.gate = family.sharedGate;
  if (family.shared == ModelFamily::Shared::Count) {
    shared.count = value;
    shared.intermediateSize = value * result.spec.intermediateSize;
  } else {
    shared.count = 1;
    shared.intermediateSize = value;
  }
}

/// Keys that the family's layer takes one value of.
void ConfigReader::checkExpectations() {
  for (const auto &[key, expected] : family.expectedText) {
    std::string found = readText(key, expected);
    if (found != expected)
      fail(key, "'" + expected + "' for model_type '" + family.modelType + "'",
           "'" + found + "'");
  }
  for (const auto &[key, expected] : family.expectedFlag)
    if (readFlag({{key}, expected}) != expected)
      fail(key,
           std::string(expected ? "true" : "false") + " for model_type '" +
               family.modelType + "'",
           expected ? "false" : "true");
  // Implementations agree on what these families do, and their published
  // configs do not always.
  if (family.renormalize.keys.empty() &&
      !family.expectedFlag.count("norm_topk_prob") &&
      readFlag({{"norm_topk_prob"}, family.renormalize.value}) !=
          family.renormalize.value)
    result.warnings.push_back(
        std::string("key 'norm_topk_prob' is ignored: model_type '") +
        family.modelType + "' " +
        (family.renormalize.value ? "always" : "never") + " renormalizes");
}

/// The sources of the inputs that this layer has.
void ConfigReader::selectSources() {
  for (const FamilySource &source : family.sources)
    if (getTensor(source.input).present(result.spec, {}))
      result.weights.sources.push_back(
          {getName(source.input, result.spec.activation), source.alternatives});
}

Result<ModelLayer> ConfigReader::read() {
  result.modelType = family.modelType;
  result.sequenceParallel = family.sequenceParallel;
  result.weights.modules = family.modules;
  chooseLayer();
  if (!message.empty())
    return Failure{message};
  result.weights.layer = result.layer;
  if (family.sizesPerLayer)
    listIndex = result.layer;
  result.spec.name = family.modelType + "_layer" + std::to_string(result.layer);
  result.spec.hasExpertBias = family.expertBias;
  readDType();
  readQuantization();
  readSizes();
  readRouting();
  readActivation();
  readShared();
  checkExpectations();
  if (!message.empty())
    return Failure{message};
  if (Status status = validate(result.spec); !status)
    return Failure{"model_type '" + family.modelType + "': " + status.error()};
  selectSources();
  return std::move(result);
}

std::vector<std::string> moe::supportedModelTypes() {
  std::vector<std::string> types;
  for (const ModelFamily &family : modelFamilies())
    types.push_back(family.modelType);
  std::sort(types.begin(), types.end());
  return types;
}

static const std::string *modelTypeOf(const json &config) {
  auto found = config.find("model_type");
  return found == config.end() ? nullptr
                               : found->get_ptr<const std::string *>();
}

Result<ModelLayer> moe::parseModelConfig(const std::string &content,
                                         const ModelConfigOptions &options) {
  Result<json> parsed = parseJSON(content);
  if (!parsed)
    return Failure{parsed.error()};
  const json &outer = *parsed;
  if (!outer.is_object())
    return Failure{"expected a JSON object but got " + describe(outer)};
  const json *text = &outer;
  if (auto nested = outer.find("text_config");
      nested != outer.end() && !nested->is_null()) {
    if (!nested->is_object())
      return Failure{"key 'text_config': expected an object but got " +
                     describe(*nested)};
    text = &*nested;
  }
  const std::string *inner = modelTypeOf(*text);
  const std::string *whole = modelTypeOf(outer);
  if (!inner && !whole)
    return Failure{"expected key 'model_type' with a string but it is missing"};
  const ModelFamily *family = inner ? findModelFamily(*inner) : nullptr;
  if (!family && whole)
    family = findModelFamily(*whole);
  if (!family) {
    std::string known;
    for (const std::string &type : supportedModelTypes())
      known += (known.empty() ? "'" : ", '") + type + "'";
    return Failure{"model_type '" + (inner ? *inner : *whole) +
                   "' is not supported, expected one of " + known};
  }
  return ConfigReader(outer, *text, *family, options).read();
}

Result<ModelLayer> moe::readModelConfig(const std::string &path,
                                        const ModelConfigOptions &options) {
  std::ifstream file(path, std::ios::binary);
  if (!file)
    return Failure{path + ": cannot be opened"};
  std::string content((std::istreambuf_iterator<char>(file)),
                      std::istreambuf_iterator<char>());
  if (file.bad())
    return Failure{path + ": cannot be read"};
  Result<ModelLayer> layer = parseModelConfig(content, options);
  if (!layer)
    return Failure{path + ": " + layer.error()};
  return layer;
}
