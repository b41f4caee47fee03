//===- ScheduleTest.cpp - Schedules of layers on paper --------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Layers are scheduled by the pipeline, so that what is simulated is what is
// proven and lowered.
//
//===----------------------------------------------------------------------===//

#include "moe-mlir/Transforms/Schedule.h"
#include "moe-mlir/Dialect/MoE/IR/MoE.h"
#include "moe-mlir/Pipelines/Pipelines.h"
#include "moe-mlir/Pipelines/Register.h"
#include "moe-mlir/Simulate/Scale.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/Verifier.h"
#include "mlir/Parser/Parser.h"
#include "gtest/gtest.h"

using namespace mlir;
using namespace moe;
using namespace moe::simulate;

namespace {
/// H 64, 8 experts of width 32, 2 of them for a token, shared ones of 48.
constexpr int64_t hidden = 64, inter = 32, numExperts = 8, topK = 2,
                  sharedInter = 48;

class SimulateTest : public ::testing::Test {
protected:
  SimulateTest() {
    DialectRegistry registry;
    registerDialects(registry);
    context.appendDialectRegistry(registry);
    context.loadAllAvailableDialects();
    cluster.name = "two nodes";
    cluster.nodes = 2;
    cluster.gpusPerNode = 2;
    cluster.gpu = policy::getH200Machine();
    cluster.networkBandwidth = 5e10;
    cluster.networkLatency = 1e-5;
    cluster.networkMessageGap = 1e-7;
  }

  /// The layer under a configuration such as "data = 2, expert_parallel =
  /// true", where a rank holds `local` experts.
  FunctionOpInterface schedule(StringRef parallel, int64_t local,
                               StringRef ruleSet) {
    std::string l = std::to_string(local);
    std::string text =
        "func.func @layer(%x: tensor<?x64xf32>, %router: tensor<8x64xf32>,\n"
        "  %w13: tensor<" +
        l + "x64x64xf32>, %w2: tensor<" + l +
        "x64x32xf32>, %s13: tensor<96x64xf32>, %s2: tensor<64x48xf32>)\n"
        "  -> tensor<?x64xf32> attributes {schedule.max_num_tokens = 16,\n"
        "  moe.parallel = #moe.parallel" +
        parallel.str() +
        "} {\n"
        "  %y = moe.layer hidden(%x : tensor<?x64xf32>)\n"
        "    router(%router : tensor<8x64xf32>)\n"
        "    experts(%w13, %w2 : tensor<" +
        l + "x64x64xf32>, tensor<" + l +
        "x64x32xf32>)\n"
        "    shared(%s13, %s2 : tensor<96x64xf32>, tensor<64x48xf32>)\n"
        "    routing(<top_k = 2>) activation(<swiglu>) -> tensor<?x64xf32>\n"
        "  return %y : tensor<?x64xf32>\n}";
    modules.push_back(parseSourceString<ModuleOp>(text, &context));
    EXPECT_TRUE(modules.back()) << text;
    CompileOptions options;
    options.ruleSet = ruleSet.str();
    PassManager pm(&context);
    buildSchedulePipeline(pm, options);
    EXPECT_TRUE(succeeded(pm.run(*modules.back())));
    return *modules.back()->getOps<FunctionOpInterface>().begin();
  }

  Call makeCall(FunctionOpInterface function, std::vector<int64_t> tokens,
                double exponent = 0) {
    Call call;
    call.cluster = cluster;
    call.properties = *getProperties(function);
    call.tokens = std::move(tokens);
    Routing routing = *getRouting(function);
    EXPECT_EQ(routing.router.topK, topK);
    routing.router.weights = policy::getZipfWeights(numExperts, exponent);
    call.loads = policy::getExpectedLoads(routing.router, routing.slots);
    return call;
  }

  RoutingReport report(FunctionOpInterface function, const Call &call) {
    ScheduledLayer layer = {"", Order::None, function};
    FailureOr<RoutingReport> result =
        reportRouting("test", layer, call, policy::getEvenLoads(call.loads));
    EXPECT_TRUE(succeeded(result));
    return succeeded(result) ? std::move(*result) : RoutingReport();
  }

  static const PhaseReport &find(const RoutingReport &report, StringRef label) {
    static const PhaseReport none;
    for (const PhaseReport &phase : report.phases)
      if (phase.label == label)
        return phase;
    ADD_FAILURE() << "no phase " << label.str();
    return none;
  }

  static policy::LayerShape getShape() {
    policy::LayerShape shape;
    shape.hidden = hidden;
    shape.inter = inter;
    shape.experts = shape.expertsLocal = numExperts;
    shape.topK = topK;
    shape.sharedInter = sharedInter;
    shape.dtypeBytes = 4;
    return shape;
  }

  MLIRContext context;
  std::vector<OwningOpRef<ModuleOp>> modules;
  policy::ClusterModel cluster;
};
} // namespace

// On one rank the serial schedule takes what the cost model says of the order.
TEST_F(SimulateTest, OneRankIsTheCostModel) {
  FunctionOpInterface function = schedule("", 8, "serial");
  for (int64_t tokens : {1, 7, 1000}) {
    RoutingReport result = report(function, makeCall(function, {tokens}));
    double expected =
        policy::estimateTime(Order::NoOverlap, getShape(),
                             policy::ParallelProperties(), cluster.gpu, tokens);
    EXPECT_NEAR(result.timeline.time, expected, expected * 1e-6);
    EXPECT_TRUE(result.collectives.empty());
  }
}

// Phases that are one kernel cost what they cost one by one.
TEST_F(SimulateTest, FusedPhasesAddUp) {
  FunctionOpInterface function = schedule("", 8, "serial");
  const double apart =
      report(function, makeCall(function, {100})).timeline.time;
  CombineOp combine;
  MergeOp merge;
  function.walk([&](CombineOp op) { combine = op; });
  function.walk([&](MergeOp op) { merge = op; });
  Operation *run = combine->getParentOp();
  OpBuilder b(merge);
  auto fused = FusedOp::create(b, merge.getLoc());
  Block &body = fused.getBody().emplaceBlock();
  Value sums = body.addArgument(combine.getInit().getType(), combine.getLoc());
  combine->moveBefore(&body, body.end());
  merge->moveBefore(&body, body.end());
  combine.getInitMutable().assign(sums);
  merge.getRoutedMutable().assign(sums);
  run->erase();
  ASSERT_TRUE(succeeded(verify(function)));
  RoutingReport result = report(function, makeCall(function, {100}));
  EXPECT_NEAR(result.timeline.time, apart, apart * 1e-6);
}

// With many ranks, every phase costs a rank what the cost model's formulas for
// uniform routing say, by every transport.
TEST_F(SimulateTest, PhasesAreThoseOfTheCostModel) {
  for (StringRef backend : {"allgather_reducescatter", "deepep_high_throughput",
                            "deepep_low_latency"}) {
    FunctionOpInterface function =
        schedule(("<data = 4, expert_parallel = true, all2all_backend = \"" +
                  backend + "\">")
                     .str(),
                 2, "serial");
    Call call = makeCall(function, {16, 16, 16, 16});
    RoutingReport result = report(function, call);
    policy::LayerShape shape = policy::shardLayer(getShape(), call.properties);
    std::vector<policy::PhaseCost> costs =
        policy::getPhaseCosts(shape, call.properties, 16);
    std::pair<policy::Phase, StringRef> phases[] = {
        {policy::Phase::Gate, "gate"},
        {policy::Phase::Route, "route"},
        {policy::Phase::Dispatch, "dispatch"},
        {policy::Phase::Experts, "experts"},
        {policy::Phase::Combine, "combine"},
        {policy::Phase::Shared, "shared experts"},
        {policy::Phase::Merge, "merge"}};
    for (auto [phase, label] : phases) {
      const policy::PhaseCost &cost = costs[size_t(phase)];
      double expected = policy::getIdleTime(cost, cluster.gpu) +
                        policy::getBusyTime(cost, cluster.gpu);
      // Packing and planning are kernels of their own, so where one is bound by
      // memory and one by nothing their sum is that of the whole.
      EXPECT_NEAR(find(result, label).mean, expected, expected * 1e-6)
          << backend.str() << " " << label.str();
      EXPECT_NEAR(find(result, label).largest, find(result, label).mean,
                  expected * 1e-6);
    }
    EXPECT_GT(find(result, "dispatch").links, 0);
    EXPECT_NEAR(result.balance, 1, 1e-6);
  }
}

// A token goes once to each of the three other ranks that has one of its two
// experts: 1 - C(6, 2) / C(8, 2) of the tokens.
TEST_F(SimulateTest, BytesOfPairs) {
  FunctionOpInterface function =
      schedule("<data = 4, expert_parallel = true, all2all_backend = \"mori\">",
               2, "serial");
  Call call = makeCall(function, {16, 16, 16, 16});
  RoutingReport result = report(function, call);
  ASSERT_EQ(result.collectives.size(), 3u);
  const double hit = 1 - 15.0 / 28;
  const policy::Traffic &counts = result.collectives[0].traffic;
  EXPECT_EQ(counts.inter.largest, 4);
  const policy::Traffic &rows = result.collectives[1].traffic;
  EXPECT_EQ(rows.intra.pairs, 4);
  EXPECT_EQ(rows.inter.pairs, 8);
  EXPECT_NEAR(rows.intra.mean, 16 * hit * (64 * 4 + 2 * 8), 1e-3);
  EXPECT_NEAR(rows.inter.largest, rows.inter.smallest, 1e-3);
  const policy::Traffic &back = result.collectives[2].traffic;
  EXPECT_NEAR(back.inter.mean, 16 * hit * 64 * 4, 1e-3);
  EXPECT_NEAR(result.collectives[2].seconds,
              2 * back.inter.mean / 5e10 + 1e-7 + 1e-5, 1e-12);
}

// Ranks with few tokens overlap and ranks with many do not, and they meet all
// the same. A rank without tokens takes part, too.
TEST_F(SimulateTest, RanksTakeDifferentArms) {
  FunctionOpInterface function =
      schedule("<data = 4, expert_parallel = true>", 2, "vllm");
  Call call = makeCall(function, {16, 1000, 0, 256});
  RoutingReport result = report(function, call);
  std::vector<bool> usesAux(4);
  for (const Span &span : result.timeline.spans)
    if (result.program.labels[span.label] == "shared experts" &&
        result.program.streams[span.stream] == "aux")
      usesAux[span.rank] = true;
  EXPECT_EQ(usesAux, (std::vector<bool>{true, false, true, true}));
  // All ranks get the rows of all.
  EXPECT_EQ(result.collectives[0].traffic.inter.largest,
            1000 * (64 * 4 + 2 * 8));
  EXPECT_EQ(result.collectives[0].traffic.inter.smallest, 0);
}

// Tensor-parallel ranks meet in groups of their own for the sum of float32.
TEST_F(SimulateTest, Reductions) {
  FunctionOpInterface function =
      schedule("<tensor = 2, expert_parallel = true>", 4, "serial");
  RoutingReport result = report(function, makeCall(function, {10, 10}));
  ASSERT_EQ(result.collectives.size(), 1u);
  EXPECT_EQ(result.collectives[0].label, "merge");
  EXPECT_EQ(result.collectives[0].kind, policy::CollectiveKind::AllReduce);
  EXPECT_EQ(result.collectives[0].traffic.intra.mean, 10 * 64 * 4);

  // Two dp groups of two tp ranks each.
  function = schedule("<tensor = 2, data = 2>", 8, "serial");
  result = report(function, makeCall(function, {10, 10, 20, 20}));
  ASSERT_EQ(result.collectives.size(), 3u);
  EXPECT_EQ(result.program.groups.size(), 4u);
  // Ranks 0 and 2 exchange, and 1 and 3: between nodes.
  EXPECT_EQ(result.collectives[0].traffic.intra.pairs, 0);
  EXPECT_EQ(result.collectives[0].traffic.inter.pairs, 4);
}

TEST_F(SimulateTest, OverlapAndBalanceGain) {
  std::string parallel = "<data = 4, expert_parallel = true, all2all_backend = "
                         "\"deepep_high_throughput\">";
  cluster.gpu.eventCost = cluster.gpu.streamContention = 0;
  FunctionOpInterface serial = schedule(parallel, 2, "serial");
  FunctionOpInterface overlap = schedule(parallel, 2, "overlap");
  double last = 0;
  for (double exponent : {0.0, 1.0, 2.0}) {
    Call call = makeCall(serial, {4096, 4096, 4096, 4096}, exponent);
    RoutingReport slow = report(serial, call), fast = report(overlap, call);
    EXPECT_LT(fast.timeline.time, slow.timeline.time);
    EXPECT_LE(slow.steps[0].balancedSeconds,
              slow.steps[0].seconds * (1 + 1e-6));
    // The more skewed, the longer the slowest rank takes.
    EXPECT_GE(slow.timeline.time, last);
    last = slow.timeline.time;
  }
}

TEST_F(SimulateTest, MoreTokensAndSlowerLinksTakeLonger) {
  FunctionOpInterface function =
      schedule("<data = 4, expert_parallel = true, all2all_backend = \"mori\">",
               2, "vllm");
  double last = 0;
  for (int64_t tokens : {0, 1, 10, 100, 1000, 10000}) {
    Call call = makeCall(function, std::vector<int64_t>(4, tokens));
    double time = report(function, call).timeline.time;
    EXPECT_GT(time, last);
    last = time;
    call.cluster.networkBandwidth /= 2;
    EXPECT_GE(report(function, call).timeline.time, time);
  }
}

TEST_F(SimulateTest, Memory) {
  FunctionOpInterface function =
      schedule("<data = 4, expert_parallel = true>", 2, "serial");
  FailureOr<MemoryReport> memory = reportMemory(function, 16, 2);
  ASSERT_TRUE(succeeded(memory));
  EXPECT_EQ(memory->inputsAndOutput, 2 * 16 * 64 * 4);
  EXPECT_EQ(memory->weights, 4 * (8 * 64 + 3 * 2 * 64 * 32 + 3 * 64 * 48));
}

TEST_F(SimulateTest, RefusesWhatIsNoSchedule) {
  std::string message;
  ScopedDiagnosticHandler handler(
      &context, [&](Diagnostic &diagnostic) { message = diagnostic.str(); });
  FunctionOpInterface function = schedule("", 8, "serial");
  Call call = makeCall(function, {16});
  call.tokens = {16, 16};
  EXPECT_TRUE(failed(buildProgram(function, call)));
  EXPECT_EQ(message, "expected the tokens of 1 ranks but got those of 2");
  auto module = parseSourceString<ModuleOp>(
      "func.func @f(%x: memref<?x64xf32>) { return }", &context);
  auto empty = *module->getOps<FunctionOpInterface>().begin();
  EXPECT_TRUE(failed(getRouting(empty)));
  call.tokens = {16};
  EXPECT_TRUE(failed(buildProgram(empty, call)));
  EXPECT_EQ(message, "expected a function with a schedule to simulate but it "
                     "issues nothing");
  module = parseSourceString<ModuleOp>(
      "func.func @f(%x: memref<?x64xf32>, %y: memref<?x64xf32>) {\n"
      "  schedule.run on(compute) { memref.copy %x, %y : memref<?x64xf32> to "
      "memref<?x64xf32> }\n  return }",
      &context);
  empty = *module->getOps<FunctionOpInterface>().begin();
  EXPECT_TRUE(failed(buildProgram(empty, call)));
  EXPECT_EQ(message, "'memref.copy' op expected a phase of a layer to "
                     "simulate; kernels have no cost on paper");
}
