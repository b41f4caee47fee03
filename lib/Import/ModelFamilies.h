//===- ModelFamilies.h - What a model_type leaves unsaid ------ -*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// One row for each `model_type`: the keys of its config.json with their
// defaults, and the names of its tensors. The rows are data; ModelConfig.cpp
// interprets them.
//
//===----------------------------------------------------------------------===//
#ifndef MOE_MLIR_LIB_IMPORT_MODELFAMILIES_H
#define MOE_MLIR_LIB_IMPORT_MODELFAMILIES_H

#include "moe-mlir/Import/WeightSource.h"
#include <map>

namespace moe {

/// Keys that mean the same; the first one present counts.
using Keys = std::vector<std::string>;

/// A setting that is read from a key (with a default) or fixed.
template <typename T> struct Setting {
  Keys keys; // empty: fixed
  T value;   // the default, or what it is fixed to
};

/// Where a checkpoint of the family may hold an input.
struct FamilySource {
  TensorId input;
  std::vector<WeightAlternative> alternatives;
};

struct ModelFamily {
  /// Which layers of the model are MoE layers.
  enum class Layers {
    All,
    /// From first_k_dense_replace on, every moe_layer_freq-th.
    FirstDense,
    /// (layer + 1) % decoder_sparse_step == 0, without mlp_only_layers.
    SparseStep,
    /// `moe_layers`, or every interleave_moe_layer_step-th, the last of each.
    Interleaved,
    /// moe_layer_start_index .. moe_layer_end_index, every moe_layer_interval.
    Range,
    /// 'E' in hybrid_override_pattern, or "moe" in layers_block_type.
    Pattern,
  };
  enum class Groups {
    None,
    /// n_group and topk_group.
    Keys,
    /// The same where topk_method is group_limited_greedy; none for greedy.
    ByMethod,
  };
  enum class Shared {
    None,
    /// The key gives a number of experts of the routed experts' width.
    Count,
    /// The key gives the width of all of them.
    Width,
  };

  std::string modelType;
  bool sequenceParallel = false;

  // Sizes. Those without a default must be there.
  Keys numLayers = {"num_hidden_layers"};
  Keys numExperts;
  Keys topK = {"num_experts_per_tok"};
  Keys intermediateSize = {"moe_intermediate_size"};
  /// Sizes may be lists with one value for each layer.
  bool sizesPerLayer = false;
  Keys latentSize;
  Keys zeroExperts;
  Layers layers = Layers::All;
  int64_t defaultFirstDense = 0;

  // Routing. The fixed part is in `routing`.
  RoutingSpec routing;
  Groups groups = Groups::None;
  int64_t defaultGroups = 1;
  int64_t defaultTopkGroups = 1;
  Setting<bool> correctionBias = {{}, false};
  Setting<bool> renormalize = {{}, false};
  Setting<double> renormalizeMinimum = {{}, 0};
  Setting<double> scale = {{}, 1};
  /// Keys that must have this value if they are there, because the family's
  /// layer computes nothing else.
  std::map<std::string, std::string> expectedText;
  std::map<std::string, bool> expectedFlag;

  // Experts. An empty key: the activation is `activation`, whatever the config
  // says.
  std::string activationKey = "hidden_act";
  ActivationSpec activation;
  /// The key of the activation's limit.
  Keys activationLimit;
  bool expertBias = false;

  // Shared experts.
  Shared shared = Shared::None;
  Keys sharedKeys;
  SharedGate sharedGate = SharedGate::none;

  // Tensors.
  std::vector<std::string> modules = {"mlp"};
  std::vector<FamilySource> sources;
};

/// All rows.
const std::vector<ModelFamily> &modelFamilies();

/// The row of a `model_type`; null if there is none.
const ModelFamily *findModelFamily(const std::string &modelType);

} // namespace moe

#endif // MOE_MLIR_LIB_IMPORT_MODELFAMILIES_H
