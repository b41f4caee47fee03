//===- Decisions.cpp - Decisions of the policy as attributes --------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moe-mlir/Transforms/Schedule.h"

using namespace mlir;
using namespace moe;

static OutcomeAttr toAttr(MLIRContext *context, const policy::Outcome &out) {
  return OutcomeAttr::get(context, out.order, out.rule, out.reason,
                          out.suggestion);
}

static policy::Outcome read(OutcomeAttr attr) {
  return {attr.getOrder(), attr.getRule().str(), attr.getReason().str(),
          attr.getSuggestion().str()};
}

DecisionAttr
moe::getDecisionAttr(MLIRContext *context, StringRef layer,
                     const policy::Decision &decision,
                     const std::optional<policy::BatchDecision> &batches) {
  OutcomeAttr above;
  if (decision.dependsOnTokens())
    above = toAttr(context, decision.high);
  BatchesAttr batchesAttr;
  if (batches) {
    // Without two batches the thresholds mean nothing.
    const bool two = batches->twoBatches;
    batchesAttr =
        BatchesAttr::get(context, two, two ? batches->decodeThreshold : 0,
                         two ? batches->prefillThreshold : 0, batches->rule,
                         batches->reason, batches->suggestion);
  }
  return DecisionAttr::get(context, layer, decision.ruleSet,
                           decision.threshold.value_or(-1),
                           toAttr(context, decision.low), above, batchesAttr);
}

policy::Decision moe::readDecision(DecisionAttr attr) {
  policy::Decision decision;
  decision.ruleSet = attr.getRuleSet().str();
  decision.low = decision.high = read(attr.getOutcome());
  if (OutcomeAttr above = attr.getAbove()) {
    decision.threshold = attr.getThreshold();
    decision.high = read(above);
  }
  return decision;
}

std::optional<policy::BatchDecision> moe::readBatches(DecisionAttr attr) {
  BatchesAttr read = attr.getBatches();
  if (!read)
    return std::nullopt;
  policy::BatchDecision batches;
  batches.twoBatches = read.getTwo();
  batches.decodeThreshold = read.getDecodeThreshold();
  batches.prefillThreshold = read.getPrefillThreshold();
  batches.rule = read.getRule().str();
  batches.reason = read.getReason().str();
  batches.suggestion = read.getSuggestion().str();
  return batches;
}
