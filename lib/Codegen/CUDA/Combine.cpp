//===- Combine.cpp - Weighted sums of experts -----------------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "../PhaseChecks.h"
#include "RowVectors.h"

using namespace mlir;
using namespace moe::codegen;
using namespace moe::codegen::cuda;

LogicalResult moe::codegen::cuda::emitCombine(const Emission &emission,
                                              const CombineOperands &operands,
                                              double scale) {
  if (failed(check(emission.loc, operands)))
    return failure();
  Launch launch(emission, "combine", "combine");
  Buffer expertOut = launch.read(operands.expertOut);
  Buffer pairRows = launch.read(operands.pairRows);
  Buffer weights = launch.read(operands.weights);
  Buffer routed = launch.write(operands.routed);
  launch.setKey(scale);
  int64_t numSlots = pairRows.type.getDimSize(1);
  unsigned width = getVectorWidth({operands.expertOut, operands.routed});
  emitForEachVector(emission, launch, operands.routed, width,
                    [&](KernelBuilder &k, Expr token, Expr column) {
                      Expr sum = k.f32s(0.0, width);
                      for (int64_t slot = 0; slot < numSlots; ++slot) {
                        Expr place[] = {token, k.i32(slot)};
                        Expr row = k.load(pairRows, place);
                        // Slots without a row read another one, so that no load
                        // waits for a branch.
                        Expr term =
                            k.load(expertOut, {max(row, 0), column}, width);
                        Expr weight = k.f32(scale);
                        if (weights)
                          weight = k.load(weights, place) * weight;
                        sum = k.select(row >= 0, k.fma(weight, term, sum), sum);
                      }
                      k.store(sum, routed, {token, column});
                    });
  return success();
}
