//===- RankLayout.h - How ranks share a layer -------------------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_RUN_RANKLAYOUT_H
#define MOE_MLIR_RUN_RANKLAYOUT_H

#include "moe-mlir/Policy/ExpertPlacement.h"
#include "moe-mlir/Run/Descriptor.h"

namespace moe::run {

/// How an artefact's ranks share tokens and weights, as its descriptor says.
struct RankLayout {
  int64_t tp = 1, pcp = 1, dp = 1;
  bool usesExpertParallel = false;
  bool isSequenceParallel = false;
  bool shardsSharedExperts = false;
  bool hasEplb = false;
  int64_t redundantExperts = 0;
  PlacementKind placement = PlacementKind::linear;

  int64_t numRanks() const { return tp * pcp * dp; }
  /// The rank that holds the rows of `rank`: tensor-parallel ranks hold equal
  /// ones, unless each has a slice.
  int64_t rowsOf(int64_t rank) const {
    return isSequenceParallel ? rank : rank / tp * tp;
  }
};

/// The layout of a descriptor's ranks; of one rank, that of one rank.
Result<RankLayout> readLayout(const Descriptor &descriptor);

/// Tokens of each rank [numRanks] when `rows` are dealt out evenly. What cannot
/// be divided among ranks of pcp is left.
std::vector<int64_t> dealRows(const RankLayout &layout, int64_t rows);

/// Whether these can be the tokens of the ranks: one number for each, equal
/// where ranks hold the same tokens or slices of equal length.
Status checkShares(const RankLayout &layout,
                   const std::vector<int64_t> &tokens);

/// Whether the artefact takes so many tokens on each rank.
Status checkTokensPerRank(const Descriptor &descriptor,
                          const std::vector<int64_t> &tokens);

/// Rows of all ranks, those of equal ranks once.
int64_t countRows(const RankLayout &layout, const std::vector<int64_t> &tokens);

/// Where the rows of `rank` begin among those of all ranks.
int64_t findFirstRow(const RankLayout &layout,
                     const std::vector<int64_t> &tokens, int64_t rank);

} // namespace moe::run

#endif // MOE_MLIR_RUN_RANKLAYOUT_H
