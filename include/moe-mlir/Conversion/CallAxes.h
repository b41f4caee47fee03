//===- CallAxes.h - Sizes that a call of a function says --------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_CONVERSION_CALLAXES_H
#define MOE_MLIR_CONVERSION_CALLAXES_H

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "llvm/ADT/SetVector.h"

namespace moe {

/// The sizes that only a call of a function says: the tokens of the rank, and
/// the axes that the function's arguments name in `schedule.axes`. The
/// artefact's signature and its descriptor number them alike.
class CallAxes {
public:
  explicit CallAxes(mlir::func::FuncOp function);

  /// The named axes, in the order of the arguments.
  llvm::ArrayRef<mlir::StringAttr> getNames() const {
    return names.getArrayRef();
  }

  /// Dimension `dim` of an argument as signatures say it: its size,
  /// MOERT_DIM_TOKENS or MOERT_DIM_AXIS.
  int64_t getDim(unsigned argument, unsigned dim) const;

private:
  mlir::func::FuncOp function;
  llvm::SetVector<mlir::StringAttr> names;
};

} // namespace moe

#endif // MOE_MLIR_CONVERSION_CALLAXES_H
