//===- Ranks.h - What each rank holds ---------------------------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_TOOLS_MOERUN_RANKS_H
#define MOE_MLIR_TOOLS_MOERUN_RANKS_H

#include "Inputs.h"
#include "moe-mlir/Policy/ExpertPlacement.h"

namespace moe::tools {

/// How an artefact's ranks share tokens and weights, as its descriptor says.
struct RankLayout {
  int64_t tp = 1, pcp = 1, dp = 1;
  bool usesExpertParallel = false;
  bool isSequenceParallel = false;
  bool shardsSharedExperts = false;
  bool hasEplb = false;
  int64_t redundantExperts = 0;
  policy::ExpertPlacementStrategy placement =
      policy::ExpertPlacementStrategy::Linear;

  int64_t numRanks() const { return tp * pcp * dp; }
  /// The rank that holds the rows of `rank`: tensor-parallel ranks hold equal
  /// ones, unless each has a slice.
  int64_t rowsOf(int64_t rank) const {
    return isSequenceParallel ? rank : rank / tp * tp;
  }
};

Outcome readLayout(const Descriptor &descriptor, RankLayout &layout);

/// The tokens of each rank, by --tokens-per-rank, --num-tokens (so many on each
/// rank) or the rows of a file, which are dealt out evenly.
Outcome findTokensPerRank(const RunOptions &options,
                          const Descriptor &descriptor,
                          const RankLayout &layout,
                          std::optional<int64_t> fileRows,
                          std::vector<int64_t> &tokens);

/// Rows of all ranks, those of equal ranks once.
int64_t countRows(const RankLayout &layout, const std::vector<int64_t> &tokens);

/// Where the rows of `rank` begin among those of all ranks.
int64_t findFirstRow(const RankLayout &layout,
                     const std::vector<int64_t> &tokens, int64_t rank);

/// The inputs of one rank, cut out of those of the whole layer, whose rows are
/// the ranks' one after the other.
Inputs takeRankInputs(const Inputs &whole, const LayerSpec &layer,
                      const RankLayout &layout,
                      const std::vector<int64_t> &tokens, int64_t rank);

} // namespace moe::tools

#endif // MOE_MLIR_TOOLS_MOERUN_RANKS_H
