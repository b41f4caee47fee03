//===- ModelConfig.h - From config.json to a layer ------------ -*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Reads a published model's `config.json` and gives one of its MoE layers. What
// the file does not say, the model's family does (lib/Import/ModelFamilies.cpp
// has one row for each `model_type`).
//
//===----------------------------------------------------------------------===//
#ifndef MOE_MLIR_IMPORT_MODELCONFIG_H
#define MOE_MLIR_IMPORT_MODELCONFIG_H

#include "moe-mlir/Import/WeightSource.h"
#include <optional>

namespace moe {

struct ModelConfigOptions {
  /// The layer's index in the model; the first MoE layer if not given. A dense
  /// layer is an error that names the first MoE layer.
  std::optional<int64_t> layer;
  /// Instead of the config's `dtype` or `torch_dtype`. F32, BF16 or F16.
  std::optional<DType> dtype;
  /// Instead of the config's number of routed experts; widths stay.
  std::optional<int64_t> numExperts;
};

/// One MoE layer of a model.
struct ModelLayer {
  /// Named after model and layer, a C identifier: `deepseek_v2_layer1`.
  LayerSpec spec;
  std::string modelType;
  int64_t layer = 0;
  /// The family takes part in `--sequence-parallel=auto`.
  bool sequenceParallel = false;
  WeightMap weights;
  /// What the user should know, such as a key that was ignored.
  std::vector<std::string> warnings;
};

/// Reads the text of a config.json. An error names the key, what was expected
/// and what was found.
Result<ModelLayer> parseModelConfig(const std::string &text,
                                    const ModelConfigOptions &options = {});

/// Reads the file; errors start with its path.
Result<ModelLayer> readModelConfig(const std::string &path,
                                   const ModelConfigOptions &options = {});

/// The `model_type`s that can be imported, sorted.
std::vector<std::string> supportedModelTypes();

} // namespace moe

#endif // MOE_MLIR_IMPORT_MODELCONFIG_H
