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

#include "gtest/gtest.h"

using namespace mlir;
using namespace moe::codegen;
using namespace moe::codegen::cuda;
using namespace moe::codegen::cuda::test;

static const char *const kElements[] = {"f32", "bf16", "f16"};

//===----------------------------------------------------------------------===//
// Router
//===----------------------------------------------------------------------===//

static std::string addRoute(Kernels &kernels, const std::string &experts,
                            const std::string &slots,
                            const RoutingParams &params, bool hasBias,
                            bool hasReplicas) {
  std::vector<std::string> types{"?x" + experts + "xf32", "?x" + slots + "xi32",
                                 "?x" + slots + "xf32"};
  if (hasBias)
    types.push_back(experts + "xf32");
  if (hasReplicas) {
    types.push_back(experts + "x5xi32");
    types.push_back(experts + "xi32");
  }
  return kernels.add(types, [&](const Emission &emission, ValueRange v) {
    RouteOperands operands{v[0], {}, v[1], v[2]};
    if (hasBias)
      operands.correctionBias = v[3];
    if (hasReplicas) {
      operands.logicalToPhysical = v[3 + hasBias];
      operands.replicaCount = v[4 + hasBias];
    }
    return emitRoute(emission, operands, params);
  });
}

// Every score function, with every way to make weights.
TEST(RouteTest, FunctionsCompile) {
  Kernels kernels;
  for (Scores scores :
       {Scores::Softmax, Scores::Sigmoid, Scores::SqrtSoftplus, Scores::Logits})
    for (ChosenWeights weights : {ChosenWeights::Scores, ChosenWeights::Softmax,
                                  ChosenWeights::Sigmoid}) {
      RoutingParams params;
      params.scores = scores;
      params.weights = weights;
      params.renormalize = weights == ChosenWeights::Scores;
      params.scale = 2.5;
      EXPECT_EQ(addRoute(kernels, "128", "8", params, false, false), "");
    }
  EXPECT_EQ(kernels.countKernels(), 12);
  kernels.compile();
}

// Groups, bias, replicas; few, many and an unknown number of experts.
TEST(RouteTest, ShapesCompile) {
  Kernels kernels;
  RoutingParams plain, grouped;
  grouped.scores = Scores::Sigmoid;
  grouped.groups = 8;
  grouped.chosenGroups = 4;
  grouped.groupScore = GroupScore::TopTwoSum;
  for (const char *experts : {"8", "256", "1024", "8192", "?"})
    for (bool flag : {false, true}) {
      EXPECT_EQ(addRoute(kernels, experts, "8", plain, flag, !flag), "");
      EXPECT_EQ(addRoute(kernels, experts, "1", grouped, flag, flag), "");
      grouped.groupScore = GroupScore::Max;
    }
  kernels.compile();
}

// Equal kernels are emitted once, and others are not taken for equal.
TEST(RouteTest, EqualKernelsAreOne) {
  Kernels kernels;
  RoutingParams params;
  EXPECT_EQ(addRoute(kernels, "64", "6", params, false, false), "");
  EXPECT_EQ(addRoute(kernels, "64", "6", params, false, false), "");
  EXPECT_EQ(kernels.countKernels(), 1);
  EXPECT_EQ(kernels.countLaunches(), 2);
  params.scale = 1.0 + 1e-12;
  EXPECT_EQ(addRoute(kernels, "64", "6", params, false, false), "");
  EXPECT_EQ(kernels.countKernels(), 2);
}

TEST(RouteTest, RejectsMoreSlotsThanLanes) {
  Kernels kernels;
  EXPECT_EQ(addRoute(kernels, "64", "33", {}, false, false),
            "expected at most 32 experts per token but got 33");
}

TEST(ExpertLoadTest, Compiles) {
  Kernels kernels;
  auto add = [&](const std::string &ids, const std::string &load) {
    return kernels.add({ids, load}, [](const Emission &emission, ValueRange v) {
      return emitExpertLoad(emission, {v[0], v[1]});
    });
  };
  for (const char *load : {"8xi32", "256xi32", "1024xi32"})
    for (const char *ids : {"?x8xi32", "1x1xi32", "4096x6xi32"})
      EXPECT_EQ(add(ids, load), "");
  EXPECT_EQ(add("?x8xi32", "?xi32"),
            "expected 'expert_load' with a static dimension 0 but got "
            "'memref<?xi32>'");
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
    return emitDispatchPlan(emission,
                            {v[0], v[1], v[2], v[3], hasMap ? v[4] : Value()});
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

TEST(CombineTest, Compiles) {
  Kernels kernels;
  for (const char *in : kElements)
    for (const char *out : kElements)
      // Rows of whole vectors, and of an odd number of elements.
      for (const char *columns : {"2048x", "129x"})
        for (const char *slots : {"8x", "22x"})
          EXPECT_EQ(
              kernels.add({std::string("?x") + columns + in,
                           std::string("?x") + slots + "i32",
                           std::string("?x") + slots + "f32",
                           std::string("?x") + columns + out},
                          [&](const Emission &emission, ValueRange v) {
                            bool hasWeights = StringRef(slots) == "8x";
                            return emitCombine(
                                emission,
                                {v[0], v[1], hasWeights ? v[2] : Value(), v[3]},
                                2.5);
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
                                MergeOperands operands{
                                    v[0], hasShared ? v[1] : Value(), v[2]};
                                if (hasZero) {
                                  operands.x = v[3];
                                  operands.ids = v[4];
                                  operands.weights = v[5];
                                  operands.firstZeroExpert = 512;
                                  operands.zeroScale = 6.0;
                                }
                                return emitMerge(emission, operands);
                              }),
                  "");
      }
  EXPECT_EQ(kernels.countKernels(), 3 * 2 * 2);
  kernels.compile();
}

// A merge that sums the experts' rows itself is one launch.
TEST(MergeTest, FusedCombineCompiles) {
  Kernels kernels;
  for (const char *element : kElements)
    for (const char *columns : {"2048x", "129x"})
      for (const char *slots : {"8x", "22x"})
        for (bool hasShared : {false, true})
          for (bool hasZero : {false, true}) {
            std::string rows = std::string("?x") + columns;
            std::string choices = std::string("?x") + slots;
            EXPECT_EQ(
                kernels.add({rows + element, choices + "i32", choices + "f32",
                             rows + "f32", rows + element, choices + "i32"},
                            [&](const Emission &emission, ValueRange v) {
                              MergeOperands operands{
                                  {}, hasShared ? v[3] : Value(), v[4]};
                              operands.combine = {v[0], v[1], v[2], {}};
                              operands.combineScale = 2.5;
                              if (hasZero) {
                                operands.x = v[4];
                                operands.ids = v[5];
                                operands.weights = v[2];
                                operands.firstZeroExpert = 512;
                              }
                              return emitMerge(emission, operands);
                            }),
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
    for (const char *weight : {"f32", "bf16"})
      for (const char *experts : {"64", "257", "?"})
        for (bool hasBias : {false, true})
          EXPECT_EQ(kernels.add({std::string("?x320x") + x,
                                 std::string(experts) + "x320x" + weight,
                                 std::string("?x") + experts + "xf32",
                                 std::string(experts) + "xf32"},
                                [&](const Emission &emission, ValueRange v) {
                                  return emitGate(emission,
                                                  {v[0], v[1],
                                                   hasBias ? v[3] : Value(),
                                                   v[2]});
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
                            return emitProject(emission, {v[0], v[1], v[2]});
                          }),
              "");
  kernels.compile();
}

static std::string addExperts(Kernels &kernels, const std::string &element,
                              int64_t hidden, int64_t width,
                              const ActivationParams &params, bool hasBias,
                              bool hasInputWeight) {
  auto shape = [&](std::vector<int64_t> sizes) {
    std::string text = "?x";
    for (int64_t size : sizes)
      text += std::to_string(size) + "x";
    return text + element;
  };
  int64_t up = params.gated ? 2 * width : width;
  return kernels.add({shape({hidden}), "?xi32", "?xi32", shape({up, hidden}),
                      shape({hidden, width}), shape({up}), shape({hidden}),
                      "?x1xf32", shape({hidden})},
                     [&](const Emission &emission, ValueRange v) {
                       ExpertsOperands operands{v[0], v[1], v[2], v[3], v[4],
                                                {},   {},   {},   v[8]};
                       if (hasBias) {
                         operands.b13 = v[5];
                         operands.b2 = v[6];
                       }
                       if (hasInputWeight)
                         operands.inputWeight = v[7];
                       return emitExperts(emission, operands, params);
                     });
}

static std::vector<ActivationParams> allActivations() {
  std::vector<ActivationParams> all;
  for (Activation activation :
       {Activation::SiLU, Activation::GELU, Activation::GELUTanh,
        Activation::SwiGLUOAI, Activation::ReLU2})
    for (int form = 0; form < 3; ++form) {
      ActivationParams params;
      params.activation = activation;
      params.gated = form > 0;
      params.interleaved = form > 1;
      if (params.gated || activation != Activation::SwiGLUOAI)
        all.push_back(params);
    }
  return all;
}

TEST(ExpertsTest, ActivationsCompile) {
  for (const char *element : {"f32", "bf16"}) {
    Kernels kernels;
    for (const ActivationParams &params : allActivations())
      EXPECT_EQ(addExperts(kernels, element, 256, 128, params, false, false),
                "");
    kernels.compile();
  }
}

// What else the epilogue has to hold beside the sums of tensor cores.
TEST(ExpertsTest, ActivationsWithBiasAndWeightsCompile) {
  Kernels kernels;
  for (const ActivationParams &params : allActivations())
    for (bool hasBias : {false, true})
      EXPECT_EQ(addExperts(kernels, "bf16", 256, 128, params, hasBias, true),
                "");
  for (const ActivationParams &params : allActivations())
    EXPECT_EQ(addExperts(kernels, "bf16", 256, 128, params, true, false), "");
  kernels.compile();
}

// Sizes that nothing divides, biases and weights of inputs.
TEST(ExpertsTest, ShapesCompile) {
  for (const char *element : kElements) {
    Kernels kernels;
    for (bool flag : {false, true}) {
      EXPECT_EQ(addExperts(kernels, element, 2880, 2880, {}, flag, true), "");
      EXPECT_EQ(addExperts(kernels, element, 129, 67, {}, true, flag), "");
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
    for (const ActivationParams &params : allActivations())
      for (bool hasGate : {false, true})
        EXPECT_EQ(
            kernels.add(
                {shape("?x256x"), shape(params.gated ? "384x256x" : "192x256x"),
                 shape("256x192x"), shape("1x256x"), shape("?x256x")},
                [&](const Emission &emission, ValueRange v) {
                  return emitSharedExperts(
                      emission,
                      {v[0], v[1], v[2], hasGate ? v[3] : Value(), v[4]},
                      params);
                }),
            "");
    kernels.compile();
  }
}

//===----------------------------------------------------------------------===//
// Errors
//===----------------------------------------------------------------------===//

TEST(ErrorsTest, NameTheOperand) {
  Kernels kernels;
  auto gate = [](const Emission &emission, ValueRange v) {
    return emitGate(emission, {v[0], v[1], {}, v[2]});
  };
  EXPECT_EQ(kernels.add({"?x64xf32", "8x32xf32", "?x8xf32"}, gate),
            "expected 'weight' with rows of 64 elements but got "
            "'memref<8x32xf32>'");
  EXPECT_EQ(kernels.add({"?x64xi32", "8x64xf32", "?x8xf32"}, gate),
            "expected 'x' of elements f32, bf16 or f16 but got "
            "'memref<?x64xi32>'");
  EXPECT_EQ(kernels.countKernels(), 0);
}
