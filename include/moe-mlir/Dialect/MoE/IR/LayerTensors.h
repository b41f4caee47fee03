//===- LayerTensors.h - The tensors of a moe.layer --------------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_DIALECT_MOE_IR_LAYERTENSORS_H
#define MOE_MLIR_DIALECT_MOE_IR_LAYERTENSORS_H

#include "moe-mlir/Dialect/MoE/IR/MoE.h"
#include "moe-mlir/Layer/Tensors.h"

namespace moe {

/// The operand that is the tensor; null if the layer has none.
mlir::Value getOperand(LayerOp layer, TensorId id);

/// What `schedule.axes` of an argument that is the tensor says, where it has
/// the shape `shape`; null if a call says none of its sizes but tokens.
mlir::ArrayAttr getAxesAttr(mlir::Builder &b, TensorId id,
                            llvm::ArrayRef<int64_t> shape);

} // namespace moe

#endif // MOE_MLIR_DIALECT_MOE_IR_LAYERTENSORS_H
