//===- TensorsTest.cpp - The table of a layer's tensors -------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moe-mlir/Layer/Tensors.h"
#include "moe-mlir/Import/ModelConfig.h"
#include <gtest/gtest.h>
#include <set>

using namespace moe;

static LayerSpec readExample(const std::string &model) {
  Result<ModelLayer> layer =
      readModelConfig(std::string(MOE_EXAMPLES) + "/" + model + "/config.json");
  EXPECT_TRUE(layer) << layer.error();
  return layer ? layer->spec : LayerSpec();
}

static std::string line(const TensorSpec &tensor) {
  return tensor.name + " " + dtypeName(tensor.dtype) + " " +
         shapeText(tensor.shape) + "\n";
}

static std::string signatureOf(const LayerSpec &spec) {
  std::string signature;
  for (const TensorSpec &input : layerInputs(spec))
    signature += line(input);
  return signature;
}

/// Shapes of one rank; a size that a call says is spelled by its axis.
static std::string localSignatureOf(const LayerSpec &spec,
                                    const SignatureOptions &options,
                                    const RankShares &shares,
                                    const std::set<std::string> &without = {}) {
  std::string signature;
  for (TensorRole role : {TensorRole::Input, TensorRole::Output})
    for (TensorId id : getSignature(role, spec, options)) {
      const std::string name = getName(id, spec.activation);
      if (without.count(name))
        continue;
      signature += name + " [";
      const std::vector<int64_t> shape =
          getLocalShape(id, spec, options, shares);
      for (size_t i = 0; i < shape.size(); ++i) {
        signature += i ? ", " : "";
        signature += shape[i] < 0 ? getSymbol(getTensor(id).axes[i])
                                  : std::to_string(shape[i]);
      }
      signature += "]\n";
    }
  return signature;
}

//===----------------------------------------------------------------------===//
// The table
//===----------------------------------------------------------------------===//

// A name leads to one row, from both kinds of layers, and back.
TEST(Tensors, NamesAreUnique) {
  std::set<std::string> names;
  for (const TensorInfo &tensor : allTensors()) {
    EXPECT_EQ(&getTensor(tensor.id), &tensor);
    EXPECT_EQ(findTensor(tensor.gatedName), &tensor);
    EXPECT_EQ(findTensor(tensor.plainName), &tensor);
    EXPECT_TRUE(names.insert(tensor.gatedName).second) << tensor.gatedName;
    if (tensor.plainName != std::string(tensor.gatedName)) {
      EXPECT_TRUE(names.insert(tensor.plainName).second) << tensor.plainName;
    }
    EXPECT_GE(tensor.rank, 1u) << tensor.gatedName;
  }
  EXPECT_EQ(names.size(), 22u);
  EXPECT_EQ(findTensor("w3"), nullptr);
  EXPECT_EQ(findTensor(""), nullptr);
}

/// The names of the tensors that `holds` is true for.
template <typename Predicate> static std::string select(Predicate holds) {
  std::string names;
  for (const TensorInfo &tensor : allTensors())
    if (holds(tensor))
      names += (names.empty() ? "" : " ") + std::string(tensor.gatedName);
  return names;
}

// What the rest of the house asks, written out.
TEST(Tensors, Properties) {
  EXPECT_EQ(select([](auto &t) { return t.isPerToken(); }),
            "hidden_states topk_ids topk_weights output");
  EXPECT_EQ(select([](auto &t) { return t.isPerExpert(); }), "w13 w2 b13 b2");
  EXPECT_EQ(select([](auto &t) { return t.isWeight(); }),
            "router_weight router_bias correction_bias w13 w2 b13 b2 "
            "shared_w13 shared_w2 shared_gate latent_in latent_out");
  EXPECT_EQ(select([](auto &t) { return t.isAddedOnce(); }), "b2");
  EXPECT_EQ(
      select([](auto &t) { return t.content == TensorContent::Placement; }),
      "logical_to_physical replica_count");
  EXPECT_EQ(select([](auto &t) { return t.role == TensorRole::Output; }),
            "output expert_load");
}

//===----------------------------------------------------------------------===//
// Signatures
//===----------------------------------------------------------------------===//

/// A layer that has every tensor of a router.
static LayerSpec fullLayer() {
  LayerSpec spec;
  spec.hiddenSize = 24;
  spec.intermediateSize = 10;
  spec.numExperts = 12;
  spec.topK = 4;
  spec.dtype = DType::BF16;
  spec.routing.hasRouterBias = true;
  spec.routing.hasCorrectionBias = true;
  spec.hasExpertBias = true;
  spec.shared = {20, 2, SharedGate::sigmoid};
  spec.latentSize = 16;
  return spec;
}

TEST(Tensors, Signature) {
  EXPECT_EQ(signatureOf(fullLayer()), "hidden_states bf16 [T, 24]\n"
                                      "router_weight bf16 [12, 24]\n"
                                      "router_bias f32 [12]\n"
                                      "correction_bias f32 [12]\n"
                                      "w13 bf16 [12, 20, 16]\n"
                                      "w2 bf16 [12, 16, 10]\n"
                                      "b13 bf16 [12, 20]\n"
                                      "b2 bf16 [12, 16]\n"
                                      "shared_w13 bf16 [40, 24]\n"
                                      "shared_w2 bf16 [24, 20]\n"
                                      "shared_gate bf16 [1, 24]\n"
                                      "latent_in bf16 [16, 24]\n"
                                      "latent_out bf16 [24, 16]\n");
  EXPECT_EQ(line(layerOutput(fullLayer())), "output bf16 [T, 24]\n");
}

// Without a gate the first product has one half, and with given routing the
// router's tensors give way to ids and weights.
TEST(Tensors, SignatureOfGivenRoutingWithoutGate) {
  LayerSpec spec;
  spec.hiddenSize = 8;
  spec.intermediateSize = 6;
  spec.numExperts = 4;
  spec.topK = 2;
  spec.activation.kind = ActivationKind::relu2;
  spec.shared.intermediateSize = 5;
  spec.routing.source = RoutingSource::given;
  EXPECT_EQ(signatureOf(spec), "hidden_states f32 [T, 8]\n"
                               "w1 f32 [4, 6, 8]\n"
                               "w2 f32 [4, 8, 6]\n"
                               "shared_w1 f32 [5, 8]\n"
                               "shared_w2 f32 [8, 5]\n"
                               "topk_ids i32 [T, 2]\n"
                               "topk_weights f32 [T, 2]\n");
}

// Zero experts have an output of the router and no weights.
TEST(Tensors, SignatureWithZeroExperts) {
  LayerSpec spec = fullLayer();
  spec.routing.zeroExperts = 3;
  EXPECT_EQ(line(getTensorSpec(TensorId::RouterWeight, spec)),
            "router_weight bf16 [15, 24]\n");
  EXPECT_EQ(line(getTensorSpec(TensorId::W2, spec)), "w2 bf16 [12, 16, 10]\n");
}

namespace {
struct Example {
  const char *model;
  const char *signature;
};
} // namespace

// One layer of every example, in full.
TEST(Tensors, SignaturesOfExamples) {
  const Example examples[] = {
      {"deepseek-v2-lite", "hidden_states bf16 [T, 2048]\n"
                           "router_weight bf16 [64, 2048]\n"
                           "w13 bf16 [64, 2816, 2048]\n"
                           "w2 bf16 [64, 2048, 1408]\n"
                           "shared_w13 bf16 [5632, 2048]\n"
                           "shared_w2 bf16 [2048, 2816]\n"},
      {"deepseek-v3", "hidden_states bf16 [T, 7168]\n"
                      "router_weight bf16 [256, 7168]\n"
                      "correction_bias f32 [256]\n"
                      "w13 bf16 [256, 4096, 7168]\n"
                      "w2 bf16 [256, 7168, 2048]\n"
                      "shared_w13 bf16 [4096, 7168]\n"
                      "shared_w2 bf16 [7168, 2048]\n"},
      {"glm-4.5", "hidden_states bf16 [T, 5120]\n"
                  "router_weight bf16 [160, 5120]\n"
                  "correction_bias f32 [160]\n"
                  "w13 bf16 [160, 3072, 5120]\n"
                  "w2 bf16 [160, 5120, 1536]\n"
                  "shared_w13 bf16 [3072, 5120]\n"
                  "shared_w2 bf16 [5120, 1536]\n"},
      {"gpt-oss-20b", "hidden_states bf16 [T, 2880]\n"
                      "router_weight bf16 [32, 2880]\n"
                      "router_bias f32 [32]\n"
                      "w13 bf16 [32, 5760, 2880]\n"
                      "w2 bf16 [32, 2880, 2880]\n"
                      "b13 bf16 [32, 5760]\n"
                      "b2 bf16 [32, 2880]\n"},
      {"kimi-k2", "hidden_states bf16 [T, 7168]\n"
                  "router_weight bf16 [384, 7168]\n"
                  "correction_bias f32 [384]\n"
                  "w13 bf16 [384, 4096, 7168]\n"
                  "w2 bf16 [384, 7168, 2048]\n"
                  "shared_w13 bf16 [4096, 7168]\n"
                  "shared_w2 bf16 [7168, 2048]\n"},
      {"llama-4-maverick", "hidden_states bf16 [T, 5120]\n"
                           "router_weight bf16 [128, 5120]\n"
                           "w13 bf16 [128, 16384, 5120]\n"
                           "w2 bf16 [128, 5120, 8192]\n"
                           "shared_w13 bf16 [16384, 5120]\n"
                           "shared_w2 bf16 [5120, 8192]\n"},
      {"mixtral-8x7b", "hidden_states bf16 [T, 4096]\n"
                       "router_weight bf16 [8, 4096]\n"
                       "w13 bf16 [8, 28672, 4096]\n"
                       "w2 bf16 [8, 4096, 14336]\n"},
      {"nemotron-3-nano-30b-a3b", "hidden_states bf16 [T, 2688]\n"
                                  "router_weight bf16 [128, 2688]\n"
                                  "correction_bias f32 [128]\n"
                                  "w1 bf16 [128, 1856, 2688]\n"
                                  "w2 bf16 [128, 2688, 1856]\n"
                                  "shared_w1 bf16 [3712, 2688]\n"
                                  "shared_w2 bf16 [2688, 3712]\n"},
      {"qwen2-57b-a14b", "hidden_states bf16 [T, 3584]\n"
                         "router_weight bf16 [64, 3584]\n"
                         "w13 bf16 [64, 5120, 3584]\n"
                         "w2 bf16 [64, 3584, 2560]\n"
                         "shared_w13 bf16 [40960, 3584]\n"
                         "shared_w2 bf16 [3584, 20480]\n"
                         "shared_gate bf16 [1, 3584]\n"},
      {"qwen3-30b-a3b", "hidden_states bf16 [T, 2048]\n"
                        "router_weight bf16 [128, 2048]\n"
                        "w13 bf16 [128, 1536, 2048]\n"
                        "w2 bf16 [128, 2048, 768]\n"},
      {"qwen3-next-80b-a3b", "hidden_states bf16 [T, 2048]\n"
                             "router_weight bf16 [512, 2048]\n"
                             "w13 bf16 [512, 1024, 2048]\n"
                             "w2 bf16 [512, 2048, 512]\n"
                             "shared_w13 bf16 [1024, 2048]\n"
                             "shared_w2 bf16 [2048, 512]\n"
                             "shared_gate bf16 [1, 2048]\n"},
  };
  for (const Example &example : examples) {
    SCOPED_TRACE(example.model);
    EXPECT_EQ(signatureOf(readExample(example.model)), example.signature);
  }
}

//===----------------------------------------------------------------------===//
// Shares of ranks
//===----------------------------------------------------------------------===//

// Four tensor-parallel ranks: a quarter of each width, all experts, and biases
// of second products whole.
TEST(Tensors, LocalShapesUnderTensorParallelism) {
  RankShares shares;
  shares.numExperts = 32;
  shares.width = shares.sharedWidth = {4, 1};
  EXPECT_EQ(localSignatureOf(readExample("gpt-oss-20b"), {}, shares),
            "hidden_states [T, 2880]\n"
            "router_weight [32, 2880]\n"
            "router_bias [32]\n"
            "w13 [32, 1440, 2880]\n"
            "w2 [32, 2880, 720]\n"
            "b13 [32, 1440]\n"
            "b2 [32, 2880]\n"
            "output [T, 2880]\n");
  shares.numExperts = 64;
  EXPECT_EQ(localSignatureOf(readExample("deepseek-v2-lite"), {}, shares),
            "hidden_states [T, 2048]\n"
            "router_weight [64, 2048]\n"
            "w13 [64, 704, 2048]\n"
            "w2 [64, 2048, 352]\n"
            "shared_w13 [1408, 2048]\n"
            "shared_w2 [2048, 704]\n"
            "output [T, 2048]\n");
}

// Eight expert-parallel ranks own whole experts, here with 32 redundant slots;
// the call says where experts are and hears how many tokens chose them.
TEST(Tensors, LocalShapesUnderExpertParallelismWithEplb) {
  SignatureOptions options;
  options.hasEplb = true;
  options.redundantExperts = 32;
  options.recordsExpertLoad = true;
  RankShares shares;
  shares.numExperts = (256 + 32) / 8;
  EXPECT_EQ(localSignatureOf(readExample("deepseek-v3"), options, shares),
            "hidden_states [T, 7168]\n"
            "router_weight [256, 7168]\n"
            "correction_bias [256]\n"
            "w13 [36, 4096, 7168]\n"
            "w2 [36, 7168, 2048]\n"
            "shared_w13 [4096, 7168]\n"
            "shared_w2 [7168, 2048]\n"
            "logical_to_physical [256, 33]\n"
            "replica_count [256]\n"
            "output [T, 7168]\n"
            "expert_load [288]\n");
}

// Where experts do not divide evenly, a call says how many a rank has.
TEST(Tensors, LocalShapesOfUnevenExperts) {
  RankShares shares;
  shares.numExperts = -1;
  EXPECT_EQ(localSignatureOf(readExample("nemotron-3-nano-30b-a3b"), {}, shares,
                             {"router_weight", "correction_bias"}),
            "hidden_states [T, 2688]\n"
            "w1 [L, 1856, 2688]\n"
            "w2 [L, 2688, 1856]\n"
            "shared_w1 [3712, 2688]\n"
            "shared_w2 [2688, 3712]\n"
            "output [T, 2688]\n");
  LayerSpec spec = fullLayer();
  EXPECT_EQ(getLocalShape(TensorId::B2, spec, {}, shares),
            (std::vector<int64_t>{-1, 16}));
}

static std::string rangesOf(Axis axis, const RankShares &shares) {
  std::string text;
  for (IndexRange range : getLocalRanges(axis, fullLayer(), {}, shares))
    text +=
        std::to_string(range.first) + "+" + std::to_string(range.count) + " ";
  return text;
}

// A rank has a part of the gate's rows and the same part of up's.
TEST(Tensors, LocalRanges) {
  RankShares shares;
  shares.width = {5, 3};
  shares.sharedWidth = {2, 1};
  EXPECT_EQ(rangesOf(Axis::GateUp, shares), "6+2 16+2 ");
  EXPECT_EQ(rangesOf(Axis::Inter, shares), "6+2 ");
  EXPECT_EQ(rangesOf(Axis::SharedGateUp, shares), "10+10 30+10 ");
  EXPECT_EQ(rangesOf(Axis::SharedInter, shares), "10+10 ");
  EXPECT_EQ(rangesOf(Axis::ExpertHidden, shares), "0+16 ");
  EXPECT_EQ(rangesOf(Axis::Routed, shares), "0+12 ");
}
