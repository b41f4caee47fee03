//===- Uniform.h - Values that all ranks share ------------------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_DIALECT_SCHEDULE_ANALYSIS_UNIFORM_H
#define MOE_MLIR_DIALECT_SCHEDULE_ANALYSIS_UNIFORM_H

#include "mlir/IR/Value.h"

namespace moe::schedule {

/// What keeps `value` from being the same on all ranks: a value that may differ
/// from rank to rank, or of which nothing is known; null if there is none.
///
/// Uniform are constants, what `schedule.total_tokens`, `schedule.max_tokens`
/// and `schedule.call_value` give, scalar arguments marked `schedule.uniform`,
/// the numbers of a loop whose bounds are uniform, the results of an `scf.if`
/// whose condition and yields are, and what ops without effects or regions make
/// of such values.
mlir::Value findRankDependence(mlir::Value value);

/// True if all ranks have the same value.
inline bool isUniform(mlir::Value value) { return !findRankDependence(value); }

} // namespace moe::schedule

#endif // MOE_MLIR_DIALECT_SCHEDULE_ANALYSIS_UNIFORM_H
