//===- FuseCombine.h - Combines that merges compute -------------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_LIB_CONVERSION_FUSECOMBINE_H
#define MOE_MLIR_LIB_CONVERSION_FUSECOMBINE_H

#include "moe-mlir/Dialect/MoE/IR/MoE.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "llvm/ADT/DenseMap.h"

namespace moe {

/// The combine in front of each `moe.merge` that is to be computed with it.
using FusedCombines = llvm::DenseMap<mlir::Operation *, CombineOp>;

/// Moves every combine whose sums a merge alone needs in front of the merge,
/// and erases the run that it stood in:
///
///   schedule.run on(compute) label("combine") {
///     moe.combine ins(%rows, %pairs) outs(%sums)
///   }
///   schedule.run on(compute) after(%done) label("merge") {
///     moe.merge ins(%sums) shared(%shared) outs(%y)
///   }
///
/// becomes
///
///   schedule.run on(compute) after(%done) label("merge") {
///     moe.combine ins(%rows, %pairs) outs(%sums)
///     moe.merge ins(%sums) shared(%shared) outs(%y)
///   }
///
/// One kernel may then compute both without the buffer %sums.
FusedCombines fuseCombines(mlir::func::FuncOp function);

} // namespace moe

#endif // MOE_MLIR_LIB_CONVERSION_FUSECOMBINE_H
