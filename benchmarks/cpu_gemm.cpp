//===- cpu_gemm.cpp - Throughput of the CPU's grouped GEMM ----------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Times the gate/up kernel of the routed experts at the shape of
// DeepSeek-V2-Lite (64 experts, 6 per token, H = 2048, I = 1408) on one core,
// beside the core's peak: independent fused multiply-adds on registers of the
// same width, measured in the same run.
//
//   cpu_gemm [host | x86-64-v3 | ...] [Google Benchmark's flags]
//
// GFLOP/s counts a multiply-add as two. GB/s counts the weights of the experts
// that are hit, once.
//
//===----------------------------------------------------------------------===//

#include "Testing/CPU/Program.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"
#include <benchmark/benchmark.h>
#include <cstring>

using namespace mlir;
using namespace moe;
using namespace moe::codegen::cpu;
using namespace moe::codegen::cpu::test;

static constexpr int64_t kExperts = 64, kChosen = 6, kHidden = 2048,
                         kIntermediate = 1408;

//===----------------------------------------------------------------------===//
// Peak
//===----------------------------------------------------------------------===//

/// More chains than any core has multiply-adds in flight.
static constexpr int64_t kChains = 12;
static constexpr int64_t kSteps = 100000;

/// A kernel that advances independent chains of multiply-adds.
static LogicalResult emitPeak(const Emission &emission, ValueRange operands) {
  ModuleOp module = emission.module;
  ImplicitLocOpBuilder b(emission.loc, module.getContext());
  b.setInsertionPointToEnd(module.getBody());
  auto kernel = func::FuncOp::create(
      b, "peak",
      b.getFunctionType({b.getIndexType(), operands[0].getType()}, {}));
  kernel->setAttr(kKernelAttrName, b.getUnitAttr());
  b.setInsertionPointToStart(kernel.addEntryBlock());
  Value zero = arith::ConstantIndexOp::create(b, 0);
  Value one = arith::ConstantIndexOp::create(b, 1);
  Value steps = arith::ConstantIndexOp::create(b, kSteps);
  auto type = VectorType::get(emission.target.vectorBits / 32, b.getF32Type());
  Value buffer = kernel.getArgument(1);
  Value factor = vector::LoadOp::create(b, type, buffer, zero);
  SmallVector<Value> chains(kChains, factor);
  auto loop = scf::ForOp::create(b, zero, steps, one, chains);
  {
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(loop.getBody());
    SmallVector<Value> next;
    for (Value chain : loop.getRegionIterArgs())
      next.push_back(vector::FMAOp::create(b, factor, factor, chain));
    scf::YieldOp::create(b, next);
  }
  Value sum = factor;
  for (Value chain : loop.getResults())
    sum = arith::AddFOp::create(b, sum, chain);
  vector::StoreOp::create(b, sum, buffer, zero);
  func::ReturnOp::create(b);
  Value grid =
      arith::ConstantIndexOp::create(emission.builder, emission.loc, 1);
  schedule::LaunchOp::create(
      emission.builder, emission.loc, SymbolRefAttr::get(kernel), grid,
      /*reads=*/ValueRange(), /*writes=*/operands[0],
      /*scalars=*/ValueRange(), StringAttr(), schedule::GPULaunchAttr());
  return success();
}

static void peak(benchmark::State &state, Target target) {
  Program program(target, {{Element::F32, {16}}}, emitPeak);
  Tensor buffer(Element::F32, {16});
  for (int64_t i = 0; i < 16; ++i)
    buffer.set(i, 1e-3);
  for (auto _ : state)
    program.run({&buffer});
  double flops = 2.0 * kChains * kSteps * target.vectorBits / 32;
  state.counters["GFLOP/s"] = benchmark::Counter(
      flops * 1e-9 * state.iterations(), benchmark::Counter::kIsRate);
}

//===----------------------------------------------------------------------===//
// Gate/up
//===----------------------------------------------------------------------===//

/// Weights that every benchmark of one element type shares.
static Tensor &getWeights(Element element) {
  static std::map<Element, std::unique_ptr<Tensor>> cache;
  std::unique_ptr<Tensor> &weights = cache[element];
  if (!weights) {
    cache.clear();
    auto fresh = std::make_unique<Tensor>(
        element, std::vector<int64_t>{kExperts, 2 * kIntermediate, kHidden});
    // Random rows, repeated: what is timed does not depend on their values.
    Tensor row(element, {1, 4 * kHidden});
    std::mt19937 random(1);
    row.fill(random, 0.02);
    for (int64_t at = 0; at < fresh->size(); at += row.size())
      std::memcpy(fresh->data() + at * row.width(), row.data(),
                  row.size() * row.width());
    cache[element] = std::move(fresh);
    return *cache[element];
  }
  return *weights;
}

static LogicalResult emitExperts(const Emission &emission, Value rows,
                                 Value offsets, Value sources, Value w13,
                                 Value w2, Value out) {
  Value none;
  return emit<ExpertsOp>(
      emission, rows, offsets, sources, w13, w2, none, none, none, none, none,
      out,
      ActivationAttr::get(emission.loc.getContext(), ActivationKind::swiglu),
      QuantAttr());
}

static void gateUp(benchmark::State &state, Target target, Element element) {
  int64_t tokens = state.range(0), pairs = tokens * kChosen;
  Program program(target,
                  {{element, {-1, kHidden}},
                   {Element::I32, {kExperts + 1}},
                   {Element::I32, {-1}},
                   {element, {kExperts, 2 * kIntermediate, kHidden}},
                   {element, {kExperts, kHidden, kIntermediate}},
                   {element, {-1, kHidden}}},
                  [](const Emission &emission, ValueRange operands) {
                    LogicalResult result = emitExperts(
                        emission, operands[0], operands[1], operands[2],
                        operands[3], operands[4], operands[5]);
                    // What comes behind gate and up is another benchmark's.
                    emission.builder.getInsertionBlock()->back().erase();
                    return result;
                  });
  std::mt19937 random(2);
  Tensor x(element, {tokens, kHidden}), out(element, {pairs, kHidden});
  x.fill(random, 1.0);
  Tensor offsets(Element::I32, {kExperts + 1});
  Tensor sources(Element::I32, {pairs});
  // Pairs spread over experts as evenly as they go, expert 0 first.
  int64_t hit = std::min(pairs, kExperts), next = 0;
  for (int64_t expert = 0; expert < kExperts; ++expert) {
    offsets.set(expert, next);
    int64_t rows = pairs / kExperts + (expert < pairs % kExperts);
    for (int64_t i = 0; i < rows; ++i, ++next)
      sources.set(next, random() % tokens);
  }
  offsets.set(kExperts, next);
  Tensor none(element, {0});
  Tensor &weights = getWeights(element);
  for (auto _ : state)
    program.run({&x, &offsets, &sources, &weights, &none, &out});
  double flops = 2.0 * pairs * 2 * kIntermediate * kHidden;
  double bytes = 1.0 * hit * 2 * kIntermediate * kHidden * x.width();
  state.counters["GFLOP/s"] = benchmark::Counter(
      flops * 1e-9 * state.iterations(), benchmark::Counter::kIsRate);
  state.counters["GB/s"] = benchmark::Counter(bytes * 1e-9 * state.iterations(),
                                              benchmark::Counter::kIsRate);
}

//===----------------------------------------------------------------------===//
// Compile time
//===----------------------------------------------------------------------===//

/// All phases of a layer of DeepSeek-V2-Lite.
static LogicalResult emitLayer(const Emission &emission, ValueRange all) {
  MLIRContext *context = emission.loc.getContext();
  Builder b(context);
  Value none;
  auto routing = RoutingAttr::get(
      context, kChosen, ScoreFunction::softmax, WeightFunction::score,
      /*n_group=*/1, /*topk_group=*/1, GroupScore::max, /*renormalize=*/false,
      b.getF64FloatAttr(0.0), b.getF64FloatAttr(0.0), b.getF64FloatAttr(1.0),
      /*weight_on_input=*/false, /*zero_experts=*/0);
  return failure(
      failed(emit<GateOp>(emission, all[0], all[1], none, all[2])) ||
      failed(emit<RouteOp>(emission, all[2], none, none, none, none, all[3],
                           all[4], routing)) ||
      failed(emit<DispatchPlanOp>(emission, all[3], none, all[5], all[6],
                                  all[7])) ||
      failed(emitExperts(emission, all[0], all[5], all[6], all[8], all[9],
                         all[10])) ||
      failed(emit<CombineOp>(emission, all[10], all[7], all[4], none, none,
                             none, all[11], b.getF64FloatAttr(1.0),
                             ExchangeAttr(), IntegerAttr())) ||
      failed(emit<SharedExpertsOp>(
          emission, all[0], all[12], all[13], none, all[14],
          ActivationAttr::get(context, ActivationKind::swiglu))) ||
      failed(emit<MergeOp>(emission, all[11], all[14], none, none, none,
                           all[15], IntegerAttr(), FloatAttr(),
                           schedule::CommunicatorAttr())));
}

static void compileLayer(benchmark::State &state, Target target,
                         Element element) {
  constexpr int64_t kShared = 2 * kIntermediate;
  for (auto _ : state) {
    Program program(target,
                    {{element, {-1, kHidden}},
                     {element, {kExperts, kHidden}},
                     {Element::F32, {-1, kExperts}},
                     {Element::I32, {-1, kChosen}},
                     {Element::F32, {-1, kChosen}},
                     {Element::I32, {kExperts + 1}},
                     {Element::I32, {-1}},
                     {Element::I32, {-1, kChosen}},
                     {element, {-1, 2 * kIntermediate, kHidden}},
                     {element, {-1, kHidden, kIntermediate}},
                     {element, {-1, kHidden}},
                     {Element::F32, {-1, kHidden}},
                     {element, {2 * kShared, kHidden}},
                     {element, {kHidden, kShared}},
                     {Element::F32, {-1, kHidden}},
                     {element, {-1, kHidden}}},
                    emitLayer);
    state.SetIterationTime(program.getCompileSeconds());
  }
}

int main(int argc, char **argv) {
  llvm::StringRef spec = "host";
  if (argc > 1 && argv[1][0] != '-') {
    spec = argv[1];
    argv[1] = argv[0];
    --argc, ++argv;
  }
  llvm::Expected<Target> target = Target::parse(spec);
  if (!target) {
    llvm::errs() << llvm::toString(target.takeError()) << "\n";
    return 2;
  }
  benchmark::RegisterBenchmark("peak", peak, *target);
  for (Element element : {Element::BF16, Element::F16, Element::F32})
    benchmark::RegisterBenchmark(
        (std::string("gate_up/") + name(element)).c_str(), gateUp, *target,
        element)
        ->ArgName("T")
        ->Arg(1)
        ->Arg(4)
        ->Arg(16)
        ->Arg(64)
        ->Arg(512)
        ->Unit(benchmark::kMillisecond);
  for (Element element : {Element::BF16, Element::F16, Element::F32})
    benchmark::RegisterBenchmark(
        (std::string("compile_layer/") + name(element)).c_str(), compileLayer,
        *target, element)
        ->UseManualTime()
        ->Unit(benchmark::kMillisecond);
  benchmark::Initialize(&argc, argv);
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
