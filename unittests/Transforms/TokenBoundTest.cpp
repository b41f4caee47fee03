//===- TokenBoundTest.cpp - How sizes grow with tokens --------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Transforms/TokenBound.h"

#include "moe-mlir/Pipelines/Register.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Parser/Parser.h"
#include "gtest/gtest.h"

using namespace mlir;
using namespace moe;
using mlir::presburger::Fraction;

namespace {

/// "1/2 + 3 t + 1/4 n", in lowest terms, without what is zero.
std::string print(const std::optional<TokenBound> &bound) {
  if (!bound)
    return "none";
  std::string text;
  const char *units[] = {"", " t", " n"};
  for (int i = 0; i < 3; ++i) {
    Fraction value = bound->coefficients[i];
    auto number = int64_t(value.num), divisor = int64_t(value.den);
    if (number == 0)
      continue;
    int64_t common = std::gcd(number, divisor);
    text += (text.empty() ? "" : " + ") + std::to_string(number / common);
    if (divisor != common)
      text += "/" + std::to_string(divisor / common);
    text += units[i];
  }
  return text.empty() ? "0" : text;
}

class TokenBoundTest : public ::testing::Test {
protected:
  TokenBoundTest() {
    DialectRegistry registry;
    registerDialects(registry);
    context.appendDialectRegistry(registry);
    context.loadAllAvailableDialects();
  }

  /// Parses a function with %t, the rows of %x, and the given ops behind it.
  func::FuncOp parse(StringRef ops, StringRef attributes = "") {
    std::string text = (R"mlir(
      func.func @f(%x: memref<?x64xf32>, %y: memref<?x?xf32> {schedule.max_shape = array<i64: -1, 96>},
                   %any: index)
          attributes {)mlir" +
                        attributes +
                        R"mlir(} {
        %c0 = arith.constant 0 : index
        %c1 = arith.constant 1 : index
        %c7 = arith.constant 7 : index
        %c64 = arith.constant 64 : index
        %c128 = arith.constant 128 : index
        %c512 = arith.constant 512 : index
        %t = memref.dim %x, %c0 : memref<?x64xf32>
        )mlir" + ops + R"mlir(
        return
      })mlir")
                           .str();
    module = parseSourceString<ModuleOp>(text, &context);
    EXPECT_TRUE(module) << text;
    return module ? *module->getOps<func::FuncOp>().begin() : func::FuncOp();
  }

  /// The bound of the last op's result.
  std::string bound(StringRef ops, StringRef attributes = "") {
    func::FuncOp function = parse(ops, attributes);
    if (!function)
      return "";
    TokenBounds bounds(function, function.getArgument(0));
    Operation &last = *std::prev(function.getFunctionBody().front().end(), 2);
    return print(bounds.get(last.getResult(0)));
  }

  MLIRContext context;
  OwningOpRef<ModuleOp> module;
};

//===----------------------------------------------------------------------===//
// Arithmetic of bounds
//===----------------------------------------------------------------------===//

TEST_F(TokenBoundTest, AddsAndScales) {
  TokenBound bound = TokenBound::constant(5) +
                     TokenBound::tokens().scaledBy(Fraction(3, 2)) +
                     TokenBound::totalTokens().scaledBy(Fraction(2, 1));
  EXPECT_EQ(print(bound), "5 + 3/2 t + 2 n");
  EXPECT_FALSE(bound.isConstant());
  EXPECT_TRUE(TokenBound::constant(5).isConstant());
  // 5 + 3/2 * 10 + 2 * 10.
  EXPECT_EQ(bound.at(10), Fraction(40, 1));
}

/// Each coefficient by itself, never below 0.
TEST_F(TokenBoundTest, RoundsUp) {
  TokenBound bound = {{Fraction(257, 1), Fraction(1, 3), Fraction(-8, 1)}};
  EXPECT_EQ(bound.roundUp(256), (std::array<int64_t, 3>{512, 256, 0}));
  EXPECT_EQ(TokenBound::constant(512).roundUp(256),
            (std::array<int64_t, 3>{512, 0, 0}));
  EXPECT_EQ(TokenBound::constant(0).roundUp(256),
            (std::array<int64_t, 3>{0, 0, 0}));
}

//===----------------------------------------------------------------------===//
// Bounds of values
//===----------------------------------------------------------------------===//

TEST_F(TokenBoundTest, Leaves) {
  EXPECT_EQ(bound(""), "1 t");
  EXPECT_EQ(bound("%n = schedule.total_tokens : index"), "1 n");
  EXPECT_EQ(bound("%c = arith.constant 12 : index"), "12");
  // The second extent of %y has a bound, its first has none.
  EXPECT_EQ(bound("%d = memref.dim %y, %c1 : memref<?x?xf32>"), "96");
  EXPECT_EQ(bound("%d = memref.dim %y, %c0 : memref<?x?xf32>"), "none");
}

TEST_F(TokenBoundTest, Arithmetic) {
  EXPECT_EQ(bound("%v = arith.addi %t, %c7 : index"), "7 + 1 t");
  EXPECT_EQ(bound("%v = arith.muli %t, %c64 : index"), "64 t");
  EXPECT_EQ(bound("%v = arith.subi %t, %c7 : index"), "-7 + 1 t");
  // What is subtracted is at least 0, whatever it is.
  EXPECT_EQ(bound("%v = arith.subi %t, %any : index"), "1 t");
  EXPECT_EQ(bound("%v = arith.addi %t, %any : index"), "none");
  // No bound that is linear.
  EXPECT_EQ(bound("%v = arith.muli %t, %t : index"), "none");
  EXPECT_EQ(bound("%v = arith.remui %any, %c64 : index"), "63");
  EXPECT_EQ(bound("%v = arith.remui %c64, %any : index"), "none");
}

/// x / 64 rounded up is at most (x + 63) / 64: back in elements, only the
/// rounding is lost.
TEST_F(TokenBoundTest, Blocks) {
  EXPECT_EQ(bound("%v = arith.divui %t, %c64 : index"), "1/64 t");
  EXPECT_EQ(bound("%v = arith.ceildivui %t, %c64 : index"), "63/64 + 1/64 t");
  EXPECT_EQ(bound("%v = arith.ceildivui %t, %c64 : index\n"
                  "%w = arith.muli %v, %c64 : index"),
            "63 + 1 t");
  EXPECT_EQ(bound("%v = affine.apply affine_map<(d0) -> ((d0 ceildiv 128) * "
                  "128 + d0 mod 8)>(%t)"),
            "134 + 1 t");
  EXPECT_EQ(bound("%v = arith.divui %t, %any : index"), "none");
}

/// Of two bounds of a minimum, the one that is smaller at 256 tokens.
TEST_F(TokenBoundTest, Minimum) {
  EXPECT_EQ(bound("%v = arith.minui %t, %c128 : index"), "128");
  EXPECT_EQ(bound("%v = arith.minui %t, %c512 : index"), "1 t");
  EXPECT_EQ(bound("%v = arith.minui %any, %t : index"), "1 t");
  EXPECT_EQ(bound("%v = arith.minui %any, %any : index"), "none");
  EXPECT_EQ(bound("%v = affine.min affine_map<(d0)[s0] -> (d0 * 2, s0)>"
                  "(%t)[%any]"),
            "2 t");
}

/// A maximum takes the larger coefficient of each pair.
TEST_F(TokenBoundTest, Maximum) {
  EXPECT_EQ(bound("%v = arith.maxui %t, %c128 : index"), "128 + 1 t");
  EXPECT_EQ(bound("%n = schedule.total_tokens : index\n"
                  "%v = arith.maxui %t, %n : index"),
            "1 t + 1 n");
  EXPECT_EQ(bound("%v = arith.maxui %t, %any : index"), "none");
  EXPECT_EQ(bound("%b = arith.cmpi ult, %any, %c7 : index\n"
                  "%v = arith.select %b, %t, %c7 : index"),
            "7 + 1 t");
  EXPECT_EQ(bound("%v = affine.max affine_map<(d0)[s0] -> (d0, s0)>"
                  "(%t)[%any]"),
            "none");
}

TEST_F(TokenBoundTest, Buffers) {
  func::FuncOp function = parse("%v = arith.muli %t, %c7 : index\n"
                                "%a = memref.alloc(%v) : memref<?x64xbf16>\n"
                                "%b = memref.alloc(%t, %t) : memref<?x?xf32>\n"
                                "%c = memref.alloc() : memref<3x5xi8>");
  ASSERT_TRUE(function);
  TokenBounds bounds(function, function.getArgument(0));
  std::vector<std::string> bytes;
  function.walk([&](memref::AllocOp alloc) {
    bytes.push_back(
        print(bounds.getBytes(alloc.getType(), alloc.getDynamicSizes())));
  });
  // 7 t rows of 64 elements of 2 bytes.
  EXPECT_EQ(bytes, (std::vector<std::string>{"896 t", "none", "15"}));
}

} // namespace
