//===- Phases.h - What kernels of a phase compute ---------------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The operands and parameters of the phases of a bufferized MoE layer, which
// every target's generator takes.
//
// Shapes: T tokens, H hidden width, E experts, k experts per token, I
// intermediate width, P = T * k pairs of token and expert. T, and E where
// noted, may be dynamic; all other dimensions are static. All memrefs have the
// identity layout. Elements are f32, bf16 or f16, for each operand its own,
// where no type is named: sums are taken in f32 and rounded once, where they
// are stored. Operands of the structs below that are marked optional may be
// null.
//
// Numerics: the value of an output element depends on its operands' values
// alone, never on the block or on which rows were computed together. So equal
// rows give bitwise equal results in every schedule.
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_CODEGEN_PHASES_H
#define MOE_MLIR_CODEGEN_PHASES_H

#include "mlir/IR/Value.h"
#include <cstdint>
#include <optional>

namespace moe::codegen {

//===----------------------------------------------------------------------===//
// Router
//===----------------------------------------------------------------------===//

/// logits [T, E] f32 = x [T, H] * weight [E, H]^T (+ bias [E]). E may be
/// dynamic.
struct GateOperands {
  mlir::Value x, weight;
  mlir::Value bias; ///< Optional.
  mlir::Value logits;
};

/// What the scores of a token are, given its logits.
enum class Scores { Softmax, Sigmoid, SqrtSoftplus, Logits };
/// What the score of a group of experts is.
enum class GroupScore { Max, TopTwoSum };
/// Where weights come from: the scores of the chosen experts, or a softmax over
/// their logits, or the sigmoid of each.
enum class ChosenWeights { Scores, Softmax, Sigmoid };

/// How experts are chosen and weighted: what the routers of the known model
/// families do.
struct RoutingParams {
  Scores scores = Scores::Softmax;
  /// Experts are chosen among the `chosenGroups` best of `groups` groups of
  /// consecutive experts; 1 and 1: among all. `groups` divides E.
  int64_t groups = 1;
  int64_t chosenGroups = 1;
  GroupScore groupScore = GroupScore::Max;
  ChosenWeights weights = ChosenWeights::Scores;
  /// Divide the weights by max(sum + epsilon, minimumSum).
  bool renormalize = false;
  double epsilon = 0.0;
  double minimumSum = 0.0;
  /// Multiplies the weights, last.
  double scale = 1.0;
};

/// ids [T, k] i32 and weights [T, k] f32 from logits [T, E] f32. With
/// `correctionBias` [E] f32, experts and groups are chosen by score + bias, and
/// weights come from the scores alone. The k experts are in falling order of
/// their choice scores; ties go to the smaller id, and NaN compares as -inf.
/// Experts outside the chosen groups are not chosen. Where fewer than k experts
/// are left, the remaining slots get id -1 and weight 0. E may be dynamic.
///
/// With EPLB's maps `logicalToPhysical` [E, R + 1] i32 and `replicaCount` [E]
/// i32, ids are physical: the replica of expert e for the token in row t is
/// number ((t * 2654435769) mod 2^32) mod replicaCount[e]. With `firstRow`, an
/// index, t is the row + firstRow.
struct RouteOperands {
  mlir::Value logits;
  mlir::Value correctionBias; ///< Optional.
  mlir::Value ids, weights;
  mlir::Value logicalToPhysical = {}, replicaCount = {}; ///< Optional.
  mlir::Value firstRow = {};                             ///< Optional.
};

/// load [P] i32: load[p] is how many of ids [T, k] i32 are p. Ids that are
/// negative or not below P are not counted.
struct ExpertLoadOperands {
  mlir::Value ids;
  mlir::Value load;
};

//===----------------------------------------------------------------------===//
// Routed experts
//===----------------------------------------------------------------------===//

/// The plan that sorts pairs by expert, stable in (token, slot) order, from
/// ids [T, k] i32. A pair whose id is negative or not below E is left out.
///   expertOffsets [E + 1] i32: rows of expert e are [offsets[e], offsets[e+1])
///   sourceRows [P] i32: the token of each sorted pair; -1 after the last
///   pairRows [T, k] i32: where each pair was sorted to; -1 if left out
/// E + 1 may be dynamic. P is below 2^31.
///
/// With `expertMap` [N] i32, ids are those of N experts of which E are here:
/// expert i is number expertMap[i] here, or nowhere if that is negative.
struct DispatchPlanOperands {
  mlir::Value ids;
  mlir::Value expertOffsets, sourceRows, pairRows;
  mlir::Value expertMap = {}; ///< Optional.
};

/// Which of `ranks` ranks owns which of `numExperts` experts. Linear: ranks own
/// consecutive experts, those below the remainder one more than the others.
/// Round robin: expert e belongs to rank e mod ranks.
struct PlacementParams {
  int64_t numExperts = 0;
  int64_t ranks = 1;
  bool roundRobin = false;
};

/// map [N] i32: the number that expert i has on rank `rank` (an index), or -1
/// where another rank owns it. One program serves all ranks, so the rank is a
/// value.
struct ExpertMapOperands {
  mlir::Value rank;
  mlir::Value map;
};

/// What a rank sends by counts: each token once to every rank that has one of
/// its experts. From ids [T, k] i32, with n ranks:
///   counts [n] i32: tokens for each rank
///   rows [S] i32: the tokens in the order of ranks, then tokens; -1 behind
///   positions [T, k] i32: where in `rows` the token goes to a choice's rank;
///   -1 where that has no rank or is the rank of an earlier choice
/// S is at least T * min(k, n).
struct SendPlanOperands {
  mlir::Value ids;
  mlir::Value counts, rows, positions;
};

/// What a rank sends with fixed capacity: for each expert, in the order of
/// ranks, `capacity` rows, of which some are in use. From ids and weights
/// [T, k]:
///   counts [N] i32: rows in use of each expert
///   rows [N * capacity] i32: the token of each row; -1 where it is not in use
///   rowWeights [N * capacity, 1] f32: its weight, or the sum of its weights
///   if it chooses the expert several times
///   positions [T, k] i32: the row of each choice, or -1; of an expert chosen
///   several times, of the first
/// T is at most `capacity`, so that nothing is left out.
struct BatchedSendPlanOperands {
  mlir::Value ids, weights;
  mlir::Value counts, rows, rowWeights, positions;
};

/// The plan for rows that came with fixed capacity, from n ranks for E experts:
/// counts [n * E] i32 says how many of the `capacity` rows of (rank, expert)
/// are in use. The plan is that of DispatchPlanOperands, with k = 1.
struct BatchedPlanOperands {
  mlir::Value counts;
  mlir::Value expertOffsets, sourceRows, pairRows;
};

/// to [S, A]: row s is row rows[s] of from [T, A]; rows whose number is
/// negative are not written.
struct GatherRowsOperands {
  mlir::Value from, rows;
  mlir::Value to;
};

/// The nonlinearity of an expert, on gate g and (if gated) up u.
enum class Activation {
  SiLU,      ///< silu(g) * u
  GELU,      ///< gelu(g) * u, exact (erf)
  GELUTanh,  ///< gelu(g) * u, tanh form
  SwiGLUOAI, ///< (u' + 1) * g' * sigmoid(alpha * g'), g' = min(g, limit),
             ///< u' = clamp(u, -limit, limit); always gated
  ReLU2      ///< relu(g)^2 (* u)
};

struct ActivationParams {
  Activation activation = Activation::SiLU;
  /// Not gated: the first weight has I rows per expert instead of 2 * I.
  bool gated = true;
  /// Row 2i is gate i and row 2i + 1 is up i, instead of all gates first.
  bool interleaved = false;
  double alpha = 1.702;
  double limit = 7.0;
};

/// The MLPs of the routed experts on the rows of a dispatch plan:
///   rows [R, H]; sorted pair p reads row sourceRows[p]
///   w13 [E, 2I, H] ([E, I, H] if not gated), w2 [E, H, I]
///   b13 [E, 2I] ([E, I]) and b2 [E, H], optional
///   inputWeight [R, 1] f32: optional, multiplies a row before the first GEMM
///   out [P, H]: row p is sorted pair p; rows after the last are not written
/// E may be dynamic. Only experts that are hit are read.
struct ExpertsOperands {
  mlir::Value rows, expertOffsets, sourceRows, w13, w2;
  mlir::Value b13, b2, inputWeight; ///< Optional.
  mlir::Value out;
};

/// routed [T, H]: token t gets scale * sum over its slots j, in order, of
/// weights[t, j] * expertOut[pairRows[t, j]]; slots with row -1 add nothing.
/// expertOut [P, H], pairRows [T, k] i32, weights [T, k] f32; without weights
/// all are 1.
struct CombineOperands {
  mlir::Value expertOut, pairRows;
  mlir::Value weights; ///< Optional.
  mlir::Value routed;
};

//===----------------------------------------------------------------------===//
// Dense phases
//===----------------------------------------------------------------------===//

/// shared [T, H]: the MLP that every token passes through.
///   x [T, H], w13 [2S, H] ([S, H] if not gated), w2 [H, S]
///   gate [1, H]: optional, scales a token's result by sigmoid(x * gate^T)
struct SharedExpertsOperands {
  mlir::Value x, w13, w2;
  mlir::Value gate; ///< Optional.
  mlir::Value shared;
};

/// y [T, B] = x [T, A] * weight [B, A]^T.
struct ProjectOperands {
  mlir::Value x, weight;
  mlir::Value y;
};

/// y [T, H] = routed [T, H] (+ shared [T, H]). With x [T, H], ids [T, k] i32
/// and weights [T, k] f32, zero experts contribute the token itself: x[t] times
/// zeroScale times the weights of the slots whose id is at least
/// firstZeroExpert, added in the order of slots.
struct MergeOperands {
  mlir::Value routed;
  mlir::Value shared; ///< Optional.
  mlir::Value y;
  mlir::Value x = {}, ids = {}, weights = {}; ///< Optional, together.
  int64_t firstZeroExpert = 0;
  double zeroScale = 1.0;
  /// Where the target can fuse the two: the combine whose f32 sums are
  /// `routed`. Here and there `routed` is null then, and the result is bitwise
  /// the same.
  std::optional<CombineOperands> combine = {};
  double combineScale = 1.0;
};

} // namespace moe::codegen

#endif // MOE_MLIR_CODEGEN_PHASES_H
