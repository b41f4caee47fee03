//===- Arrange.h - What each order of work means ----------------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_LIB_TRANSFORMS_ARRANGE_H
#define MOE_MLIR_LIB_TRANSFORMS_ARRANGE_H

#include "Issue.h"
#include "moe-mlir/Dialect/MoE/IR/MoE.h"
#include "moe-mlir/Policy/RuleSet.h"

namespace moe {

/// The phases of one layer, in the order of the data flow.
struct LayerPhases {
  llvm::SmallVector<mlir::Operation *> phases;
  SharedExpertsOp shared;
};

/// The rows of the shared experts that are this rank's own: T is their number,
/// and not that of gathered ones. The layer has shared experts.
mlir::Value getOwnRows(const LayerPhases &layer);

/// The work of a layer in the order of `order`, each on its stream.
llvm::SmallVector<IssuedWork> arrange(const LayerPhases &layer, Order order);

/// The work of a layer's halves: while one computes, the other's rows are on
/// their way. Every collective of the one half comes before the same of the
/// other, and the exchanges of both are on the communication stream. `order`
/// says where the shared experts run.
llvm::SmallVector<IssuedWork> arrangeHalves(const LayerPhases &layer,
                                            Order order);

} // namespace moe

#endif // MOE_MLIR_LIB_TRANSFORMS_ARRANGE_H
