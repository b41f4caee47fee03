//===- DestinationStyle.h - From tensors to buffers -------------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// How ops bufferize that are in destination style and stay themselves on
// buffers: inputs are read, inits are written and never read, every result is
// its init. That inits are write-only is what lets two ops' buffers be told
// apart without copies.
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_DIALECT_SCHEDULE_IR_DESTINATIONSTYLE_H
#define MOE_MLIR_DIALECT_SCHEDULE_IR_DESTINATIONSTYLE_H

#include "mlir/Dialect/Bufferization/IR/BufferizableOpInterface.h"
#include "mlir/Interfaces/DestinationStyleOpInterface.h"

namespace moe::schedule {

/// The result of an init; nothing for inputs.
mlir::bufferization::AliasingValueList
getAliasesOfInit(mlir::DestinationStyleOpInterface op,
                 mlir::OpOperand &operand);

/// Replaces the op by itself on buffers.
llvm::LogicalResult bufferizeDestinationStyle(
    mlir::DestinationStyleOpInterface op, mlir::RewriterBase &rewriter,
    const mlir::bufferization::BufferizationOptions &options,
    mlir::bufferization::BufferizationState &state);

} // namespace moe::schedule

#endif // MOE_MLIR_DIALECT_SCHEDULE_IR_DESTINATIONSTYLE_H
