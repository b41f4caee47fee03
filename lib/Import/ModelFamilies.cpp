//===- ModelFamilies.cpp - What a model_type leaves unsaid ----------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "ModelFamilies.h"

using namespace moe;

using Layers = ModelFamily::Layers;
using Shared = ModelFamily::Shared;

//===----------------------------------------------------------------------===//
// Tensor names that families share
//===----------------------------------------------------------------------===//

static FamilySource single(TensorId input, const std::string &name) {
  return {input, {{{name}, WeightLayout::Rows}}};
}

/// Gated experts: packed as in memory, or one tensor for each expert and
/// projection as in published checkpoints.
static std::vector<FamilySource> gatedExperts(const std::string &gate,
                                              const std::string &up,
                                              const std::string &down) {
  return {
      {TensorId::W13,
       {{{"experts.gate_up_proj"}, WeightLayout::Rows},
        {{"experts.{e}." + gate + ".weight", "experts.{e}." + up + ".weight"},
         WeightLayout::Rows}}},
      {TensorId::W2,
       {{{"experts.down_proj"}, WeightLayout::Rows},
        {{"experts.{e}." + down + ".weight"}, WeightLayout::Rows}}}};
}

static std::vector<FamilySource> gatedShared(const std::string &module) {
  return {{TensorId::SharedW13,
           {{{module + ".gate_proj.weight", module + ".up_proj.weight"},
             WeightLayout::Rows}}},
          single(TensorId::SharedW2, module + ".down_proj.weight")};
}

static std::vector<FamilySource>
join(std::initializer_list<std::vector<FamilySource>> parts) {
  std::vector<FamilySource> all;
  for (const auto &part : parts)
    all.insert(all.end(), part.begin(), part.end());
  return all;
}

static FamilySource gateWeight() {
  return single(TensorId::RouterWeight, "gate.weight");
}

static FamilySource gateCorrectionBias() {
  return single(TensorId::CorrectionBias, "gate.e_score_correction_bias");
}

//===----------------------------------------------------------------------===//
// Rows
//===----------------------------------------------------------------------===//

/// Sigmoid scores, choice by score + bias within groups, renormalized. The
/// 1e-20 is what transformers adds to the sum of sigmoid scores.
static ModelFamily deepseekV3() {
  ModelFamily row;
  row.modelType = "deepseek_v3";
  row.sequenceParallel = true;
  row.numExperts = {"n_routed_experts"};
  row.layers = Layers::FirstDense;
  row.defaultFirstDense = 3;
  row.routing.score = ScoreFunction::sigmoid;
  row.routing.groupScore = GroupScore::top2_sum;
  row.routing.renormalizeEpsilon = 1e-20;
  row.groups = ModelFamily::Groups::Keys;
  row.defaultGroups = 8;
  row.defaultTopkGroups = 4;
  row.correctionBias = {{}, true};
  row.renormalize = {{"norm_topk_prob"}, true};
  row.scale = {{"routed_scaling_factor"}, 2.5};
  row.expectedText = {{"scoring_func", "sigmoid"}, {"topk_method", "noaux_tc"}};
  row.shared = Shared::Count;
  row.sharedKeys = {"n_shared_experts"};
  row.sources = join({{gateWeight(), gateCorrectionBias()},
                      gatedExperts("gate_proj", "up_proj", "down_proj"),
                      gatedShared("shared_experts")});
  return row;
}

static ModelFamily kimiK2() {
  ModelFamily row = deepseekV3();
  row.modelType = "kimi_k2";
  row.defaultFirstDense = 1;
  row.defaultGroups = row.defaultTopkGroups = 1;
  return row;
}

static ModelFamily glm4Moe() {
  ModelFamily row = deepseekV3();
  row.modelType = "glm4_moe";
  row.sequenceParallel = false;
  row.defaultFirstDense = 1;
  row.defaultGroups = row.defaultTopkGroups = 1;
  row.scale.value = 1;
  return row;
}

/// Published configs name the choice method in scoring_func, so it is not
/// checked.
static ModelFamily dots1() {
  ModelFamily row = glm4Moe();
  row.modelType = "dots1";
  row.defaultFirstDense = 0;
  row.renormalize.value = false;
  row.expectedText.clear();
  return row;
}

/// Softmax scores that are never renormalized, whatever norm_topk_prob says.
static ModelFamily deepseekV2() {
  ModelFamily row;
  row.modelType = "deepseek_v2";
  row.sequenceParallel = true;
  row.numExperts = {"n_routed_experts"};
  row.layers = Layers::FirstDense;
  row.routing.score = ScoreFunction::softmax;
  row.routing.groupScore = GroupScore::max;
  row.groups = ModelFamily::Groups::ByMethod;
  row.scale = {{"routed_scaling_factor"}, 1};
  row.expectedText = {{"scoring_func", "softmax"}};
  row.shared = Shared::Count;
  row.sharedKeys = {"n_shared_experts"};
  row.sources = join({{gateWeight()},
                      gatedExperts("gate_proj", "up_proj", "down_proj"),
                      gatedShared("shared_experts")});
  return row;
}

static ModelFamily qwen3Moe() {
  ModelFamily row;
  row.modelType = "qwen3_moe";
  row.sequenceParallel = true;
  row.numExperts = {"num_experts", "num_local_experts"};
  row.layers = Layers::SparseStep;
  row.routing.score = ScoreFunction::softmax;
  row.renormalize = {{"norm_topk_prob"}, false};
  row.sources =
      join({{gateWeight()}, gatedExperts("gate_proj", "up_proj", "down_proj")});
  return row;
}

/// With one shared expert whose output a sigmoid gate scales row by row.
static ModelFamily qwen2Moe() {
  ModelFamily row = qwen3Moe();
  row.modelType = "qwen2_moe";
  row.sequenceParallel = false;
  row.shared = Shared::Width;
  row.sharedKeys = {"shared_expert_intermediate_size"};
  row.sharedGate = SharedGate::sigmoid;
  row.sources =
      join({{gateWeight()},
            gatedExperts("gate_proj", "up_proj", "down_proj"),
            gatedShared("shared_expert"),
            {single(TensorId::SharedGate, "shared_expert_gate.weight")}});
  return row;
}

static ModelFamily qwen3Next() {
  ModelFamily row = qwen2Moe();
  row.modelType = "qwen3_next";
  row.renormalize.value = true;
  return row;
}

/// Every layer is a MoE layer and always renormalizes.
static ModelFamily qwen35Moe(const char *modelType) {
  ModelFamily row = qwen2Moe();
  row.modelType = modelType;
  row.layers = Layers::All;
  row.renormalize = {{"norm_topk_prob"}, true};
  return row;
}

static ModelFamily mixtral() {
  ModelFamily row;
  row.modelType = "mixtral";
  row.numExperts = {"num_local_experts"};
  row.intermediateSize = {"intermediate_size"};
  row.routing.score = ScoreFunction::softmax;
  row.renormalize = {{}, true};
  row.modules = {"block_sparse_moe", "mlp"};
  row.sources = join({{gateWeight()}, gatedExperts("w1", "w3", "w2")});
  return row;
}

static ModelFamily minimaxM2() {
  ModelFamily row;
  row.modelType = "minimax_m2";
  row.numExperts = {"num_local_experts"};
  row.intermediateSize = {"intermediate_size"};
  row.routing.score = ScoreFunction::sigmoid;
  row.routing.renormalizeEpsilon = 1e-20;
  row.correctionBias = {{"use_routing_bias"}, true};
  row.renormalize = {{}, true};
  row.expectedText = {{"scoring_func", "sigmoid"}};
  row.modules = {"block_sparse_moe", "mlp"};
  row.sources = join({{gateWeight(), single(TensorId::CorrectionBias,
                                            "e_score_correction_bias")},
                      gatedExperts("w1", "w3", "w2")});
  return row;
}

static ModelFamily ernie45Moe() {
  ModelFamily row;
  row.modelType = "ernie4_5_moe";
  row.numExperts = {"moe_num_experts"};
  row.topK = {"moe_k"};
  row.layers = Layers::Range;
  row.routing.score = ScoreFunction::softmax;
  row.correctionBias = {{}, true};
  row.renormalize = {{}, true};
  row.renormalizeMinimum = {{"moe_norm_min"}, 1e-12};
  row.expectedFlag = {{"use_bias", false}};
  row.shared = Shared::Count;
  row.sharedKeys = {"moe_num_shared_experts"};
  // Checkpoints keep the statistics beside the gate, modules inside it.
  FamilySource bias = {
      TensorId::CorrectionBias,
      {{{"gate.moe_statics.e_score_correction_bias"}, WeightLayout::Rows},
       {{"moe_statics.e_score_correction_bias"}, WeightLayout::Rows}}};
  row.sources = join({{gateWeight(), bias},
                      gatedExperts("gate_proj", "up_proj", "down_proj"),
                      gatedShared("shared_experts")});
  return row;
}

static ModelFamily hunyuanV1Moe() {
  ModelFamily row;
  row.modelType = "hunyuan_v1_moe";
  row.numExperts = {"num_experts"};
  row.topK = {"moe_topk"};
  row.intermediateSize = {"moe_intermediate_size", "intermediate_size"};
  row.sizesPerLayer = true;
  row.routing.score = ScoreFunction::softmax;
  row.renormalize = {{}, true};
  row.shared = Shared::Count;
  row.sharedKeys = {"num_shared_expert"};
  row.sources = join({{single(TensorId::RouterWeight, "gate.wg.weight")},
                      gatedExperts("gate_proj", "up_proj", "down_proj"),
                      gatedShared("shared_mlp")});
  return row;
}

/// The expert's input is multiplied by the sigmoid of the one chosen logit.
static ModelFamily llama4(const char *modelType) {
  ModelFamily row;
  row.modelType = modelType;
  row.sequenceParallel = true;
  row.numExperts = {"num_local_experts"};
  row.intermediateSize = {"intermediate_size"};
  row.layers = Layers::Interleaved;
  row.routing.score = ScoreFunction::logits;
  row.routing.weight = WeightFunction::sigmoid_of_chosen;
  row.routing.weightOnInput = true;
  row.shared = Shared::Width;
  row.sharedKeys = {"intermediate_size"};
  row.modules = {"feed_forward"};
  row.sources = join(
      {{single(TensorId::RouterWeight, "router.weight"),
        {TensorId::W13, {{{"experts.gate_up_proj"}, WeightLayout::Transposed}}},
        {TensorId::W2, {{{"experts.down_proj"}, WeightLayout::Transposed}}}},
       gatedShared("shared_expert")});
  return row;
}

static ModelFamily gptOss() {
  ModelFamily row;
  row.modelType = "gpt_oss";
  row.sequenceParallel = true;
  row.numExperts = {"num_local_experts"};
  row.topK = {"num_experts_per_tok", "experts_per_token"};
  row.intermediateSize = {"intermediate_size"};
  row.routing.score = ScoreFunction::logits;
  row.routing.weight = WeightFunction::softmax_of_chosen;
  row.routing.hasRouterBias = true;
  // The config's hidden_act is silu; the layer's is not.
  row.activationKey = "";
  row.activation = {ActivationKind::swigluoai, 7.0, 1.702};
  row.activationLimit = {"swiglu_limit"};
  row.expertBias = true;
  row.sources = {
      single(TensorId::RouterWeight, "router.weight"),
      single(TensorId::RouterBias, "router.bias"),
      {TensorId::W13,
       {{{"experts.gate_up_proj"}, WeightLayout::TransposedInterleaved}}},
      {TensorId::W2, {{{"experts.down_proj"}, WeightLayout::Transposed}}},
      {TensorId::B13,
       {{{"experts.gate_up_proj_bias"}, WeightLayout::Interleaved}}},
      single(TensorId::B2, "experts.down_proj_bias")};
  return row;
}

static ModelFamily nemotronH() {
  ModelFamily row = deepseekV3();
  row.modelType = "nemotron_h";
  row.layers = Layers::Pattern;
  row.latentSize = {"moe_latent_size"};
  row.defaultGroups = row.defaultTopkGroups = 1;
  row.scale.value = 1;
  row.activationKey = "mlp_hidden_act";
  row.activation.kind = ActivationKind::relu2;
  row.expectedText.clear();
  row.expectedFlag = {{"mlp_bias", false}};
  row.shared = Shared::Width;
  row.sharedKeys = {"moe_shared_expert_intermediate_size"};
  row.modules = {"mixer"};
  row.sources = {gateWeight(),
                 gateCorrectionBias(),
                 {TensorId::W13,
                  {{{"experts.up_proj"}, WeightLayout::Rows},
                   {{"experts.{e}.up_proj.weight"}, WeightLayout::Rows}}},
                 {TensorId::W2,
                  {{{"experts.down_proj"}, WeightLayout::Rows},
                   {{"experts.{e}.down_proj.weight"}, WeightLayout::Rows}}},
                 single(TensorId::SharedW13, "shared_experts.up_proj.weight"),
                 single(TensorId::SharedW2, "shared_experts.down_proj.weight"),
                 single(TensorId::LatentIn, "fc1_latent_proj.weight"),
                 single(TensorId::LatentOut, "fc2_latent_proj.weight")};
  return row;
}

/// The router also chooses among experts that hand their input through.
static ModelFamily longcatFlash() {
  ModelFamily row;
  row.modelType = "longcat_flash";
  row.numLayers = {"num_layers", "num_hidden_layers"};
  row.numExperts = {"n_routed_experts"};
  row.topK = {"moe_topk"};
  row.intermediateSize = {"expert_ffn_hidden_size"};
  row.zeroExperts = {"zero_expert_num"};
  row.routing.score = ScoreFunction::softmax;
  row.correctionBias = {{}, true};
  row.scale = {{"routed_scaling_factor"}, 1};
  row.expectedText = {{"zero_expert_type", "identity"}};
  row.expectedFlag = {{"norm_topk_prob", false}, {"router_bias", false}};
  row.sources = join(
      {{single(TensorId::RouterWeight, "router.classifier.weight"),
        single(TensorId::CorrectionBias, "router.e_score_correction_bias")},
       gatedExperts("gate_proj", "up_proj", "down_proj")});
  return row;
}

const std::vector<ModelFamily> &moe::modelFamilies() {
  static const std::vector<ModelFamily> rows = {
      deepseekV2(),
      deepseekV3(),
      dots1(),
      ernie45Moe(),
      glm4Moe(),
      gptOss(),
      hunyuanV1Moe(),
      kimiK2(),
      llama4("llama4"),
      llama4("llama4_text"),
      longcatFlash(),
      minimaxM2(),
      mixtral(),
      nemotronH(),
      qwen2Moe(),
      qwen35Moe("qwen3_5_moe"),
      qwen35Moe("qwen3_5_moe_text"),
      qwen3Moe(),
      qwen3Next(),
  };
  return rows;
}

const ModelFamily *moe::findModelFamily(const std::string &modelType) {
  for (const ModelFamily &family : modelFamilies())
    if (family.modelType == modelType)
      return &family;
  return nullptr;
}
