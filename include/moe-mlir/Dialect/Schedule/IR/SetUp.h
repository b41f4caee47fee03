//===- SetUp.h - What comes before all work of a function -------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_DIALECT_SCHEDULE_IR_SETUP_H
#define MOE_MLIR_DIALECT_SCHEDULE_IR_SETUP_H

#include "mlir/IR/Builders.h"
#include "mlir/Interfaces/FunctionInterfaces.h"

namespace moe::schedule {

/// A builder behind the allocations and sizes that the function begins with,
/// before it issues any work: temporaries of its work are allocated here.
mlir::OpBuilder atEndOfSetUp(mlir::FunctionOpInterface function);

} // namespace moe::schedule

#endif // MOE_MLIR_DIALECT_SCHEDULE_IR_SETUP_H
