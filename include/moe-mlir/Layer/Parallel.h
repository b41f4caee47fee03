//===- Parallel.h - How a layer is spread over ranks ------------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A parallel configuration as users give it, and the plan that the policy
// (`Policy/ParallelConfig.h`) makes of it for one layer, as plain structs:
// `#moe.parallel` and `#moe.parallel_plan` state them in IR.
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_LAYER_PARALLEL_H
#define MOE_MLIR_LAYER_PARALLEL_H

#include "moe-mlir/Layer/Enums.h"

#include <cstdint>

namespace moe {

/// The configuration as given: nothing here is flattened or checked.
struct ParallelConfig {
  int64_t tensorParallelSize = 1;
  int64_t dataParallelSize = 1;
  int64_t prefillContextParallelSize = 1;
  /// Over all ranks: dp_rank * pcp * tp + pcp_rank * tp + tp_rank.
  int64_t rank = 0;
  bool enableExpertParallel = false;
  All2AllBackend all2allBackend = All2AllBackend::allgather_reducescatter;
  bool enableEplb = false;
  int64_t numRedundantExperts = 0;
  PlacementKind expertPlacementStrategy = PlacementKind::linear;
  SequenceParallel sequenceParallel = SequenceParallel::automatic;
  bool shardSharedExperts = false;
  /// Two-batch overlap, and the least tokens of the rank with most that are
  /// split: of calls with decodes alone, and of other ones.
  bool enableDbo = false;
  int64_t dboDecodeTokenThreshold = 32;
  int64_t dboPrefillTokenThreshold = 512;
};

/// What is really done with a layer: every choice that a configuration leaves
/// open is made, and what a layer cannot have is off. All else follows by
/// arithmetic (`policy::ParallelProperties`).
struct ParallelPlan {
  /// The grid of ranks, and one of them.
  int64_t tensor = 1;
  int64_t data = 1;
  int64_t prefillContext = 1;
  int64_t rank = 0;
  /// Ranks own whole experts; else every rank has a share of each.
  bool useEp = false;
  /// The named backend, and the exchange over dp that is in use, which need not
  /// be the backend's.
  All2AllBackend backend = All2AllBackend::allgather_reducescatter;
  Transport transport = Transport::none;
  /// Tensor-parallel ranks take slices of the tokens.
  bool isSequenceParallel = false;
  bool hasSharedExperts = false;
  /// The shared experts' weights are sharded over sequence-parallel ranks
  /// rather than replicated.
  bool sharedExpertsSharded = false;
  /// Logical experts, 0 where not known, and their replicas.
  int64_t numExperts = 0;
  int64_t numRedundantExperts = 0;
  PlacementKind expertPlacement = PlacementKind::linear;
  bool enableEplb = false;
  bool enableDbo = false;
  int64_t dboDecodeTokenThreshold = 32;
  int64_t dboPrefillTokenThreshold = 512;
};

} // namespace moe

#endif // MOE_MLIR_LAYER_PARALLEL_H
