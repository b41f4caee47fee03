//===- Passes.h - From schedules to runtime calls ---------------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_CONVERSION_PASSES_H
#define MOE_MLIR_CONVERSION_PASSES_H

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/Pass/Pass.h"

namespace moe {

#define GEN_PASS_DECL
#include "moe-mlir/Conversion/Passes.h.inc"

/// What a dynamic leading dimension of an argument of a layer's function
/// counts: MOERT_DIM_LOCAL_EXPERTS for stacks of matrices and the experts'
/// biases, else MOERT_DIM_TOKENS.
int64_t getDynamicDim(mlir::func::FuncOp function, unsigned argument);

#define GEN_PASS_REGISTRATION
#include "moe-mlir/Conversion/Passes.h.inc"

} // namespace moe

#endif // MOE_MLIR_CONVERSION_PASSES_H
