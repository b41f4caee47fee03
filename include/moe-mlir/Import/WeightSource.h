//===- WeightSource.h - Where a layer's weights come from ----- -*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Which tensors of a checkpoint make up the inputs of a layer. Data, not code:
// artefacts carry it as JSON, so that weights load without the model's config.
//
//===----------------------------------------------------------------------===//
#ifndef MOE_MLIR_IMPORT_WEIGHTSOURCE_H
#define MOE_MLIR_IMPORT_WEIGHTSOURCE_H

#include "moe-mlir/Layer/Tensors.h"

namespace moe {

/// How the tensors of an alternative lie in the file, for an input [..., R, C]
/// (R rows of C; a bias is R rows of nothing).
enum class WeightLayout {
  /// [..., R, C]; several tensors stand one below the other.
  Rows,
  /// [..., R] with the rows of gate and up alternating.
  Interleaved,
  /// [..., C, R].
  Transposed,
  /// [..., C, R] with the columns of gate and up alternating.
  TransposedInterleaved,
};

const char *name(WeightLayout layout);

/// One way in which a checkpoint may hold an input.
struct WeightAlternative {
  /// Names inside the MoE module. With `{e}` there is one tensor per expert and
  /// the experts are stacked in front; without, a tensor holds all of them.
  /// Several names are concatenated along R in equal shares (only
  /// WeightLayout::Rows).
  std::vector<std::string> names;
  WeightLayout layout = WeightLayout::Rows;
};

struct WeightSource {
  /// The name of the input (Tensors.def).
  std::string input;
  /// The first of which any tensor is present is taken.
  std::vector<WeightAlternative> alternatives;
};

/// All weights of one layer.
struct WeightMap {
  /// The layer's index in the model; decides among `...layers.N....` prefixes.
  int64_t layer = 0;
  /// What the MoE module may be called inside a layer, such as `mlp`.
  std::vector<std::string> modules;
  /// The scheme of a quantized checkpoint, such as "fp8"; "" if there is none.
  /// Such weights cannot be loaded yet; the text is for messages.
  std::string quantization;
  std::vector<WeightSource> sources;
};

/// JSON, strict as `layerSpecFromJSON` is.
nlohmann::json toJSON(const WeightMap &map);
Result<WeightMap> weightMapFromJSON(const nlohmann::json &json);
std::string toJSONText(const WeightMap &map);
Result<WeightMap> weightMapFromJSONText(const std::string &text);

} // namespace moe

#endif // MOE_MLIR_IMPORT_WEIGHTSOURCE_H
