//===- Effects.h - What one op does to buffers ------------------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_LIB_DIALECT_SCHEDULE_ANALYSIS_EFFECTS_H
#define MOE_MLIR_LIB_DIALECT_SCHEDULE_ANALYSIS_EFFECTS_H

#include "moe-mlir/Dialect/Schedule/Analysis/HappensBefore.h"

namespace moe::schedule {

/// What the op itself, its regions apart, does to buffers: at most one access
/// per view. An op that does not tell, or tells of an effect on no value, may
/// read and write memory of unknown origin, provided that it could reach any:
/// it is a call, or a buffer is among its operands.
llvm::SmallVector<Access, 4> getAccesses(mlir::Operation *op,
                                         BufferTable &buffers);

/// True if the effects of the op include those of its regions.
bool hasEffectsOfRegions(mlir::Operation *op);

} // namespace moe::schedule

#endif // MOE_MLIR_LIB_DIALECT_SCHEDULE_ANALYSIS_EFFECTS_H
