//===- LayerSpec.cpp - One MoE layer as a plain struct --------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moe-mlir/Layer/LayerSpec.h"
#include <cmath>

using namespace moe;

const char *moe::dtypeName(DType dtype) {
  switch (dtype) {
  case DType::F32:
    return "f32";
  case DType::BF16:
    return "bf16";
  case DType::F16:
    return "f16";
  case DType::I32:
    return "i32";
  }
  return "";
}

const char *moe::longName(DType dtype) {
  switch (dtype) {
  case DType::F32:
    return "float32";
  case DType::BF16:
    return "bfloat16";
  case DType::F16:
    return "float16";
  case DType::I32:
    return "int32";
  }
  return "";
}

Result<DType> moe::parseDType(const std::string &name) {
  for (DType dtype : {DType::F32, DType::BF16, DType::F16, DType::I32})
    if (name == dtypeName(dtype) || name == longName(dtype))
      return dtype;
  return Failure{"expected a dtype (float32, bfloat16, float16, int32) but got "
                 "'" +
                 name + "'"};
}

int64_t moe::dtypeBytes(DType dtype) {
  return dtype == DType::F32 || dtype == DType::I32 ? 4 : 2;
}

double moe::unitRoundoff(DType dtype) {
  switch (dtype) {
  case DType::F32:
    return 0x1p-24;
  case DType::BF16:
    return 0x1p-8;
  case DType::F16:
    return 0x1p-11;
  case DType::I32:
    return 0;
  }
  return 0;
}

namespace {
/// Collects the first violated constraint.
class Constraints {
public:
  void check(bool holds, const std::string &field, const std::string &expected,
             const std::string &found) {
    if (!holds && message.empty())
      message =
          "expected '" + field + "' to be " + expected + " but got " + found;
  }
  void check(bool holds, const std::string &field, const std::string &expected,
             int64_t found) {
    check(holds, field, expected, std::to_string(found));
  }
  void number(bool holds, const std::string &field, const std::string &expected,
              double found) {
    check(holds, field, expected, std::to_string(found));
  }
  void flag(bool holds, const std::string &field, const std::string &expected,
            bool found) {
    check(holds, field, expected, std::string(found ? "true" : "false"));
  }
  Status status() const {
    if (message.empty())
      return {};
    return Failure{message};
  }

private:
  std::string message;
};
} // namespace

static void checkGroups(const LayerSpec &spec, Constraints &c) {
  const RoutingSpec &routing = spec.routing;
  c.check(routing.nGroup >= 1, "n_group", "at least 1", routing.nGroup);
  if (routing.nGroup < 1)
    return;
  c.check(routing.topkGroup >= 1 && routing.topkGroup <= routing.nGroup,
          "topk_group",
          "within 1 .. n_group = " + std::to_string(routing.nGroup),
          routing.topkGroup);
  if (routing.nGroup == 1)
    return;
  c.check(spec.numExperts % routing.nGroup == 0, "n_group",
          "a divisor of num_experts = " + std::to_string(spec.numExperts),
          routing.nGroup);
  c.check(routing.zeroExperts == 0, "zero_experts", "0 where there are groups",
          routing.zeroExperts);
  int64_t groupSize = spec.numExperts / routing.nGroup;
  c.check(spec.topK <= routing.topkGroup * groupSize, "top_k",
          "at most the experts of the kept groups, topk_group * num_experts / "
          "n_group = " +
              std::to_string(routing.topkGroup * groupSize),
          spec.topK);
  if (routing.groupScore == GroupScore::top2_sum)
    c.check(groupSize >= 2, "n_group",
            "at most num_experts / 2 where group_score is 'top2_sum'",
            routing.nGroup);
}

/// With given ids and weights nothing of a router may be asked for.
static void checkGiven(const RoutingSpec &routing, Constraints &c) {
  const char *reason = "false where source is 'given'";
  c.flag(!routing.hasRouterBias, "has_router_bias", reason,
         routing.hasRouterBias);
  c.flag(!routing.hasCorrectionBias, "has_correction_bias", reason,
         routing.hasCorrectionBias);
  c.flag(!routing.renormalize, "renormalize", reason, routing.renormalize);
  c.check(routing.nGroup == 1, "n_group", "1 where source is 'given'",
          routing.nGroup);
}

Status moe::validate(const LayerSpec &spec) {
  const RoutingSpec &routing = spec.routing;
  Constraints c;
  c.check(!spec.name.empty(), "name", "not empty", std::string("''"));
  c.check(spec.hiddenSize >= 1, "hidden_size", "at least 1", spec.hiddenSize);
  c.check(spec.intermediateSize >= 1, "intermediate_size", "at least 1",
          spec.intermediateSize);
  c.check(spec.numExperts >= 1, "num_experts", "at least 1", spec.numExperts);
  c.check(routing.zeroExperts >= 0, "zero_experts", "at least 0",
          routing.zeroExperts);
  // Ids are int32.
  c.check(spec.numRouted() <= INT32_MAX, "num_experts", "at most 2147483647",
          spec.numRouted());
  c.check(spec.topK >= 1 && spec.topK <= spec.numRouted(), "top_k",
          "within 1 .. num_experts + zero_experts = " +
              std::to_string(spec.numRouted()),
          spec.topK);
  c.check(spec.dtype != DType::I32, "dtype", "f32, bf16 or f16",
          std::string(dtypeName(spec.dtype)));
  c.check(spec.latentSize >= 0, "latent_size", "at least 0", spec.latentSize);
  c.check(spec.shared.intermediateSize >= 0, "shared.intermediate_size",
          "at least 0", spec.shared.intermediateSize);
  c.check(spec.shared.intermediateSize > 0 ||
              spec.shared.gate == SharedGate::none,
          "shared.gate", "'none' without shared experts",
          std::string(name(spec.shared.gate)));
  checkGroups(spec, c);
  if (routing.source == RoutingSource::given)
    checkGiven(routing, c);
  c.number(std::isfinite(routing.scale), "scale", "finite", routing.scale);
  c.number(routing.renormalizeEpsilon >= 0, "renormalize_epsilon", "at least 0",
           routing.renormalizeEpsilon);
  c.number(routing.renormalizeMinimum >= 0, "renormalize_minimum", "at least 0",
           routing.renormalizeMinimum);
  if (routing.weightOnInput) {
    c.check(spec.topK == 1, "top_k", "1 where weight_on_input is set",
            spec.topK);
    c.check(routing.zeroExperts == 0, "zero_experts",
            "0 where weight_on_input is set", routing.zeroExperts);
  }
  if (spec.activation.kind == ActivationKind::swigluoai) {
    c.number(spec.activation.limit > 0, "activation.limit", "positive",
             spec.activation.limit);
    c.number(std::isfinite(spec.activation.alpha), "activation.alpha", "finite",
             spec.activation.alpha);
  } else {
    std::string expected =
        std::string("0 where the kind is '") + name(spec.activation.kind) + "'";
    c.number(spec.activation.limit == 0, "activation.limit", expected,
             spec.activation.limit);
    c.number(spec.activation.alpha == 0, "activation.alpha", expected,
             spec.activation.alpha);
  }
  return c.status();
}
