//===- Schedule.h - The schedule dialect ------------------------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_DIALECT_SCHEDULE_IR_SCHEDULE_H
#define MOE_MLIR_DIALECT_SCHEDULE_IR_SCHEDULE_H

#include "mlir/Bytecode/BytecodeOpInterface.h"
#include "mlir/Dialect/Bufferization/IR/BufferizableOpInterface.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/BuiltinTypes.h"
#include "mlir/IR/Dialect.h"
#include "mlir/IR/OpDefinition.h"
#include "mlir/IR/OpImplementation.h"
#include "mlir/IR/SymbolTable.h"
#include "mlir/Interfaces/DestinationStyleOpInterface.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"
#include "mlir/Interfaces/ViewLikeInterface.h"
#include <array>
#include <optional>

namespace moe::schedule {
/// The effect of issuing work: every stream is one such resource.
struct StreamResource
    : public mlir::SideEffects::Resource::Base<StreamResource> {
  mlir::StringRef getName() final { return "Stream"; }
};

/// The effect of a collective: all ranks issue those of a communicator in one
/// order.
struct CommunicatorResource
    : public mlir::SideEffects::Resource::Base<CommunicatorResource> {
  mlir::StringRef getName() final { return "Communicator"; }
};

/// Bytes from one element of a contiguous buffer to the next: integers, floats,
/// index, complex and vectors of them; nothing for other types.
std::optional<int64_t> getElementBytes(mlir::Type type);

/// Attributes of functions and modules: see the dialect's table.
inline constexpr llvm::StringLiteral kGridAttrName = "schedule.grid";
inline constexpr llvm::StringLiteral kMaxNumTokensAttrName =
    "schedule.max_num_tokens";
inline constexpr llvm::StringLiteral kDescriptorAttrName =
    "schedule.descriptor";
} // namespace moe::schedule

#include "moe-mlir/Dialect/Schedule/IR/ScheduleDialect.h.inc"
#include "moe-mlir/Dialect/Schedule/IR/ScheduleEnums.h.inc"
#include "moe-mlir/Dialect/Schedule/IR/ScheduleInterfaces.h.inc"

#define GET_ATTRDEF_CLASSES
#include "moe-mlir/Dialect/Schedule/IR/ScheduleAttributes.h.inc"

namespace moe::schedule {
/// The syntax of communicators in ops and attributes: `#ranks[dp, tp]`.
mlir::ParseResult parseCommunicator(mlir::AsmParser &parser,
                                    CommunicatorAttr &communicator);
mlir::ParseResult
parseCommunicator(mlir::AsmParser &parser,
                  mlir::FailureOr<CommunicatorAttr> &communicator);
void printCommunicator(mlir::AsmPrinter &printer,
                       CommunicatorAttr communicator);
void printCommunicator(mlir::OpAsmPrinter &printer, mlir::Operation *op,
                       CommunicatorAttr communicator);

/// The grid of the function that `op` is or lies in; null without one.
GridAttr getGrid(mlir::Operation *op);
} // namespace moe::schedule

#define GET_TYPEDEF_CLASSES
#include "moe-mlir/Dialect/Schedule/IR/ScheduleTypes.h.inc"

#define GET_OP_CLASSES
#include "moe-mlir/Dialect/Schedule/IR/ScheduleOps.h.inc"

#endif // MOE_MLIR_DIALECT_SCHEDULE_IR_SCHEDULE_H
