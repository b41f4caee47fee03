//===- Tensors.h - What a layer takes and gives ---------------- -*- C++
//-*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The rows of Tensors.def, and what follows from them. Code that treats tensors
// differently asks their axes, contents and roles, never their names.
//
//===----------------------------------------------------------------------===//
#ifndef MOE_MLIR_LAYER_TENSORS_H
#define MOE_MLIR_LAYER_TENSORS_H

#include "moe-mlir/Layer/LayerSpec.h"
#include <array>
#include <string_view>

namespace moe {

/// What a dimension counts.
enum class Axis {
#define MOE_AXIS(ID, SYMBOL, BLOCKS, WIDTH, SHARDING) ID,
#include "moe-mlir/Layer/Tensors.def"
};

enum class TensorId {
#define MOE_TENSOR(ID, NAMES, ROLE, CONTENT, ELEMENT, AXES, PRESENT) ID,
#include "moe-mlir/Layer/Tensors.def"
};

/// How the ranks of a layer share an axis.
enum class Sharding {
  /// Every rank has all of it.
  None,
  /// A rank has the rows of its tokens.
  Rows,
  /// A rank has the experts that it owns.
  Experts,
  /// A rank has an equal part of the width of each routed expert.
  Width,
  /// A rank has an equal part of the width of the shared experts.
  SharedWidth,
};

enum class TensorRole { Input, Output };

enum class TensorContent {
  /// A row for each token.
  States,
  /// The factor of a matrix product, [..., rows, what is summed over].
  Matrix,
  /// What is added to a product or to scores.
  Bias,
  /// Ids of chosen experts, -1 for none.
  Choices,
  /// The weight of each choice.
  ChoiceWeights,
  /// Where experts are (EPLB).
  Placement,
  /// Tokens that chose each expert.
  Load,
};

enum class TensorElement {
  /// The layer's dtype.
  Layer,
  /// That of the routed experts' weights, which is the layer's.
  Weight,
  F32,
  I32,
};

/// What a signature depends on beside the layer.
struct SignatureOptions {
  /// Calls say in which slots experts are; there are as many slots as experts
  /// and redundant ones.
  bool hasEplb = false;
  int64_t redundantExperts = 0;
  bool recordsExpertLoad = false;
};

/// A row of the table.
struct TensorInfo {
  TensorId id;
  /// In layers whose activation has a gate, and in others.
  const char *gatedName, *plainName;
  TensorRole role;
  TensorContent content;
  TensorElement element;
  size_t rank;
  /// The first `rank` count.
  std::array<Axis, 3> axes;
  bool (*present)(const LayerSpec &spec, const SignatureOptions &options);

  bool hasAxis(Axis axis) const;
  /// It has a row for each token.
  bool isPerToken() const { return hasAxis(Axis::Token); }
  /// It has a slice for each expert of a rank.
  bool isPerExpert() const { return hasAxis(Axis::Expert); }
  /// It belongs to the layer and not to a call.
  bool isWeight() const {
    return content == TensorContent::Matrix || content == TensorContent::Bias;
  }
  /// Ranks that share the width of an expert add up their outputs, so that what
  /// all of them would add must be zero on all but the first.
  bool isAddedOnce() const;
};

/// All rows, in the order of a call.
const std::vector<TensorInfo> &allTensors();

const TensorInfo &getTensor(TensorId id);

/// The row of that name, in layers with a gate or without; null: none.
const TensorInfo *findTensor(std::string_view name);

/// What a layer calls the tensor.
const char *getName(TensorId id, const ActivationSpec &activation = {});

/// What texts and signatures call the axis.
const char *getSymbol(Axis axis);
Sharding getSharding(Axis axis);

//===----------------------------------------------------------------------===//
// Signatures
//===----------------------------------------------------------------------===//

/// A tensor of a signature. -1 in `shape` stands for T.
struct TensorSpec {
  std::string name;
  DType dtype = DType::F32;
  std::vector<int64_t> shape;
};

/// The tensor in the whole layer, on no rank in particular.
TensorSpec getTensorSpec(TensorId id, const LayerSpec &spec,
                         const SignatureOptions &options = {});

/// The rows of a role that the layer has, in canonical order.
std::vector<TensorId> getSignature(TensorRole role, const LayerSpec &spec,
                                   const SignatureOptions &options = {});

/// The inputs of the layer in canonical order, those that `spec` has:
///
///     hidden_states    [T, H]
///     router_weight    [E + Z, H]
///     router_bias      [E + Z]       f32
///     correction_bias  [E + Z]       f32
///     w13              [E, 2I, D]    rows of the gate, then rows of up
///       (w1            [E, I, D]     where the activation is not gated)
///     w2               [E, D, I]
///     b13              [E, 2I]       (b1 [E, I])
///     b2               [E, D]
///     shared_w13       [2S, H]       (shared_w1 [S, H])
///     shared_w2        [H, S]
///     shared_gate      [1, H]
///     latent_in        [L, H]
///     latent_out       [H, L]
///     topk_ids         [T, k]        i32; -1 marks a slot without expert
///     topk_weights     [T, k]        f32
///
/// in the layer's dtype where none is named. topk_ids and topk_weights take
/// the place of the router's tensors. Row-major and contiguous.
std::vector<TensorSpec> layerInputs(const LayerSpec &spec);

/// The output: `output` [T, H] in the layer's dtype.
TensorSpec layerOutput(const LayerSpec &spec);

/// "[16, 80, 96]", with "T" for -1.
std::string shapeText(const std::vector<int64_t> &shape);

//===----------------------------------------------------------------------===//
// Shares of ranks
//===----------------------------------------------------------------------===//

/// Part `index` of `count` equal ones.
struct Share {
  int64_t count = 1;
  int64_t index = 0;
};

/// What a rank has of each axis that ranks share.
struct RankShares {
  /// Experts, or slots for them; -1: not every rank has as many, so that the
  /// size is known in a call only.
  int64_t numExperts = 0;
  Share width;
  Share sharedWidth;
};

/// The tensor's shape on one rank. -1 stands for a size that a call says: what
/// it counts is the axis at this place.
std::vector<int64_t> getLocalShape(TensorId id, const LayerSpec &spec,
                                   const SignatureOptions &options,
                                   const RankShares &shares);

/// Consecutive indices.
struct IndexRange {
  int64_t first;
  int64_t count;
};

/// Which indices of the whole layer's axis a rank has, in their order; not for
/// axes that are shared as rows or experts.
std::vector<IndexRange> getLocalRanges(Axis axis, const LayerSpec &spec,
                                       const SignatureOptions &options,
                                       const RankShares &shares);

} // namespace moe

#endif // MOE_MLIR_LAYER_TENSORS_H
