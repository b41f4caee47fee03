//===- Merge.cpp - The layer's output -------------------------------------===//
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

/// The merge, whose routed output is read or, with a combine, summed here.
static void launchMerge(const Emission &emission, MergeOp op,
                        CombineOp combine) {
  Launch launch(emission, combine ? "combine_merge" : "merge",
                combine ? "combine+merge" : "merge");
  std::optional<ExpertRows> experts;
  if (combine)
    experts.emplace(launch, combine);
  Buffer routed = launch.read(combine ? Value() : op.getRouted());
  Buffer shared = launch.read(op.getShared());
  Buffer x = launch.read(op.getX());
  Buffer ids = launch.read(op.getIds());
  Buffer weights = launch.read(op.getWeights());
  Buffer y = launch.write(op.getInit());
  int64_t firstZeroExpert = op.getFirstZeroExpert().value_or(0);
  double zeroScale = x ? op.getZeroScale()->convertToDouble() : 1.0;
  launch.setKey(combine ? combine.getScale().convertToDouble() : 1.0,
                firstZeroExpert, zeroScale);
  SmallVector<Value> rows{combine ? combine.getExpertOut() : op.getRouted(),
                          op.getInit()};
  if (shared)
    rows.push_back(op.getShared());
  if (x)
    rows.push_back(op.getX());
  unsigned width = getVectorWidth(rows);

  /// The weight that a token itself has through zero experts.
  auto emitZeroWeight = [&](KernelBuilder &k, Expr token) {
    Expr sum = k.f32(0.0);
    for (int64_t slot = 0; slot < ids.type.getDimSize(1); ++slot) {
      Expr place[] = {token, k.i32(slot)};
      Expr isZero = k.load(ids, place) >= firstZeroExpert;
      sum = k.select(isZero, sum + k.load(weights, place), sum);
    }
    return sum * zeroScale;
  };
  emitForEachVector(emission, launch, op.getInit(), width,
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
}

LogicalResult moe::codegen::cuda::emitMerge(MergeOp op,
                                            const Emission &emission) {
  launchMerge(emission, op, /*combine=*/{});
  return success();
}

LogicalResult moe::codegen::cuda::emitCombineMerge(CombineOp combine,
                                                   MergeOp merge,
                                                   const Emission &emission) {
  launchMerge(emission, merge, combine);
  return success();
}
