//===- ApproximateMath.cpp - Math functions as polynomials on vectors -----===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moe-mlir/Codegen/CPU/Lowering.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Arith/Transforms/Passes.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Math/Transforms/Passes.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/Transforms/GreedyPatternRewriteDriver.h"

namespace moe::codegen::cpu {
#define GEN_PASS_DEF_APPROXIMATEMATH
#include "moe-mlir/Codegen/CPU/Passes.h.inc"
} // namespace moe::codegen::cpu

using namespace mlir;

namespace {
/// `math.fma` becomes a call to libm where the instruction set has no fused
/// multiply-add; `vector.fma` becomes a product and a sum there.
struct VectorizeFma : OpRewritePattern<math::FmaOp> {
  using OpRewritePattern::OpRewritePattern;

  LogicalResult matchAndRewrite(math::FmaOp op,
                                PatternRewriter &rewriter) const override {
    if (!isa<VectorType>(op.getType()))
      return rewriter.notifyMatchFailure(op, "expected vectors");
    rewriter.replaceOpWithNewOp<vector::FMAOp>(op, op.getA(), op.getB(),
                                               op.getC());
    return success();
  }
};

struct ApproximateMath
    : moe::codegen::cpu::impl::ApproximateMathBase<ApproximateMath> {
  void runOnOperation() override {
    RewritePatternSet patterns(&getContext());
    populateMathPolynomialApproximationPatterns(patterns, [](StringRef name) {
      return llvm::is_contained(
          {math::ExpOp::getOperationName(), math::Log1pOp::getOperationName(),
           math::LogOp::getOperationName(), math::TanhOp::getOperationName(),
           math::ErfOp::getOperationName()},
          name);
    });
    arith::populateExpandBFloat16Patterns(patterns);
    patterns.add<VectorizeFma>(&getContext());
    if (failed(applyPatternsGreedily(getOperation(), std::move(patterns))))
      signalPassFailure();
  }
};
} // namespace
