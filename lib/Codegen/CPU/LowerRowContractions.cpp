//===- LowerRowContractions.cpp - Vector code for GEMM kernels ------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "RowContraction.h"
#include "moe-mlir/Codegen/CPU/Lowering.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/Transforms/WalkPatternRewriteDriver.h"

namespace moe::codegen::cpu {
#define GEN_PASS_DEF_LOWERROWCONTRACTIONS
#include "moe-mlir/Codegen/CPU/Passes.h.inc"
} // namespace moe::codegen::cpu

using namespace mlir;
using namespace moe::codegen;
using namespace moe::codegen::cpu;

namespace {
struct RowContractionPattern : OpRewritePattern<linalg::GenericOp> {
  RowContractionPattern(MLIRContext *context, unsigned vectorBits)
      : OpRewritePattern(context), vectorBits(vectorBits) {}

  LogicalResult matchAndRewrite(linalg::GenericOp op,
                                PatternRewriter &rewriter) const override {
    if (failed(matchRowContraction(rewriter, op)))
      return failure();
    lowerRowContraction(rewriter, op, vectorBits);
    return success();
  }

  unsigned vectorBits;
};

struct LowerRowContractions
    : moe::codegen::cpu::impl::LowerRowContractionsBase<LowerRowContractions> {
  using LowerRowContractionsBase::LowerRowContractionsBase;

  void runOnOperation() override {
    llvm::Expected<Target> target = Target::parse(cpu);
    if (!target) {
      getOperation().emitError(llvm::toString(target.takeError()));
      return signalPassFailure();
    }
    RewritePatternSet patterns(&getContext());
    patterns.add<RowContractionPattern>(&getContext(), target->vectorBits);
    walkAndApplyPatterns(getOperation(), std::move(patterns));
  }
};
} // namespace
