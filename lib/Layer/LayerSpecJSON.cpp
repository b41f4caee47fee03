//===- LayerSpecJSON.cpp - Layers as JSON ---------------------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moe-mlir/Layer/LayerSpec.h"
#include "moe-mlir/Support/JSONFields.h"

using namespace moe;
using nlohmann::json;

json moe::toJSON(const LayerSpec &spec) {
  const RoutingSpec &routing = spec.routing;
  return {
      {"name", spec.name},
      {"hidden_size", spec.hiddenSize},
      {"intermediate_size", spec.intermediateSize},
      {"num_experts", spec.numExperts},
      {"top_k", spec.topK},
      {"dtype", dtypeName(spec.dtype)},
      {"routing",
       {{"source", name(routing.source)},
        {"score", name(routing.score)},
        {"weight", name(routing.weight)},
        {"has_router_bias", routing.hasRouterBias},
        {"has_correction_bias", routing.hasCorrectionBias},
        {"n_group", routing.nGroup},
        {"topk_group", routing.topkGroup},
        {"group_score", name(routing.groupScore)},
        {"renormalize", routing.renormalize},
        {"renormalize_epsilon", routing.renormalizeEpsilon},
        {"renormalize_minimum", routing.renormalizeMinimum},
        {"scale", routing.scale},
        {"weight_on_input", routing.weightOnInput},
        {"zero_experts", routing.zeroExperts}}},
      {"activation",
       {{"kind", name(spec.activation.kind)},
        {"limit", spec.activation.limit},
        {"alpha", spec.activation.alpha}}},
      {"has_expert_bias", spec.hasExpertBias},
      {"shared",
       {{"intermediate_size", spec.shared.intermediateSize},
        {"count", spec.shared.count},
        {"gate", name(spec.shared.gate)}}},
      {"latent_size", spec.latentSize},
  };
}

template <typename Enum>
static void readEnum(JSONFields &fields, const char *key, Enum &value) {
  std::vector<Enum> enumerators;
  for (const LayerEnumCase<Enum> &candidate : LayerEnum<Enum>::cases)
    enumerators.push_back(candidate.value);
  fields.readEnum(key, value, enumerators);
}

static Status readRouting(const json &object, RoutingSpec &routing) {
  JSONFields fields(object, "layer.routing");
  readEnum(fields, "source", routing.source);
  readEnum(fields, "score", routing.score);
  readEnum(fields, "weight", routing.weight);
  fields.read("has_router_bias", routing.hasRouterBias);
  fields.read("has_correction_bias", routing.hasCorrectionBias);
  fields.read("n_group", routing.nGroup);
  fields.read("topk_group", routing.topkGroup);
  readEnum(fields, "group_score", routing.groupScore);
  fields.read("renormalize", routing.renormalize);
  fields.read("renormalize_epsilon", routing.renormalizeEpsilon);
  fields.read("renormalize_minimum", routing.renormalizeMinimum);
  fields.read("scale", routing.scale);
  fields.read("weight_on_input", routing.weightOnInput);
  fields.read("zero_experts", routing.zeroExperts);
  return fields.finish();
}

static Status readActivation(const json &object, ActivationSpec &activation) {
  JSONFields fields(object, "layer.activation");
  readEnum(fields, "kind", activation.kind);
  fields.read("limit", activation.limit);
  fields.read("alpha", activation.alpha);
  return fields.finish();
}

static Status readShared(const json &object, SharedSpec &shared) {
  JSONFields fields(object, "layer.shared");
  fields.read("intermediate_size", shared.intermediateSize);
  fields.read("count", shared.count);
  readEnum(fields, "gate", shared.gate);
  return fields.finish();
}

Result<LayerSpec> moe::layerSpecFromJSON(const json &object) {
  LayerSpec spec;
  JSONFields fields(object, "layer");
  fields.read("name", spec.name);
  fields.read("hidden_size", spec.hiddenSize);
  fields.read("intermediate_size", spec.intermediateSize);
  fields.read("num_experts", spec.numExperts);
  fields.read("top_k", spec.topK);
  std::string dtype;
  fields.read("dtype", dtype);
  if (const json *routing = fields.object("routing"))
    fields.take(readRouting(*routing, spec.routing));
  if (const json *activation = fields.object("activation"))
    fields.take(readActivation(*activation, spec.activation));
  fields.read("has_expert_bias", spec.hasExpertBias);
  if (const json *shared = fields.object("shared"))
    fields.take(readShared(*shared, spec.shared));
  fields.read("latent_size", spec.latentSize);
  if (Status status = fields.finish(); !status)
    return Failure{status.error()};
  Result<DType> parsed = parseDType(dtype);
  if (!parsed)
    return Failure{"layer.dtype: " + parsed.error()};
  spec.dtype = *parsed;
  if (Status status = validate(spec); !status)
    return Failure{"layer: " + status.error()};
  return spec;
}

std::string moe::toJSONText(const LayerSpec &spec) {
  return toJSON(spec).dump(2, ' ', false, json::error_handler_t::replace);
}

Result<LayerSpec> moe::layerSpecFromJSONText(const std::string &text) {
  Result<json> parsed = parseJSON(text);
  if (!parsed)
    return Failure{"layer: " + parsed.error()};
  return layerSpecFromJSON(*parsed);
}
