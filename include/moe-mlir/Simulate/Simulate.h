//===- Simulate.h - What all ranks do with a schedule -----------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// From the schedule of one function to what every rank issues: the ops that the
// verifier proves and that are lowered, with costs by the cost model for the
// rows that each rank gets. Levels 4 and 5, where a run holds phases.
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_SIMULATE_SIMULATE_H
#define MOE_MLIR_SIMULATE_SIMULATE_H

#include "moe-mlir/Simulate/Engine.h"

#include "mlir/Interfaces/FunctionInterfaces.h"

namespace moe::simulate {

/// What happens to a function's layers in one call.
struct Call {
  policy::ClusterModel cluster;
  policy::ParallelProperties properties;
  /// By rank: rows of the hidden states.
  std::vector<int64_t> tokens;
  /// By rank that owns experts; one where all own all.
  policy::RankLoads loads;
};

/// The configuration of a function that --moe-expand-layer has marked.
mlir::FailureOr<policy::ParallelProperties>
getProperties(mlir::FunctionOpInterface function);

/// The router of the function's first layer, with equal weights, and the
/// placement of its experts before any balancing.
struct Routing {
  policy::RouterModel router;
  policy::ExpertSlots slots;
};
mlir::FailureOr<Routing> getRouting(mlir::FunctionOpInterface function);

/// What the ranks issue. An error if the function is not scheduled, is lowered
/// past its phases, or asks for a size that the tokens do not tell.
mlir::FailureOr<Program> buildProgram(mlir::FunctionOpInterface function,
                                      const Call &call);

} // namespace moe::simulate

#endif // MOE_MLIR_SIMULATE_SIMULATE_H
