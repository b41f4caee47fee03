//===- Combine.cpp - Weighted sums of experts' rows -----------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Combine.h"
#include "Emitters.h"
#include "RowVectors.h"

using namespace mlir;
using namespace moe;
using namespace moe::codegen;
using namespace moe::codegen::cuda;

Expr ExpertRows::sum(KernelBuilder &k, Expr token, Expr column,
                     unsigned width) const {
  // All loads come before all sums, so that they are under way together.
  int64_t numSlots = pairRows.type.getDimSize(1);
  Exprs isThere, factors, terms;
  for (int64_t slot = 0; slot < numSlots; ++slot) {
    Expr place[] = {token, k.i32(slot)};
    Expr row = k.load(pairRows, place);
    isThere.push_back(row >= 0);
    factors.push_back(weights ? k.load(weights, place) * scale : k.f32(scale));
    // Slots without a row read another one, so that no load waits for a
    // branch.
    terms.push_back(k.load(rows, {max(row, 0), column}, width));
  }
  Expr sum = k.f32s(0.0, width);
  for (int64_t slot = 0; slot < numSlots; ++slot)
    sum = k.select(isThere[slot], k.fma(factors[slot], terms[slot], sum), sum);
  return sum;
}

LogicalResult moe::codegen::cuda::emitCombine(CombineOp op,
                                              const Emission &emission) {
  Launch launch(emission, "combine", "combine");
  ExpertRows rows(launch, op);
  Buffer routed = launch.write(op.getInit());
  launch.setKey(op.getScale().convertToDouble());
  unsigned width = getVectorWidth({op.getExpertOut(), op.getInit()});
  emitForEachVector(emission, launch, op.getInit(), width,
                    [&](KernelBuilder &k, Expr token, Expr column) {
                      k.store(rows.sum(k, token, column, width), routed,
                              {token, column});
                    });
  return success();
}
