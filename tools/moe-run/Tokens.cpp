//===- Tokens.cpp - How many tokens a run has -----------------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Tokens.h"

#include "moe-mlir/Support/Format.h"

#include <algorithm>

using namespace moe;
using namespace moe::run;
using namespace moe::tools;

/// Where nothing says how many.
static int64_t getDefault(const RunOptions &options,
                          const Descriptor &descriptor) {
  constexpr int64_t few = 16, calibration = 512;
  if (descriptor.staticNumTokens)
    return *descriptor.staticNumTokens;
  const int64_t count = options.calibrate ? calibration : few;
  return std::min(count, descriptor.maxNumTokens.value_or(count));
}

/// What is known of one rank's rows has their flag or file to blame.
static Status findRows(const RunOptions &options, const Descriptor &descriptor,
                       std::optional<int64_t> fileRows, int64_t &rows) {
  if (fileRows && options.numTokens && *fileRows != *options.numTokens)
    return badInput(
        format("--num-tokens: expected the %lld rows of '%s' but got %lld",
               static_cast<long long>(*fileRows), options.input.c_str(),
               static_cast<long long>(*options.numTokens)));
  rows = fileRows ? *fileRows
                  : options.numTokens.value_or(getDefault(options, descriptor));
  return checkTokens(descriptor, rows,
                     fileRows ? "'" + options.input + "'" : "--num-tokens");
}

Status moe::tools::findTokens(const RunOptions &options,
                              const Descriptor &descriptor,
                              const RankLayout &layout,
                              std::optional<int64_t> fileRows,
                              std::vector<int64_t> &tokens) {
  const int64_t ranks = layout.numRanks();
  if (ranks == 1)
    return findRows(options, descriptor, fileRows, tokens.emplace_back());
  if (!options.tokensPerRank.empty())
    tokens = options.tokensPerRank;
  else if (options.numTokens || !fileRows)
    tokens.assign(size_t(ranks),
                  options.numTokens.value_or(getDefault(options, descriptor)));
  else
    tokens = dealRows(layout, *fileRows);
  MOE_TRY(checkShares(layout, tokens).withPrefix("--tokens-per-rank: "));
  MOE_TRY(checkTokensPerRank(descriptor, tokens));
  if (fileRows && countRows(layout, tokens) != *fileRows)
    return badInput(format(
        "expected the %lld rows of '%s' to be those of all ranks but these "
        "have %lld",
        static_cast<long long>(*fileRows), options.input.c_str(),
        static_cast<long long>(countRows(layout, tokens))));
  return {};
}
