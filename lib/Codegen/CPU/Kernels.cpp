//===- Kernels.cpp - The table of kernels ---------------------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Emitters.h"

using namespace moe;
using namespace moe::codegen;
using namespace moe::codegen::cpu;

const KernelTable<Emission> &moe::codegen::cpu::getKernels() {
  static const KernelTable<Emission> table = KernelTable<Emission>(kTargetName)
                                                 .add(emitGate)
                                                 .add(emitRoute)
                                                 .add(emitExpertLoad)
                                                 .add(emitDispatchPlan)
                                                 .add(emitExpertMap)
                                                 .add(emitSendPlan)
                                                 .add(emitBatchedSendPlan)
                                                 .add(emitBatchedPlan)
                                                 .add(emitGatherRows)
                                                 .add(emitClearIds)
                                                 .add(emitExperts)
                                                 .add(emitCombine)
                                                 .add(emitSharedExperts)
                                                 .add(emitProject)
                                                 .add(emitMerge);
  return table;
}
