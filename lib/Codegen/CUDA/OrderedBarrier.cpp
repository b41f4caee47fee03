//===- OrderedBarrier.cpp - Warpgroups one after the other ----------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "OrderedBarrier.h"
#include "MbarrierRing.h"

#include "mlir/Dialect/LLVMIR/NVVMDialect.h"

using namespace mlir;

namespace moe::codegen::cuda {

void OrderedBarrier::init(int64_t threads) {
  for (int64_t group = 0; group < groups; ++group)
    NVVM::MBarrierInitOp::create(k, barrier(k.i32(group)), k.i32(threads),
                                 Value());
}

void OrderedBarrier::wait(Expr group, Expr parity) {
  // The first group begins: its barrier is one turn behind, and a new barrier
  // is taken for one whose phase of parity 1 is over.
  Expr isFirst = k.select(group == 0, k.i32(1), k.i32(0));
  emitWait(k, barrier(group), parity ^ isFirst);
}

void OrderedBarrier::arrive(Expr group) {
  Expr next = k.select(group == groups - 1, k.i32(0), group + 1);
  NVVM::MBarrierArriveOp::create(k, k.getI64Type(), barrier(next), Value());
}

} // namespace moe::codegen::cuda
