//===- MoE.h - The moe dialect ----------------------------------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_DIALECT_MOE_IR_MOE_H
#define MOE_MLIR_DIALECT_MOE_IR_MOE_H

#include "moe-mlir/Dialect/Schedule/IR/Schedule.h"
#include "moe-mlir/Layer/Parallel.h"

#include "mlir/Bytecode/BytecodeOpInterface.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Bufferization/IR/BufferizableOpInterface.h"
#include "mlir/Dialect/Bufferization/IR/Bufferization.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/BuiltinTypes.h"
#include "mlir/IR/Dialect.h"
#include "mlir/IR/OpDefinition.h"
#include "mlir/IR/OpImplementation.h"
#include "mlir/Interfaces/DestinationStyleOpInterface.h"
#include "mlir/Interfaces/InferTypeOpInterface.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"

namespace moe {
/// The attribute that says how products are cut into tiles, and the products
/// that it may name.
inline constexpr llvm::StringLiteral kGemmTilesAttrName = "moe.gemm_tiles";
inline constexpr llvm::StringLiteral kGemmProducts[] = {
    "experts.up", "experts.down", "shared.up", "shared.down"};

/// Attributes of functions: the configuration of the layers, what each of them
/// is, and in which order its phases run.
inline constexpr llvm::StringLiteral kParallelAttrName = "moe.parallel";
inline constexpr llvm::StringLiteral kLayersAttrName = "moe.layers";
inline constexpr llvm::StringLiteral kDecisionsAttrName = "moe.decisions";

/// The attribute of an argument that says which tensor of the layer it is.
inline constexpr llvm::StringLiteral kNameAttrName = "moe.name";

/// The attribute of phases that work on a part of each rank's tokens.
inline constexpr llvm::StringLiteral kPartAttrName = "moe.part";

/// Attributes print enumerations of layers by their names.
template <typename Enum, typename = decltype(LayerEnum<Enum>::cases)>
llvm::raw_ostream &operator<<(llvm::raw_ostream &os, Enum value) {
  return os << name(value);
}
} // namespace moe

#include "moe-mlir/Dialect/MoE/IR/MoEDialect.h.inc"
#include "moe-mlir/Dialect/MoE/IR/MoEEnums.h.inc"
#include "moe-mlir/Dialect/MoE/IR/MoEInterfaces.h.inc"

#define GET_ATTRDEF_CLASSES
#include "moe-mlir/Dialect/MoE/IR/MoEAttributes.h.inc"

#define GET_OP_CLASSES
#include "moe-mlir/Dialect/MoE/IR/MoEOps.h.inc"

namespace moe {
/// The part of each rank's tokens that a phase or collective works on, or null:
/// on all.
schedule::PartAttr getPart(mlir::Operation *op);

/// The most tokens of one rank that a phase works on, where a rank has at most
/// `maxTokens`.
int64_t getMaxTokens(schedule::PartAttr part, int64_t maxTokens);

/// The configuration around `op`: that of the closest op with one, or the
/// default.
ParallelAttr getParallel(mlir::Operation *op);
} // namespace moe

#endif // MOE_MLIR_DIALECT_MOE_IR_MOE_H
