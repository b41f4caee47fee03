//===- ScheduleRegressionTest.cpp - A rule that got lost ------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// vLLM turns overlap off where EPLB runs over another backend than the default
// one: wrong results were seen there. The condition was lost when the code that
// decided was rewritten, nothing failed, and it had to be found again and put
// back as the first of today's rules. Here a rule set without that rule gives
// another schedule, and these tests say which rule is missing and what the
// schedule became. Both schedules are free of races: only the decision can know
// that one of them is not to run.
//
//===----------------------------------------------------------------------===//

#include "moe-mlir/Dialect/Schedule/Analysis/HappensBefore.h"
#include "moe-mlir/Pipelines/Register.h"
#include "moe-mlir/Transforms/Passes.h"
#include "moe-mlir/Transforms/Schedule.h"

#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Parser/Parser.h"
#include "mlir/Pass/PassManager.h"
#include "gtest/gtest.h"

using namespace mlir;
using namespace moe;

namespace {

/// A layer with shared experts on one rank of a configuration.
std::string getLayer(StringRef exchange, StringRef backend, bool eplb) {
  return (Twine(R"mlir(
    func.func @layer(%x: tensor<?x64xf32>, %router: tensor<8x64xf32>,
        %w13: tensor<4x64x64xf32>, %w2: tensor<4x64x32xf32>,
        %s13: tensor<96x64xf32>, %s2: tensor<64x48xf32>,
        %map: tensor<8x1xi32>, %count: tensor<8xi32>) -> tensor<?x64xf32>
        attributes {schedule.max_num_tokens = 512, moe.parallel = #moe.parallel<)mlir") +
          exchange + ", expert_parallel = true, all2all_backend = \"" +
          backend + "\"" + (eplb ? ", eplb = true" : "") + R"mlir(>} {
      %y = moe.layer hidden(%x : tensor<?x64xf32>)
        router(%router : tensor<8x64xf32>)
        experts(%w13, %w2 : tensor<4x64x64xf32>, tensor<4x64x32xf32>)
        shared(%s13, %s2 : tensor<96x64xf32>, tensor<64x48xf32>) )mlir" +
          (eplb ? "eplb(%map, %count : tensor<8x1xi32>, tensor<8xi32>)" : "") +
          R"mlir(
        routing(<top_k = 2>) activation(<swiglu>) -> tensor<?x64xf32>
      return %y : tensor<?x64xf32>
    })mlir")
      .str();
}

/// What one rule set made of a configuration.
struct Scheduled {
  policy::Decision decision;
  /// "stream label" of every run and mark in order; arms in brackets.
  std::string steps;
  bool isFreeOfRaces = false;
};

class ScheduleRegressionTest : public ::testing::Test {
protected:
  ScheduleRegressionTest() {
    DialectRegistry registry;
    registerDialects(registry);
    context.appendDialectRegistry(registry);
    context.loadAllAvailableDialects();
  }

  static policy::RuleSet getVLLM() {
    std::string error;
    return *policy::findRuleSet("vllm", error);
  }

  /// Expert parallelism over `exchange`, "data = 2" (all-to-all in use) or
  /// "tensor = 2" (not in use).
  Scheduled schedule(const policy::RuleSet &rules, StringRef exchange,
                     StringRef backend, bool eplb) {
    std::string text = getLayer(exchange, backend, eplb);
    Scheduled result;
    auto module = parseSourceString<ModuleOp>(text, &context);
    EXPECT_TRUE(module) << text;
    if (!module)
      return result;
    PassManager buffers(&context);
    buffers.addNestedPass<func::FuncOp>(createMoEExpandLayer());
    buildBufferizePipeline(buffers);
    EXPECT_TRUE(succeeded(buffers.run(*module)));

    ScheduleOptions options;
    options.ruleSet = &rules;
    auto function = *module->getOps<func::FuncOp>().begin();
    EXPECT_TRUE(succeeded(scheduleFunction(function, options)));
    auto decisions = function->getAttrOfType<ArrayAttr>("moe.decisions");
    EXPECT_EQ(decisions.size(), 1u);
    result.decision = readDecision(cast<DecisionAttr>(decisions[0]));
    list(function.getBody().front(), result.steps);
    result.isFreeOfRaces =
        schedule::HappensBefore(function).getFindings().empty();
    return result;
  }

  static void list(Block &block, std::string &steps) {
    for (Operation &op : block) {
      if (auto run = dyn_cast<schedule::RunOp>(op)) {
        steps += run.getStream().getDisplayName() + " " +
                 run.getLabel()->str() + "\n";
      } else if (auto mark = dyn_cast<schedule::MarkOp>(op)) {
        steps += mark.getStream().getDisplayName() + " mark\n";
      } else if (auto choice = dyn_cast<scf::IfOp>(op)) {
        steps += "[\n";
        list(*choice.thenBlock(), steps);
        steps += "][\n";
        list(*choice.elseBlock(), steps);
        steps += "]\n";
      }
    }
  }

  MLIRContext context;
};

/// The rules of `set` but the one at `index`.
policy::RuleSet without(policy::RuleSet set, size_t index) {
  set.name = set.name + " without " + set.rules[index].name;
  set.rules.erase(set.rules.begin() + index);
  return set;
}

constexpr char serial[] = "compute gate\n"
                          "compute shared experts\n"
                          "compute route\n"
                          "compute dispatch\n"
                          "compute experts\n"
                          "compute combine\n"
                          "compute merge\n";

/// All-to-all in use, an asynchronous backend: without the rule the modular
/// kernel owns the shared experts.
TEST_F(ScheduleRegressionTest, AsynchronousBackendInUse) {
  policy::RuleSet rules = getVLLM(), mutilated = without(rules, 0);
  Scheduled now = schedule(rules, "data = 2", "deepep_high_throughput", true);
  EXPECT_FALSE(now.decision.dependsOnTokens());
  EXPECT_EQ(now.decision.low.order, Order::NoOverlap);
  EXPECT_EQ(now.decision.low.rule, "vllm rule 1");
  EXPECT_NE(now.decision.low.reason.find(
                "EPLB is on and all2all backend 'deepep_high_throughput'"),
            std::string::npos)
      << now.decision.low.reason;
  EXPECT_EQ(now.steps, serial);
  EXPECT_TRUE(now.isFreeOfRaces);

  Scheduled then =
      schedule(mutilated, "data = 2", "deepep_high_throughput", true);
  EXPECT_EQ(then.decision.low.order, Order::MKInternalOverlapped);
  EXPECT_EQ(then.decision.low.rule, "vllm without rule 1 rule 2");
  EXPECT_EQ(then.steps, "compute gate\n"
                        "compute route\n"
                        "comm dp dispatch\n"
                        "compute experts\n"
                        "comm dp combine\n"
                        "compute shared experts\n"
                        "compute merge\n");
  EXPECT_TRUE(then.isFreeOfRaces);
}

/// dp = 1: the backend is named and not in use, which the rule does not ask.
/// Without it T decides.
TEST_F(ScheduleRegressionTest, BackendNotInUse) {
  policy::RuleSet rules = getVLLM(), mutilated = without(rules, 0);
  Scheduled now = schedule(rules, "tensor = 2", "deepep_low_latency", true);
  EXPECT_FALSE(now.decision.dependsOnTokens());
  EXPECT_EQ(now.decision.low.order, Order::NoOverlap);
  EXPECT_EQ(now.decision.low.rule, "vllm rule 1");
  EXPECT_EQ(now.steps, serial);

  Scheduled then =
      schedule(mutilated, "tensor = 2", "deepep_low_latency", true);
  EXPECT_TRUE(then.decision.dependsOnTokens());
  EXPECT_EQ(then.decision.low.order, Order::MultiStreamOverlapped);
  EXPECT_EQ(then.decision.high.order, Order::NoOverlap);
  EXPECT_EQ(then.steps, std::string("[\n"
                                    "compute mark\n"
                                    "aux shared experts\n"
                                    "compute gate\n"
                                    "compute route\n"
                                    "compute dispatch\n"
                                    "compute experts\n"
                                    "compute combine\n"
                                    "compute merge\n"
                                    "][\n") +
                            serial + "]\n");
  EXPECT_TRUE(then.isFreeOfRaces);
}

/// Which rule is missing can be told from the schedules: of all rules, taking
/// the first one away is what changes configurations with EPLB and another
/// backend, and taking away any other does not.
TEST_F(ScheduleRegressionTest, OnlyRule1Decides) {
  policy::RuleSet rules = getVLLM();
  for (StringRef exchange : {"data = 2", "tensor = 2"})
    for (const policy::BackendInfo &backend : policy::getBackendTable()) {
      if (backend.backend == All2AllBackend::allgather_reducescatter)
        continue;
      StringRef name(moe::name(backend.backend));
      std::string expected = schedule(rules, exchange, name, true).steps;
      std::vector<std::string> missed;
      for (size_t i = 0; i < rules.rules.size(); ++i)
        if (schedule(without(rules, i), exchange, name, true).steps != expected)
          missed.push_back(rules.rules[i].name);
      EXPECT_EQ(missed, std::vector<std::string>{"rule 1"})
          << name.str() << " with " << exchange.str();
    }
}

/// What the rule does not speak of stays as it is without it.
TEST_F(ScheduleRegressionTest, Rule1ChangesNothingElse) {
  policy::RuleSet rules = getVLLM(), mutilated = without(rules, 0);
  auto expectEqual = [&](StringRef exchange, StringRef backend, bool eplb) {
    EXPECT_EQ(schedule(rules, exchange, backend, eplb).steps,
              schedule(mutilated, exchange, backend, eplb).steps)
        << backend.str() << " with " << exchange.str();
  };
  for (StringRef exchange : {"data = 2", "tensor = 2"}) {
    for (StringRef backend : {"deepep_high_throughput", "deepep_low_latency",
                              "nixl_ep", "mori", "flashinfer_nvlink_one_sided"})
      expectEqual(exchange, backend, false);
    for (bool eplb : {false, true})
      expectEqual(exchange, "allgather_reducescatter", eplb);
  }
  expectEqual("tensor = 2", "flashinfer_nvlink_two_sided", false);
}

} // namespace
