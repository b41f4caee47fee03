//===- Sharder.h - A rank's share of the inputs -----------------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_RUN_SHARDER_H
#define MOE_MLIR_RUN_SHARDER_H

#include "moe-mlir/Run/Inputs.h"
#include "moe-mlir/Run/RankLayout.h"

namespace moe::run {

/// The inputs of one rank, cut out of those of the whole layer, whose rows are
/// the ranks' one after the other.
Inputs takeRankInputs(const Inputs &whole, const LayerSpec &layer,
                      const RankLayout &layout,
                      const std::vector<int64_t> &tokens, int64_t rank);

} // namespace moe::run

#endif // MOE_MLIR_RUN_SHARDER_H
