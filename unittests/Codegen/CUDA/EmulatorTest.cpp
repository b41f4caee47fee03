//===- EmulatorTest.cpp - What an emulated GPU finds wrong ----------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The tests of kernels can fail: each kind of mistake, made on purpose in a
// kernel of a few ops, is an error that says what and where. Kernels have the
// operands %x and %y of 64 f32, of which %y is written.
//
//===----------------------------------------------------------------------===//

#include "Testing/CUDA/Host.h"
#include "moe-mlir/Codegen/CUDA/Lowering.h"
#include "moe-mlir/Dialect/Schedule/IR/Schedule.h"

#include "mlir/Parser/Parser.h"
#include "gtest/gtest.h"
#include <cmath>

using namespace mlir;
using namespace moe;
using namespace moe::codegen::cuda::test;

namespace {
struct Result {
  std::string error;
  Tensor y;
};
} // namespace

/// Runs a kernel of one block.
static Result run(const std::string &body, int64_t threads = 32,
                  bool startsEarly = false,
                  EventOrder order = EventOrder::Eager) {
  DialectRegistry registry;
  codegen::cuda::registerDialects(registry);
  registry.insert<func::FuncDialect, schedule::ScheduleDialect>();
  MLIRContext context(registry);
  context.loadAllAvailableDialects();
  std::string source =
      "gpu.module @kernels {\n"
      "llvm.mlir.global internal @s() {addr_space = 3 : i32, alignment = 16 : "
      "i64} : !llvm.array<64 x i32>\n"
      "llvm.func @k(%x: !llvm.ptr<1>, %y: !llvm.ptr<1>) {\n"
      "%tid = nvvm.read.ptx.sreg.tid.x : i32\n"
      "%s = llvm.mlir.addressof @s : !llvm.ptr<3>\n"
      "%c0 = arith.constant 0 : i32\n%c1 = arith.constant 1 : i32\n"
      "%all = arith.constant -1 : i32\n" +
      body +
      "\nllvm.return\n}\n}\n"
      "func.func @f(%x: memref<64xf32>, %y: memref<64xf32>) {\n"
      "schedule.run on(compute) {\n%n = arith.constant 1 : index\n"
      "schedule.launch @kernels::@k grid(%n) gpu(<threads = " +
      std::to_string(threads) + ", shared_bytes = 0, cluster = 1, " +
      "early_start = " + (startsEarly ? "true" : "false") +
      ", parameters = [#schedule.pointer<0>, #schedule.pointer<1>]>) reads(%x "
      ": memref<64xf32>) writes(%y : memref<64xf32>)\n}\nreturn\n}\n";
  auto module = parseSourceString<ModuleOp>(source, &context);
  if (!module)
    return {"does not parse: " + source, {}};
  Tensor x(Element::F32, {64}, [](int64_t i) { return double(i); });
  Tensor y(Element::F32, {64});
  auto function = module->lookupSymbol<func::FuncOp>("f");
  std::string error = runOnRanks(function, {{&x, &y}}, order);
  return {error, y};
}

/// Expects an error that holds the text.
static void expectError(const std::string &text, const Result &result) {
  EXPECT_NE(result.error.find(text), std::string::npos)
      << "expected an error with \"" << text << "\" but got \"" << result.error
      << "\"";
}

/// y[index] = x[thread].
static std::string copyTo(const std::string &index) {
  return index + R"(
    %from = llvm.getelementptr %x[%tid] : (!llvm.ptr<1>, i32) -> !llvm.ptr<1>, f32
    %value = llvm.load %from : !llvm.ptr<1> -> f32
    %to = llvm.getelementptr %y[%i] : (!llvm.ptr<1>, i32) -> !llvm.ptr<1>, f32
    llvm.store %value, %to : f32, !llvm.ptr<1>)";
}

TEST(EmulatorTest, RunsWhatIsRight) {
  Result result = run(copyTo("%i = arith.addi %tid, %c1 : i32"));
  EXPECT_EQ(result.error, "");
  EXPECT_FALSE(result.y.isSet(0));
  for (int64_t i = 1; i <= 32; ++i)
    EXPECT_EQ(result.y.get(i), i - 1);
  EXPECT_FALSE(result.y.isSet(33));
}

TEST(EmulatorTest, FindsIndicesOutOfBounds) {
  expectError("lane 30 of warp 1 of block 0: writes 4 bytes at byte 256 of "
              "argument 1, which has 256",
              run(copyTo("%c2 = arith.constant 2 : i32\n"
                         "%i = arith.addi %tid, %c2 : i32"),
                  /*threads=*/64));
  expectError("lane 0 of warp 0 of block 0: writes 4 bytes at byte -4 of "
              "argument 1",
              run(copyTo("%i = arith.subi %tid, %c1 : i32")));
  expectError("lane 24 of warp 1 of block 0: writes 4 bytes at byte 256 of s, "
              "which has 256",
              run(R"(%c8 = arith.constant 8 : i32
    %i = arith.addi %tid, %c8 : i32
    %p = llvm.getelementptr %s[%i] : (!llvm.ptr<3>, i32) -> !llvm.ptr<3>, i32
    llvm.store %tid, %p : i32, !llvm.ptr<3>)",
                  64));
}

TEST(EmulatorTest, FindsUnalignedVectors) {
  expectError("lane 1 of warp 0 of block 0: reads 16 bytes at byte 4 of "
              "argument 0, which is not aligned",
              run(R"(
    %p = llvm.getelementptr %x[%tid] : (!llvm.ptr<1>, i32) -> !llvm.ptr<1>, f32
    %v = llvm.load %p : !llvm.ptr<1> -> vector<4xf32>)"));
}

TEST(EmulatorTest, FindsWhatNobodyWrote) {
  expectError("'llvm.load', lane 0 of warp 0 of block 0: reads 4 bytes",
              run("%v = llvm.load %s : !llvm.ptr<3> -> i32"));
  expectError("which nobody wrote",
              run("%v = llvm.load %y : !llvm.ptr<1> -> i32"));
  // Floats are NaN, which shows where they are used.
  Result result = run("%v = llvm.load %y : !llvm.ptr<1> -> f32\n"
                      "llvm.store %v, %y : f32, !llvm.ptr<1>");
  EXPECT_EQ(result.error, "");
  EXPECT_TRUE(std::isnan(result.y.get(0)));
}

TEST(EmulatorTest, FindsWritesOfWhatIsRead) {
  expectError("writes argument 0, which the launch does not write",
              run("llvm.store %c0, %x : i32, !llvm.ptr<1>"));
}

TEST(EmulatorTest, FindsMemoryTouchedTooEarly) {
  std::string copy = copyTo("%i = arith.addi %tid, %c1 : i32");
  expectError("touches memory before the launch before this one is over",
              run(copy, 32, /*startsEarly=*/true));
  EXPECT_EQ(run("nvvm.griddepcontrol wait\n" + copy, 32, true).error, "");
}

TEST(EmulatorTest, FindsLanesThatAreElsewhere) {
  std::string text = R"(
    %is = arith.cmpi eq, %tid, %c0 : i32
    scf.if %is {
      )";
  expectError("names lanes 0xffffffff but is executed by 0x1",
              run(text + "nvvm.bar.warp.sync %all : i32\n}"));
  expectError("'nvvm.barrier0', warp 0 of block 0: is executed by lanes 0x1 "
              "alone",
              run(text + "nvvm.barrier0\n}"));
}

TEST(EmulatorTest, FindsDeadlocks) {
  std::string text = R"(
    %c32 = arith.constant 32 : i32
    %c64 = arith.constant 64 : i32
    %is = arith.cmpi slt, %tid, %c32 : i32
    scf.if %is {
      nvvm.barrier id = %c1 number_of_threads = %c64
    })";
  Result result = run(text, 64);
  expectError("all warps wait", result);
  expectError("warp 0 of block 0 is at 'nvvm.barrier'", result);
  expectError("warp 1 of block 0 is at the end", result);
}

TEST(EmulatorTest, FindsMbarriersThatAreNone) {
  expectError("there is no mbarrier at shared address",
              run("%t = nvvm.mbarrier.arrive %s : !llvm.ptr<3> -> i64"));
  // One arrival too many: of all lanes at a barrier for one.
  expectError("expects no more than 2 arrivals", run(R"(
    %c2 = arith.constant 2 : i32
    %is = arith.cmpi eq, %tid, %c0 : i32
    scf.if %is {
      nvvm.mbarrier.init %s, %c2 : !llvm.ptr<3>, i32
    }
    nvvm.mbarrier.arrive.expect_tx %s, %c1 : !llvm.ptr<3>, i32)"));
}

TEST(EmulatorTest, RefusesOpsThatItDoesNotKnow) {
  expectError("'llvm.intr.sin' is not emulated",
              run("%f = arith.constant 1.0 : f32\n"
                  "%v = llvm.intr.sin(%f) : (f32) -> f32"));
  expectError("'llvm.inline_asm' is not emulated",
              run("%v = llvm.inline_asm \"mov.u32 $0, %smid;\", \"=r\" : () "
                  "-> i32"));
}

TEST(EmulatorTest, FindsLoopsWithoutEnd) {
  expectError("is executed without end", run(R"(
    %true = arith.constant true
    scf.while : () -> () {
      scf.condition(%true)
    } do {
      scf.yield
    })"));
}
