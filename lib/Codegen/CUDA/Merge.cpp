//===- Merge.cpp - The layer's output -------------------------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "../PhaseChecks.h"
#include "Combine.h"
#include "RowVectors.h"

using namespace mlir;
using namespace moe::codegen;
using namespace moe::codegen::cuda;

LogicalResult moe::codegen::cuda::emitMerge(const Emission &emission,
                                            const MergeOperands &operands) {
  if (failed(check(emission.loc, operands)))
    return failure();
  const std::optional<CombineOperands> &combine = operands.combine;
  Launch launch(emission, combine ? "combine_merge" : "merge",
                combine ? "combine+merge" : "merge");
  std::optional<ExpertRows> experts;
  if (combine)
    experts.emplace(launch, *combine, operands.combineScale);
  Buffer routed = launch.read(operands.routed);
  Buffer shared = launch.read(operands.shared);
  Buffer x = launch.read(operands.x);
  Buffer ids = launch.read(operands.x ? operands.ids : Value());
  Buffer weights = launch.read(operands.x ? operands.weights : Value());
  Buffer y = launch.write(operands.y);
  launch.setKey(operands.combineScale, operands.firstZeroExpert,
                operands.zeroScale);
  SmallVector<Value> rows{combine ? combine->expertOut : operands.routed,
                          operands.y};
  if (shared)
    rows.push_back(operands.shared);
  if (x)
    rows.push_back(operands.x);
  unsigned width = getVectorWidth(rows);

  /// The weight that a token itself has through zero experts.
  auto emitZeroWeight = [&](KernelBuilder &k, Expr token) {
    Expr sum = k.f32(0.0);
    for (int64_t slot = 0; slot < ids.type.getDimSize(1); ++slot) {
      Expr place[] = {token, k.i32(slot)};
      Expr isZero = k.load(ids, place) >= operands.firstZeroExpert;
      sum = k.select(isZero, sum + k.load(weights, place), sum);
    }
    return sum * operands.zeroScale;
  };
  emitForEachVector(emission, launch, operands.y, width,
                    [&](KernelBuilder &k, Expr token, Expr column) {
                      Expr place[] = {token, column};
                      // Loads first, as in the sum of the experts.
                      Expr sharedTerm, xTerm, zeroWeight;
                      if (shared)
                        sharedTerm = k.load(shared, place, width);
                      if (x) {
                        xTerm = k.load(x, place, width);
                        zeroWeight = emitZeroWeight(k, token);
                      }
                      Expr sum = experts ? experts->sum(k, token, column, width)
                                         : k.load(routed, place, width);
                      if (shared)
                        sum = sum + sharedTerm;
                      if (x)
                        sum = k.fma(zeroWeight, xTerm, sum);
                      k.store(sum, y, place);
                    });
  return success();
}
