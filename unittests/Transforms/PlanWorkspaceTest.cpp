//===- PlanWorkspaceTest.cpp - Where temporaries lie ----------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Places are written out by hand; that all of them are free of races is what
// --schedule-verify proves of every plan.
//
//===----------------------------------------------------------------------===//

#include "moe-mlir/Dialect/Schedule/Analysis/HappensBefore.h"
#include "moe-mlir/Pipelines/Register.h"
#include "moe-mlir/Transforms/Passes.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Parser/Parser.h"
#include "mlir/Pass/PassManager.h"
#include "gtest/gtest.h"

using namespace mlir;
using namespace moe;

namespace {

/// Bytes of a temporary: `constant`, and `perToken` for each token.
struct Buffer {
  int64_t constant, perToken;
};

/// One run: it reads some temporaries and writes some.
struct Step {
  std::vector<int> reads, writes;
};

using Bytes = schedule::SlotAttr::Bytes;

class PlanWorkspaceTest : public ::testing::Test {
protected:
  PlanWorkspaceTest() {
    DialectRegistry registry;
    registerDialects(registry);
    context.appendDialectRegistry(registry);
    context.loadAllAvailableDialects();
  }

  /// Plans temporaries of runs that follow each other on one stream. Run i is
  /// called "i", and the temporary that it writes first, too.
  void plan(ArrayRef<Buffer> buffers, ArrayRef<Step> steps) {
    std::string text = R"mlir(
      func.func @f(%x: memref<?xi8>, %y: memref<?xi8> {bufferize.result}) {
        %c0 = arith.constant 0 : index
        %t = memref.dim %x, %c0 : memref<?xi8>
    )mlir";
    llvm::raw_string_ostream stream(text);
    for (size_t i = 0; i < buffers.size(); ++i)
      stream << "%c" << i << "_token = arith.constant " << buffers[i].perToken
             << " : index\n%c" << i << "_fixed = arith.constant "
             << buffers[i].constant << " : index\n%s" << i
             << "_token = arith.muli %t, %c" << i << "_token : index\n%s" << i
             << " = arith.addi %s" << i << "_token, %c" << i
             << "_fixed : index\n%b" << i << " = memref.alloc(%s" << i
             << ") : memref<?xi8>\n";
    for (size_t i = 0; i < steps.size(); ++i) {
      stream << "schedule.run on(compute) label(\"" << i << "\") {\n"
             << "%v = memref.load %x[%c0] : memref<?xi8>\n";
      // Written first, so that what a run reads and writes lives together.
      for (int buffer : steps[i].writes)
        stream << "memref.store %v, %b" << buffer << "[%c0] : memref<?xi8>\n";
      for (int buffer : steps[i].reads)
        stream << "%r" << buffer << " = memref.load %b" << buffer
               << "[%c0] : memref<?xi8>\n"
               << "memref.store %r" << buffer << ", %y[%c0] : memref<?xi8>\n";
      stream << "}\n";
    }
    stream << "return\n}\n";
    module = parseSourceString<ModuleOp>(text, &context);
    ASSERT_TRUE(module) << text;
    PassManager pm(&context);
    pm.addPass(createPlanWorkspace());
    ASSERT_TRUE(succeeded(pm.run(*module))) << text;
    auto function = *module->getOps<func::FuncOp>().begin();
    EXPECT_TRUE(schedule::HappensBefore(function).getFindings().empty());
    auto size =
        function->getAttrOfType<AffineMapAttr>("schedule.workspace_size");
    total = *schedule::SlotAttr::getCoefficients(size.getValue());
    offsets.clear();
    function.walk([&](schedule::WorkspaceOp workspace) {
      for (Attribute slot : workspace.getSlots())
        offsets.push_back(cast<schedule::SlotAttr>(slot).getOffsetBytes());
    });
  }

  MLIRContext context;
  OwningOpRef<ModuleOp> module;
  /// Of each temporary, in the order of their allocations.
  std::vector<Bytes> offsets;
  Bytes total{};
};

/// Two small ones fit where the large one was.
TEST_F(PlanWorkspaceTest, FillsTheHoleOfADeadBuffer) {
  plan({{2048, 0}, {512, 0}, {1024, 0}, {1024, 0}},
       {{{}, {0}}, {{0}, {1}}, {{1}, {2}}, {{1, 2}, {3}}, {{2, 3}, {}}});
  EXPECT_EQ(offsets, (std::vector<Bytes>{
                         {0, 0, 0}, {2048, 0, 0}, {0, 0, 0}, {1024, 0, 0}}));
  EXPECT_EQ(total, (Bytes{2560, 0, 0}));
}

/// Every coefficient is a multiple of 256, so that all slots are aligned.
TEST_F(PlanWorkspaceTest, RoundsEveryCoefficientUp) {
  plan({{1, 0}, {0, 3}, {300, 257}}, {{{}, {0, 1, 2}}, {{0, 1, 2}, {}}});
  // By their bytes at 256 tokens: 512 + 512 t, then 256 t, then 256.
  EXPECT_EQ(offsets,
            (std::vector<Bytes>{{512, 768, 0}, {512, 512, 0}, {0, 0, 0}}));
  EXPECT_EQ(total, (Bytes{768, 768, 0}));
}

/// Of a constant end and one that grows, neither is above the other for all
/// tokens: what lives with both lies behind their sum.
TEST_F(PlanWorkspaceTest, KeepsApartWhateverTheTokens) {
  // 0 and 2 share a place, one after the other; 1 lives with both of them.
  plan({{65536, 0}, {4096, 0}, {0, 64}},
       {{{}, {0, 1}}, {{0}, {}}, {{}, {2}}, {{1, 2}, {}}});
  EXPECT_EQ(offsets,
            (std::vector<Bytes>{{0, 0, 0}, {65536, 256, 0}, {0, 0, 0}}));
  EXPECT_EQ(total, (Bytes{69632, 256, 0}));
}

/// What nobody uses at the same time shares all its bytes.
TEST_F(PlanWorkspaceTest, SharesAmongAChain) {
  std::vector<Buffer> buffers(6, Buffer{0, 256});
  plan(buffers, {{{}, {0}},
                 {{0}, {1}},
                 {{1}, {2}},
                 {{2}, {3}},
                 {{3}, {4}},
                 {{4}, {5}},
                 {{5}, {}}});
  for (size_t i = 0; i < offsets.size(); ++i)
    EXPECT_EQ(offsets[i], (Bytes{0, i % 2 ? 256 : 0, 0})) << i;
  EXPECT_EQ(total, (Bytes{0, 512, 0}));
}

} // namespace
