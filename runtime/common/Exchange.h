//===- Exchange.h - What a program exchanges --------------------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOERT_COMMON_EXCHANGE_H
#define MOERT_COMMON_EXCHANGE_H

#include "moert/moert.h"

#include <string>
#include <vector>

namespace moert {

/// The ranks of a communicator in a group: first, first + stride, ...
struct Membership {
  int32_t first = 0;
  int32_t stride = 1;
  int32_t size = 1;
  int32_t member = 0; // This rank's place among them.

  int32_t rankOf(int32_t other) const { return first + other * stride; }
  bool operator==(const Membership &other) const {
    return first == other.first && stride == other.stride &&
           size == other.size && member == other.member;
  }
};

/// The place of `rank` in all communicators of a layer's program, in a group of
/// `numRanks`. Returns "", or why the group cannot have them.
std::string findMemberships(const moert_signature &signature, int32_t rank,
                            int32_t numRanks, std::vector<Membership> &members);

/// "'dispatch' (all_gather, step 0 of 'layer') on communicator 'ep'".
std::string describe(const moert_exchange &exchange, const char *layer,
                     int32_t step);

bool hasCounts(const moert_collective &collective);

/// The tokens of one of `parts` parts of them; 0 and 1 parts are all of them.
inline int64_t countPart(int64_t tokens, int32_t part, int32_t parts) {
  return parts > 1 ? (tokens + parts - 1 - part) / parts : tokens;
}

/// The rows that a rank with so many tokens brings to, or takes from, an
/// all-gather or reduce-scatter.
int64_t countOwnRows(const moert_collective &collective, int64_t tokens);

/// What must be alike on all ranks of a program.
struct ProgramText {
  explicit ProgramText(const moert_exchange &exchange);
  /// Reads what `write` has written.
  explicit ProgramText(const std::string &text);

  std::string write() const;

  uint64_t hash = 0;
  std::string grid; ///< The ranks, as text.
  std::vector<std::string> steps;
};

/// Both hashes and the first difference of two ranks' programs.
std::string explainDifference(const ProgramText &here, int32_t rankHere,
                              const ProgramText &there, int32_t rankThere);

} // namespace moert

#endif // MOERT_COMMON_EXCHANGE_H
