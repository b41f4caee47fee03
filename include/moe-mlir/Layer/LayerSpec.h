//===- LayerSpec.h - One MoE layer as a plain struct ---------- -*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// What a Mixture-of-Experts layer computes, without any IR: the reference
// evaluates it, the importer produces it, artefacts carry it as JSON, and the
// `moe.layer` operation has the same fields under the same names. Which tensors
// it has, Tensors.def says.
//
// Notation: T rows, H hidden size, I intermediate size of one routed expert,
// E routed experts, Z zero experts, k = top_k, S total width of the shared
// experts, L latent size, D = L where there is a latent projection and else H.
//
//===----------------------------------------------------------------------===//
#ifndef MOE_MLIR_LAYER_LAYERSPEC_H
#define MOE_MLIR_LAYER_LAYERSPEC_H

#include "moe-mlir/Layer/Enums.h"
#include "moe-mlir/Support/Result.h"
#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

namespace moe {

enum class DType { F32, BF16, F16, I32 };

/// "f32", "bf16", "f16" or "i32".
const char *dtypeName(DType dtype);

/// The command line's name: "float32", "bfloat16", "float16" or "int32".
const char *longName(DType dtype);

/// Reads both names.
Result<DType> parseDType(const std::string &name);

/// Bytes of one element.
int64_t dtypeBytes(DType dtype);

/// The largest relative error of rounding a real number to `dtype`: 2^-24,
/// 2^-8 and 2^-11 for f32, bf16 and f16; 0 for integers.
double unitRoundoff(DType dtype);

/// How rows choose experts, and with which weights.
///
/// logits = x W^T (+ router bias); scores = score(logits). Without groups the
/// top_k experts of the largest choice score (score + correction bias) are
/// chosen, ties going to the smaller id; a NaN choice score compares as
/// -infinity. With groups, the topk_group best of the n_group groups of
/// consecutive experts are kept (ties to the smaller group), and experts of
/// other groups are never chosen.
struct RoutingSpec {
  RoutingSource source = RoutingSource::router;
  ScoreFunction score = ScoreFunction::softmax;
  WeightFunction weight = WeightFunction::score;
  bool hasRouterBias = false;
  bool hasCorrectionBias = false;
  int64_t nGroup = 1;
  int64_t topkGroup = 1;
  GroupScore groupScore = GroupScore::max;
  /// Divides the weights by max(their sum + renormalizeEpsilon,
  /// renormalizeMinimum).
  bool renormalize = false;
  double renormalizeEpsilon = 0;
  double renormalizeMinimum = 0;
  /// Multiplies the routed output (zero experts included), not the shared one.
  double scale = 1;
  /// The weight multiplies the expert's input and not its output; only with
  /// top_k = 1.
  bool weightOnInput = false;
  /// Z: ids E .. E + Z - 1 stand for the identity, weight * x.
  int64_t zeroExperts = 0;
};

/// What stands between the two matrix products of an expert.
struct ActivationSpec {
  ActivationKind kind = ActivationKind::swiglu;
  /// Of swigluoai only; else 0.
  double limit = 0;
  double alpha = 0;

  bool isGated() const { return kind != ActivationKind::relu2; }
};

/// An MLP that sees every row, with the activation of the routed experts.
struct SharedSpec {
  /// S, the width of all shared experts together; 0: there are none.
  int64_t intermediateSize = 0;
  /// How many experts the width stands for; informative.
  int64_t count = 0;
  SharedGate gate = SharedGate::none;
};

/// One MoE layer.
struct LayerSpec {
  std::string name = "layer";
  int64_t hiddenSize = 0;
  int64_t intermediateSize = 0;
  /// E, without zero experts.
  int64_t numExperts = 0;
  int64_t topK = 0;
  DType dtype = DType::F32;
  RoutingSpec routing;
  ActivationSpec activation;
  /// Both matrix products of the routed experts have a bias.
  bool hasExpertBias = false;
  SharedSpec shared;
  /// L: routed experts work on x latent_in^T, and latent_out brings their sum
  /// back; 0: no projection. Router and shared experts see x.
  int64_t latentSize = 0;

  bool hasRouter() const { return routing.source == RoutingSource::router; }
  bool hasSharedExperts() const { return shared.intermediateSize > 0; }
  /// Gate and up, or up alone: blocks of rows of an expert's first weight.
  int64_t numHalves() const { return activation.isGated() ? 2 : 1; }
  /// E + Z, the ids that the router chooses among.
  int64_t numRouted() const { return numExperts + routing.zeroExperts; }
  /// D, the width that the routed experts see.
  int64_t expertHiddenSize() const {
    return latentSize ? latentSize : hiddenSize;
  }
};

/// Whether the fields fit each other; the message names the field, what was
/// expected and what was found.
Status validate(const LayerSpec &spec);

/// JSON with snake_case keys, all of them always present. Reading is strict:
/// an unknown key, a missing key and a value of the wrong kind are errors that
/// name the key. What was read is validated.
nlohmann::json toJSON(const LayerSpec &spec);
Result<LayerSpec> layerSpecFromJSON(const nlohmann::json &json);

/// The same on text, for code that does not include the JSON library.
std::string toJSONText(const LayerSpec &spec);
Result<LayerSpec> layerSpecFromJSONText(const std::string &text);

} // namespace moe

#endif // MOE_MLIR_LAYER_LAYERSPEC_H
