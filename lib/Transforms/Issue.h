//===- Issue.h - Issuing work to streams ------------------------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_LIB_TRANSFORMS_ISSUE_H
#define MOE_MLIR_LIB_TRANSFORMS_ISSUE_H

#include "moe-mlir/Dialect/Schedule/IR/Schedule.h"

namespace moe {

/// One op and the stream that it is to run on.
struct IssuedWork {
  mlir::Operation *op;
  schedule::StreamAttr stream;
  llvm::StringRef label;
};

/// Builds a run for a copy of each op at the builder's insertion point, in the
/// given order, with the fewest events that order all conflicting accesses of
/// different streams, the fork of each stream from the compute stream and its
/// join before the end.
void issue(mlir::OpBuilder &builder, llvm::ArrayRef<IssuedWork> work);

} // namespace moe

#endif // MOE_MLIR_LIB_TRANSFORMS_ISSUE_H
