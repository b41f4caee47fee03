//===- Sizes.h - Sizes of one call ------------------------------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_LIB_SIMULATE_SIZES_H
#define MOE_MLIR_LIB_SIMULATE_SIZES_H

#include "mlir/Interfaces/FunctionInterfaces.h"
#include "llvm/ADT/DenseMap.h"

namespace moe::simulate {

/// The argument whose rows are the tokens: the one with `schedule.tokens`, or
/// else the first that has dynamically many. Null without one.
mlir::BlockArgument findTokens(mlir::FunctionOpInterface function);

/// True for that argument, for what has a row for each of its rows
/// (`schedule.tokens`, too), and for the output, which is like it.
bool hasRowPerToken(mlir::FunctionOpInterface function,
                    mlir::BlockArgument argument);

/// The index values of a scheduled function on a rank with a given number of
/// tokens.
class Sizes {
public:
  /// `tokens` are those of all ranks; the array is not owned.
  Sizes(mlir::FunctionOpInterface function, llvm::ArrayRef<int64_t> tokens,
        size_t rank);

  /// Nothing where the tokens do not tell.
  std::optional<int64_t> get(mlir::Value value);
  std::optional<int64_t> getDim(mlir::Value buffer, int64_t dim);

private:
  std::optional<int64_t> compute(mlir::Operation *op, unsigned result);

  mlir::FunctionOpInterface function;
  llvm::ArrayRef<int64_t> tokens;
  size_t rank;
  llvm::DenseMap<mlir::Value, std::optional<int64_t>> known;
};

} // namespace moe::simulate

#endif // MOE_MLIR_LIB_SIMULATE_SIZES_H
