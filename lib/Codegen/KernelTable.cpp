//===- KernelTable.cpp - Which emitter an op has on a target --------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moe-mlir/Codegen/KernelTable.h"

using namespace mlir;
using namespace moe;

static LogicalResult checkOne(Operation *op) {
  auto collective = dyn_cast<schedule::CollectiveOpInterface>(op);
  if (collective && !collective.getCommunicatorName().empty())
    return op->emitOpError("expected its steps (--moe-lower-exchanges), since "
                           "it exchanges over '")
           << collective.getCommunicatorName() << "'";
  for (Type type : op->getOperandTypes()) {
    auto buffer = dyn_cast<MemRefType>(type);
    if (buffer && !buffer.getLayout().isIdentity())
      return op->emitOpError("expected row-major buffers but got ") << buffer;
  }
  return success();
}

LogicalResult moe::codegen::checkRunnable(Operation *phase) {
  WalkResult result = phase->walk([](Operation *op) {
    return failed(checkOne(op)) ? WalkResult::interrupt()
                                : WalkResult::advance();
  });
  return failure(result.wasInterrupted());
}

LogicalResult moe::codegen::checkPlainWeights(ExpertsOp experts,
                                              StringRef target) {
  if (!experts.getQuant())
    return success();
  return experts.emitOpError("has quantized weights, which target '")
         << target << "' cannot multiply";
}
