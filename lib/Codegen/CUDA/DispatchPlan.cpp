//===- DispatchPlan.cpp - Which rows an expert computes -------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Emitters.h"
#include "PairSort.h"

using namespace mlir;
using namespace moe;
using namespace moe::codegen;
using namespace moe::codegen::cuda;

LogicalResult moe::codegen::cuda::emitDispatchPlan(DispatchPlanOp op,
                                                   const Emission &emission) {
  PairSort sort;
  sort.ids = op.getIds();
  sort.expertMap = op.getMap();
  sort.offsets = op.getOffsets();
  sort.sourceRows = op.getSourceRows();
  sort.pairRows = op.getPairRows();
  emitPairSort(emission, "dispatch", "dispatch", sort);
  return success();
}
