//===- DispatchPlan.cpp - Which rows an expert computes -------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "../PhaseChecks.h"
#include "PairSort.h"

using namespace mlir;
using namespace moe::codegen;
using namespace moe::codegen::cuda;

LogicalResult
moe::codegen::cuda::emitDispatchPlan(const Emission &emission,
                                     const DispatchPlanOperands &operands) {
  if (failed(check(emission.loc, operands)))
    return failure();
  PairSort sort;
  sort.ids = operands.ids;
  sort.expertMap = operands.expertMap;
  sort.offsets = operands.expertOffsets;
  sort.sourceRows = operands.sourceRows;
  sort.pairRows = operands.pairRows;
  emitPairSort(emission, "dispatch", "dispatch", sort);
  return success();
}
