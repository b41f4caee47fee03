//===- Decide.h - Decisions about configurations ----------------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// From a configuration to a decision in one step, as tests want it.
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_UNITTESTS_POLICY_DECIDE_H
#define MOE_MLIR_UNITTESTS_POLICY_DECIDE_H

#include "moe-mlir/Policy/Decision.h"

#include "gtest/gtest.h"

namespace moe::policy {

inline Decision decide(const ParallelConfig &config, const LayerTraits &layer,
                       const KernelTraits &kernel, const Platform &platform,
                       std::optional<int64_t> tokens, const RuleSet &ruleSet,
                       const DecisionOptions &options = {}) {
  return decideOrder(derive(config, layer).properties, kernel, platform, tokens,
                     ruleSet, options);
}

inline BatchDecision decideBatches(const ParallelConfig &config,
                                   const KernelTraits &kernel,
                                   const RuleSet &ruleSet) {
  return decideBatches(derive(config, LayerTraits()).properties, kernel,
                       ruleSet);
}

/// The backend of a name that users may give.
inline All2AllBackend getBackend(std::string_view name) {
  std::string error;
  std::optional<ParsedBackend> parsed = parseAll2AllBackend(name, error);
  EXPECT_TRUE(parsed) << error;
  return parsed ? parsed->backend : All2AllBackend();
}

} // namespace moe::policy

#endif // MOE_MLIR_UNITTESTS_POLICY_DECIDE_H
