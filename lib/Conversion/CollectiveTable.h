//===- CollectiveTable.h - A function's collectives -------------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_LIB_CONVERSION_COLLECTIVETABLE_H
#define MOE_MLIR_LIB_CONVERSION_COLLECTIVETABLE_H

#include "RuntimeInterface.h"
#include "moe-mlir/Dialect/Schedule/IR/Schedule.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "llvm/ADT/DenseMap.h"

namespace moe {

/// The collectives of a function, numbered along every path through it, and its
/// communicators, numbered in the order of their first use. Ranks compare their
/// tables.
class CollectiveTable {
public:
  /// Fails, with an error, where two paths differ: then no table says what a
  /// call exchanges; and where a stream or a collective is of another grid than
  /// the function's.
  llvm::LogicalResult collect(mlir::func::FuncOp function);

  /// The number of a communicator, which is new if it was not met yet.
  int64_t getNumber(schedule::CommunicatorAttr communicator);
  int64_t getStep(schedule::CollectiveOp op) const { return steps.at(op); }
  bool empty() const { return collectives.empty(); }

  /// Emits the table as a `moert_exchange`, whose symbol is `symbol`. All
  /// communicators have numbers.
  llvm::LogicalResult emit(RuntimeInterface &runtime,
                           mlir::func::FuncOp function, llvm::StringRef symbol);

private:
  llvm::LogicalResult collect(mlir::Region &region, size_t &step);
  llvm::LogicalResult collect(schedule::CollectiveOp op, size_t step);
  std::string describe(schedule::GridAttr grid);

  /// The first op of each step.
  llvm::SmallVector<schedule::CollectiveOp> collectives;
  llvm::DenseMap<mlir::Operation *, int64_t> steps;
  llvm::SetVector<schedule::CommunicatorAttr> communicators;
};

} // namespace moe

#endif // MOE_MLIR_LIB_CONVERSION_COLLECTIVETABLE_H
