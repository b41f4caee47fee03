//===- Explain.cpp - What was decided and why -----------------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moe-mlir/Dialect/MoE/IR/MoE.h"
#include "moe-mlir/Transforms/Parallel.h"
#include "moe-mlir/Transforms/Passes.h"
#include "moe-mlir/Transforms/Schedule.h"

#include "mlir/Dialect/SCF/IR/SCF.h"

namespace moe {
#define GEN_PASS_DEF_MOEEXPLAIN
#include "moe-mlir/Transforms/Passes.h.inc"
} // namespace moe

using namespace mlir;
using namespace moe;
using namespace moe::schedule;

namespace {
/// Streams and waits on the path through a function that `tokens` takes, or
/// over all paths without it.
struct Traffic {
  llvm::SetVector<StreamAttr> streams;
  int64_t waits = 0;
};
} // namespace

static void count(Block &block, const policy::Decision &decision,
                  std::optional<int64_t> tokens, Traffic &traffic) {
  for (Operation &op : block) {
    if (auto run = dyn_cast<RunOp>(op)) {
      traffic.streams.insert(run.getStream());
      traffic.waits += run.getAfter().size();
    } else if (auto mark = dyn_cast<MarkOp>(op)) {
      traffic.streams.insert(mark.getStream());
    } else if (auto choice = dyn_cast<scf::IfOp>(op)) {
      Traffic low, high;
      count(*choice.thenBlock(), decision, tokens, low);
      if (choice.elseBlock())
        count(*choice.elseBlock(), decision, tokens, high);
      // Whether a call is split into batches other ranks decide too.
      bool decides = tokens && !choice->hasAttr("schedule.uniform");
      bool takesLow =
          decides && decision.threshold && *tokens <= *decision.threshold;
      bool takesHigh = decides && !takesLow;
      if (!takesHigh)
        traffic.streams.insert(low.streams.begin(), low.streams.end());
      if (!takesLow)
        traffic.streams.insert(high.streams.begin(), high.streams.end());
      traffic.waits += takesLow    ? low.waits
                       : takesHigh ? high.waits
                                   : std::max(low.waits, high.waits);
    }
  }
}

FailureOr<policy::Explanation>
moe::explainFunction(FunctionOpInterface function,
                     std::optional<int64_t> tokens) {
  auto decisions = function->getAttrOfType<ArrayAttr>(kDecisionsAttrName);
  LayerInfoAttr layer = getLayerInfo(function);
  if (!decisions || decisions.empty() || !layer)
    return function.emitError("expected a function that --moe-schedule has "
                              "scheduled");
  auto decision = cast<DecisionAttr>(decisions[0]);
  policy::Explanation explanation;
  explanation.layer =
      (decision.getLayer().empty() ? function.getName() : decision.getLayer())
          .str();
  explanation.decision = readDecision(decision);
  explanation.batches = readBatches(decision);
  explanation.tokens = tokens;
  explanation.properties = getProperties(layer);
  explanation.capturable = explanation.properties.capturable;
  if (ArrayAttr warnings = layer.getWarnings())
    for (auto warning : warnings.getAsRange<StringAttr>())
      explanation.warnings.push_back(warning.str());

  Traffic traffic;
  count(function.getFunctionBody().front(), explanation.decision, tokens,
        traffic);
  for (StreamAttr stream : traffic.streams)
    explanation.streams.push_back(stream.getDisplayName());
  llvm::sort(explanation.streams,
             [](const std::string &a, const std::string &b) {
               // The caller's stream first.
               return (a != "compute") < (b != "compute") ||
                      ((a != "compute") == (b != "compute") && a < b);
             });
  explanation.events = traffic.waits;

  if (auto size =
          function->getAttrOfType<AffineMapAttr>("schedule.workspace_size")) {
    std::optional<int64_t> rows = tokens;
    if (auto bound =
            function->getAttrOfType<IntegerAttr>(kMaxNumTokensAttrName);
        bound && !rows)
      rows = bound.getInt();
    if (rows) {
      SlotAttr::Bytes bytes = *SlotAttr::getCoefficients(size.getValue());
      explanation.workspaceBytes =
          bytes[0] + bytes[1] * *rows +
          bytes[2] * *rows * explanation.properties.numRanks();
    }
  }
  return explanation;
}

namespace {
struct MoEExplain : moe::impl::MoEExplainBase<MoEExplain> {
  using MoEExplainBase::MoEExplainBase;
  MoEExplain(const moe::MoEExplainOptions &options, raw_ostream &os)
      : MoEExplainBase(options), os(os) {}

  void runOnOperation() override {
    markAllAnalysesPreserved();
    if (format != "text" && format != "json") {
      getOperation().emitError("expected format 'text' or 'json' but got '")
          << format << "'";
      return signalPassFailure();
    }
    std::optional<int64_t> tokens;
    if (numTokens >= 0)
      tokens = numTokens;
    for (auto function : getOperation().getOps<FunctionOpInterface>()) {
      if (!function->hasAttr(kDecisionsAttrName))
        continue;
      FailureOr<policy::Explanation> explanation =
          explainFunction(function, tokens);
      if (failed(explanation))
        return signalPassFailure();
      os << (format == "json" ? policy::explainJson(*explanation)
                              : policy::explainText(*explanation))
         << "\n";
    }
  }

  raw_ostream &os = llvm::outs();
};
} // namespace

std::unique_ptr<Pass> moe::createMoEExplain(const MoEExplainOptions &options,
                                            raw_ostream &os) {
  return std::make_unique<MoEExplain>(options, os);
}
