//===- Decision.h - When the shared experts run -----------------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The policy's entry: from a layer's plan, a kernel, a platform and a rule set
// to the order of work, with the rule that decided and its reason.
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_POLICY_DECISION_H
#define MOE_MLIR_POLICY_DECISION_H

#include "moe-mlir/Policy/CostModel.h"
#include "moe-mlir/Policy/ParallelConfig.h"
#include "moe-mlir/Policy/RuleSet.h"

#include <cstdint>
#include <optional>
#include <string>

namespace moe::policy {

struct KernelTraits {
  /// Dispatch, experts and combine are separate phases. A monolithic kernel
  /// contains the router and takes router logits.
  bool modular = true;
};

struct Platform {
  /// As explanations name it, such as "cpu" or "cuda:sm_90a".
  std::string name = "cpu";
  /// The target can run an auxiliary stream. vLLM's "the platform is CUDA and a
  /// stream exists" is this and `disableSharedExpertsStream`.
  bool hasAuxStream = true;
};

/// What the cost model works with.
struct CostInputs {
  /// The whole layer; it is sharded as the configuration says.
  LayerShape layer;
  MachineModel machine;
};

struct DecisionOptions {
  /// VLLM_SHARED_EXPERTS_STREAM_TOKEN_THRESHOLD, in rows of T.
  int64_t threshold = 256;
  /// VLLM_DISABLE_SHARED_EXPERTS_STREAM.
  bool disableSharedExpertsStream = false;
  /// Rule sets that choose by cost follow their further rules without it.
  std::optional<CostInputs> cost;
};

/// An order and why.
struct Outcome {
  Order order = Order::None;
  /// The rule set's and the rule's name, such as "vllm rule 1".
  std::string rule;
  std::string reason;
  /// What the user can change to have the shared experts overlapped again;
  /// empty where there is nothing to change or nothing to gain.
  std::string suggestion;
};

/// The order for every T: `low` where T <= threshold, `high` above. Without a
/// threshold T does not decide, and both are the same.
struct Decision {
  std::string ruleSet;
  Outcome low;
  Outcome high;
  std::optional<int64_t> threshold;

  bool dependsOnTokens() const { return threshold.has_value(); }
  const Outcome &at(int64_t tokens) const {
    return !threshold || tokens <= *threshold ? low : high;
  }

  /// Both rules and reasons where T decides, one otherwise.
  std::string rule() const;
  std::string reason() const;
  /// The suggestions, most helpful first; may be empty.
  std::string suggestion() const;
};

/// Decides the order of work of a layer. A pure function.
///
/// `tokens` is T: rows of the shared experts' input on this rank (see
/// getSharedExpertRows), or nothing where T is only known at run time; the
/// decision then carries the threshold that the compiled function tests.
///
/// A layer without shared experts gives NONE under every rule set. Constraints
/// on the configuration are derive()'s business.
Decision decideOrder(const ParallelProperties &properties,
                     const KernelTraits &kernel, const Platform &platform,
                     std::optional<int64_t> tokens, const RuleSet &ruleSet,
                     const DecisionOptions &options = {});

/// Whether the tokens of a call are split into two batches: for calls in which
/// the rank with most tokens has at least a threshold of them. All ranks see
/// the same maximum, and so decide alike.
struct BatchDecision {
  /// False: every call is one batch, and the thresholds mean nothing.
  bool twoBatches = false;
  /// For calls whose tokens are all decodes, and for other ones.
  int64_t decodeThreshold = 0;
  int64_t prefillThreshold = 0;
  std::string rule;
  std::string reason;
  /// What the user can change to get two batches; may be empty.
  std::string suggestion;
};

/// Decides about two batches. A pure function.
BatchDecision decideBatches(const ParallelProperties &properties,
                            const KernelTraits &kernel, const RuleSet &ruleSet);

} // namespace moe::policy

#endif // MOE_MLIR_POLICY_DECISION_H
