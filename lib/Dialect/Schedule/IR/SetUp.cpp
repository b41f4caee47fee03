//===- SetUp.cpp - What comes before all work of a function ---------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moe-mlir/Dialect/Schedule/IR/SetUp.h"

#include "mlir/Dialect/MemRef/IR/MemRef.h"

using namespace mlir;

OpBuilder moe::schedule::atEndOfSetUp(FunctionOpInterface function) {
  Block &entry = function.getFunctionBody().front();
  for (Operation &op : entry)
    if (!isa<memref::AllocOp, memref::DimOp>(op) && !isPure(&op))
      return OpBuilder(&op);
  return OpBuilder(entry.getTerminator());
}
