//===- Work.h - The useful work of a run ------------------------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_RUN_WORK_H
#define MOE_MLIR_RUN_WORK_H

#include "moe-mlir/Run/Inputs.h"

namespace moe::run {

/// What a run has to do, however it does it.
struct LayerWork {
  /// Multiplications and additions of all matrix products.
  double flops = 0;
  /// Of these, the routed experts'.
  double expertFlops = 0;
  /// Of the weights that take part, each counted once.
  double weightBytes = 0;
  /// Routed experts that have at least one row.
  int64_t expertsHit = 0;
};

/// Counts the work of one run of `layer`. Which experts have rows is found with
/// the reference's router.
Status countWork(const LayerSpec &layer, const Inputs &inputs, LayerWork &work);

} // namespace moe::run

#endif // MOE_MLIR_RUN_WORK_H
