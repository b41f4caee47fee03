//===- CompileTest.cpp - Every variant of a kernel compiles ---------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Whether the kernels compute the right thing is a question to a GPU (tests of
// whole layers run there). Here: they verify, are emitted once, reach PTX and,
// where ptxas is found, machine code without spills.
//
//===----------------------------------------------------------------------===//

#include "Kernels.h"

#include "mlir/AsmParser/AsmParser.h"
#include "gtest/gtest.h"

using namespace mlir;
using namespace moe;
using namespace moe::codegen::cuda;
using namespace moe::codegen::cuda::test;

static const char *const kElements[] = {"f32", "bf16", "f16"};

//===----------------------------------------------------------------------===//
// Router
//===----------------------------------------------------------------------===//

/// `routing` are parameters of `#moe.routing` beside `top_k`.
static std::string addRoute(Kernels &kernels, const std::string &experts,
                            const std::string &slots,
                            const std::string &routing, bool hasBias,
                            bool hasReplicas) {
  std::vector<std::string> types{"?x" + experts + "xf32", "?x" + slots + "xi32",
                                 "?x" + slots + "xf32"};
  if (hasBias)
    types.push_back(experts + "xf32");
  if (hasReplicas) {
    types.push_back(experts + "x5xi32");
    types.push_back(experts + "xi32");
  }
  std::string text = "#moe.routing<top_k = " + slots +
                     (routing.empty() ? "" : ", " + routing) + ">";
  return kernels.add(types, [&](const Emission &emission, ValueRange v) {
    Value none;
    auto attribute =
        cast<RoutingAttr>(parseAttribute(text, emission.loc.getContext()));
    return emit<RouteOp>(emission, v[0], hasBias ? v[3] : none,
                         hasReplicas ? v[3 + hasBias] : none,
                         hasReplicas ? v[4 + hasBias] : none, none, v[1], v[2],
                         attribute);
  });
}

// Every score function, with every way to make weights.
TEST(RouteTest, FunctionsCompile) {
  Kernels kernels;
  for (std::string score : {"softmax", "sigmoid", "sqrt_softplus", "logits"})
    for (std::string weight : {"score, renormalize = true", "softmax_of_chosen",
                               "sigmoid_of_chosen"})
      EXPECT_EQ(addRoute(kernels, "128", "8",
                         "score = " + score + ", weight = " + weight, false,
                         false),
                "");
  EXPECT_EQ(kernels.countKernels(), 12);
  kernels.compile();
}

// Groups, bias, replicas; few, many and an unknown number of experts.
TEST(RouteTest, ShapesCompile) {
  Kernels kernels;
  std::string grouped = "score = sigmoid, n_group = 8, topk_group = 4, ";
  std::string groupScore = "group_score = top2_sum";
  for (const char *experts : {"8", "256", "1024", "8192", "?"})
    for (bool flag : {false, true}) {
      EXPECT_EQ(addRoute(kernels, experts, "8", "", flag, !flag), "");
      EXPECT_EQ(
          addRoute(kernels, experts, "1", grouped + groupScore, flag, flag),
          "");
      groupScore = "group_score = max";
    }
  kernels.compile();
}

// Equal kernels are emitted once, and others are not taken for equal. What the
// weights are scaled by is the combine's.
TEST(RouteTest, EqualKernelsAreOne) {
  Kernels kernels;
  EXPECT_EQ(addRoute(kernels, "64", "6", "", false, false), "");
  EXPECT_EQ(addRoute(kernels, "64", "6", "scale = 2.5 : f64", false, false),
            "");
  EXPECT_EQ(kernels.countKernels(), 1);
  EXPECT_EQ(kernels.countLaunches(), 2);
  EXPECT_EQ(addRoute(kernels, "64", "6", "renormalize_epsilon = 1.0e-12 : f64",
                     false, false),
            "");
  EXPECT_EQ(kernels.countKernels(), 2);
}

TEST(RouteTest, RejectsMoreSlotsThanLanes) {
  Kernels kernels;
  EXPECT_EQ(addRoute(kernels, "64", "33", {}, false, false),
            "'moe.route' op expected at most 32 experts per token on target "
            "'cuda' but got 33");
}

TEST(ExpertLoadTest, Compiles) {
  Kernels kernels;
  auto add = [&](const std::string &ids, const std::string &load) {
    return kernels.add({ids, load}, [](const Emission &emission, ValueRange v) {
      return emit<ExpertLoadOp>(emission, v[0], v[1]);
    });
  };
  for (const char *load : {"8xi32", "256xi32", "1024xi32"})
    for (const char *ids : {"?x8xi32", "1x1xi32", "4096x6xi32"})
      EXPECT_EQ(add(ids, load), "");
  kernels.compile();
}

//===----------------------------------------------------------------------===//
// Dispatch
//===----------------------------------------------------------------------===//

static std::string addDispatch(Kernels &kernels, const std::string &tokens,
                               const std::string &offsets, bool hasMap) {
  std::vector<std::string> types{tokens + "x8xi32", offsets + "xi32", "?xi32",
                                 tokens + "x8xi32"};
  if (hasMap)
    types.push_back("?xi32");
  return kernels.add(types, [&](const Emission &emission, ValueRange v) {
    return emit<DispatchPlanOp>(emission, v[0], hasMap ? v[4] : Value(), v[1],
                                v[2], v[3]);
  });
}

TEST(DispatchPlanTest, Compiles) {
  Kernels kernels;
  for (const char *offsets : {"9", "513", "8193", "?"})
    for (bool hasMap : {false, true})
      EXPECT_EQ(addDispatch(kernels, "?", offsets, hasMap), "");
  kernels.compile();
}

// Where the number of tokens is known, the host has nothing to decide.
TEST(DispatchPlanTest, KnownTokensTakeOneWay) {
  Kernels few, many, unknown;
  EXPECT_EQ(addDispatch(few, "16", "65", false), "");
  EXPECT_EQ(few.countLaunches(), 1);
  EXPECT_EQ(addDispatch(many, "1024", "65", false), "");
  EXPECT_EQ(many.countLaunches(), 2);
  EXPECT_EQ(addDispatch(unknown, "?", "65", false), "");
  EXPECT_EQ(unknown.countLaunches(), 4);
}

//===----------------------------------------------------------------------===//
// Combine and merge
//===----------------------------------------------------------------------===//

/// A combine on one rank.
static CombineOp createCombine(OpBuilder &b, Value expertOut, Value pairRows,
                               Value weights, Value routed) {
  Value none;
  return CombineOp::create(b, b.getUnknownLoc(), TypeRange(), expertOut,
                           pairRows, weights, none, none, none, routed,
                           b.getF64FloatAttr(2.5), ExchangeAttr(),
                           IntegerAttr());
}

/// A merge on one rank, of `zero` = x, ids and weights, or nothing.
static MergeOp createMerge(OpBuilder &b, Value routed, Value shared,
                           ValueRange zero, Value y) {
  Value none;
  bool hasZero = !zero.empty();
  return MergeOp::create(b, b.getUnknownLoc(), TypeRange(), routed, shared,
                         hasZero ? zero[0] : none, hasZero ? zero[1] : none,
                         hasZero ? zero[2] : none, y,
                         hasZero ? b.getI64IntegerAttr(512) : IntegerAttr(),
                         hasZero ? b.getF64FloatAttr(6.0) : FloatAttr(),
                         schedule::CommunicatorAttr());
}

static LogicalResult emitOp(const Emission &emission, Operation *op) {
  return codegen::test::emitPhase(getKernels(), emission, op);
}

TEST(CombineTest, Compiles) {
  Kernels kernels;
  for (const char *in : kElements)
    for (const char *out : kElements)
      // Rows of whole vectors, and of an odd number of elements.
      for (const char *columns : {"2048x", "129x"})
        for (const char *slots : {"8x", "22x"})
          EXPECT_EQ(kernels.add({std::string("?x") + columns + in,
                                 std::string("?x") + slots + "i32",
                                 std::string("?x") + slots + "f32",
                                 std::string("?x") + columns + out},
                                [&](const Emission &emission, ValueRange v) {
                                  bool hasWeights = StringRef(slots) == "8x";
                                  return emitOp(
                                      emission,
                                      createCombine(
                                          emission.builder, v[0], v[1],
                                          hasWeights ? v[2] : Value(), v[3]));
                                }),
                    "");
  EXPECT_EQ(kernels.countKernels(), 3 * 3 * 2 * 2);
  kernels.compile();
}

TEST(MergeTest, Compiles) {
  Kernels kernels;
  for (const char *element : kElements)
    for (bool hasShared : {false, true})
      for (bool hasZero : {false, true}) {
        std::string row = std::string("?x2880x") + element;
        EXPECT_EQ(kernels.add({row, row, row, row, "?x12xi32", "?x12xf32"},
                              [&](const Emission &emission, ValueRange v) {
                                return emitOp(
                                    emission,
                                    createMerge(emission.builder, v[0],
                                                hasShared ? v[1] : Value(),
                                                hasZero ? v.drop_front(3)
                                                        : ValueRange(),
                                                v[2]));
                              }),
                  "");
      }
  EXPECT_EQ(kernels.countKernels(), 3 * 2 * 2);
  kernels.compile();
}

// A merge that sums the experts' rows itself is one launch.
TEST(FusedTest, CombineAndMergeCompile) {
  Kernels kernels;
  for (const char *element : kElements)
    for (const char *columns : {"2048x", "129x"})
      for (const char *slots : {"8x", "22x"})
        for (bool hasShared : {false, true})
          for (bool hasZero : {false, true}) {
            std::string rows = std::string("?x") + columns;
            std::string choices = std::string("?x") + slots;
            auto emitFused = [&](const Emission &emission, ValueRange v) {
              auto fused = FusedOp::create(emission.builder, emission.loc);
              Block &body = fused.getBody().emplaceBlock();
              Value sums = body.addArgument(v[3].getType(), emission.loc);
              auto b = OpBuilder::atBlockEnd(&body);
              createCombine(b, v[0], v[1], v[2], sums);
              SmallVector<Value> zero;
              if (hasZero)
                zero = {v[4], v[5], v[2]};
              createMerge(b, sums, hasShared ? v[3] : Value(), zero, v[4]);
              return emitOp(emission, fused);
            };
            EXPECT_EQ(
                kernels.add({rows + element, choices + "i32", choices + "f32",
                             rows + "f32", rows + element, choices + "i32"},
                            emitFused),
                "");
          }
  EXPECT_EQ(kernels.countKernels(), 3 * 2 * 2 * 2 * 2);
  EXPECT_EQ(kernels.countLaunches(), kernels.countKernels());
  kernels.compile();
}

//===----------------------------------------------------------------------===//
// GEMMs
//===----------------------------------------------------------------------===//

TEST(GateTest, Compiles) {
  Kernels kernels;
  for (const char *x : kElements)
    for (const char *weight : {"f32", x})
      for (const char *experts : {"64", "257", "?"})
        for (bool hasBias : {false, true})
          EXPECT_EQ(kernels.add({std::string("?x320x") + x,
                                 std::string(experts) + "x320x" + weight,
                                 std::string("?x") + experts + "xf32",
                                 std::string(experts) + "xf32"},
                                [&](const Emission &emission, ValueRange v) {
                                  return emit<GateOp>(emission, v[0], v[1],
                                                      hasBias ? v[3] : Value(),
                                                      v[2]);
                                }),
                    "");
  kernels.compile();
}

TEST(ProjectTest, Compiles) {
  Kernels kernels;
  for (const char *element : kElements)
    EXPECT_EQ(kernels.add({std::string("?x1024x") + element,
                           std::string("256x1024x") + element,
                           std::string("?x256x") + element},
                          [&](const Emission &emission, ValueRange v) {
                            return emit<ProjectOp>(emission, v[0], v[1], v[2]);
                          }),
              "");
  kernels.compile();
}

static constexpr ActivationKind kActivations[] = {
    ActivationKind::swiglu, ActivationKind::geglu, ActivationKind::geglu_tanh,
    ActivationKind::swigluoai, ActivationKind::relu2};

static ActivationAttr getActivation(const Emission &emission,
                                    ActivationKind kind) {
  return ActivationAttr::get(emission.loc.getContext(), kind);
}

/// Rows of a first weight.
static int64_t getFirstWidth(ActivationKind kind, int64_t width) {
  return kind == ActivationKind::relu2 ? width : 2 * width;
}

static std::string addExperts(Kernels &kernels, const std::string &element,
                              int64_t hidden, int64_t width,
                              ActivationKind kind, bool hasBias,
                              bool hasInputWeight) {
  auto shape = [&](std::vector<int64_t> sizes) {
    std::string text = "?x";
    for (int64_t size : sizes)
      text += std::to_string(size) + "x";
    return text + element;
  };
  int64_t up = getFirstWidth(kind, width);
  return kernels.add({shape({hidden}), "?xi32", "?xi32", shape({up, hidden}),
                      shape({hidden, width}), shape({up}), shape({hidden}),
                      "?x1xf32", shape({hidden})},
                     [&](const Emission &emission, ValueRange v) {
                       Value none;
                       return emit<ExpertsOp>(
                           emission, v[0], v[1], v[2], v[3], v[4],
                           hasBias ? v[5] : none, hasBias ? v[6] : none, none,
                           none, hasInputWeight ? v[7] : none, v[8],
                           getActivation(emission, kind), QuantAttr());
                     });
}

TEST(ExpertsTest, ActivationsCompile) {
  for (const char *element : {"f32", "bf16"}) {
    Kernels kernels;
    for (ActivationKind kind : kActivations)
      EXPECT_EQ(addExperts(kernels, element, 256, 128, kind, false, false), "");
    kernels.compile();
  }
}

// What else the epilogue has to hold beside the sums of tensor cores.
TEST(ExpertsTest, ActivationsWithBiasAndWeightsCompile) {
  Kernels kernels;
  for (ActivationKind kind : kActivations)
    for (bool hasBias : {false, true})
      EXPECT_EQ(addExperts(kernels, "bf16", 256, 128, kind, hasBias, true), "");
  for (ActivationKind kind : kActivations)
    EXPECT_EQ(addExperts(kernels, "bf16", 256, 128, kind, true, false), "");
  kernels.compile();
}

// Sizes that nothing divides, biases and weights of inputs.
TEST(ExpertsTest, ShapesCompile) {
  for (const char *element : kElements) {
    Kernels kernels;
    for (bool flag : {false, true}) {
      EXPECT_EQ(addExperts(kernels, element, 2880, 2880, ActivationKind::swiglu,
                           flag, true),
                "");
      EXPECT_EQ(addExperts(kernels, element, 129, 67, ActivationKind::swiglu,
                           true, flag),
                "");
    }
    kernels.compile();
  }
}

TEST(SharedExpertsTest, Compiles) {
  for (const char *element : kElements) {
    Kernels kernels;
    auto shape = [&](const char *sizes) {
      return std::string(sizes) + element;
    };
    for (ActivationKind kind : kActivations)
      for (bool hasGate : {false, true})
        EXPECT_EQ(
            kernels.add({shape("?x256x"),
                         shape(getFirstWidth(kind, 192) == 384 ? "384x256x"
                                                               : "192x256x"),
                         shape("256x192x"), shape("1x256x"), shape("?x256x")},
                        [&](const Emission &emission, ValueRange v) {
                          return emit<SharedExpertsOp>(
                              emission, v[0], v[1], v[2],
                              hasGate ? v[3] : Value(), v[4],
                              getActivation(emission, kind));
                        }),
            "");
    kernels.compile();
  }
}
