//===- Choices.h - Choices of experts, and who has which --------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_UNITTESTS_CODEGEN_CUDA_CHOICES_H
#define MOE_MLIR_UNITTESTS_CODEGEN_CUDA_CHOICES_H

#include "Testing/CUDA/Tensor.h"

#include <algorithm>
#include <random>

namespace moe::codegen::cuda::test {

/// Which rank has which expert.
struct Placement {
  int64_t experts, ranks;
  bool isRoundRobin;

  /// The experts of a rank, by their numbers there.
  std::vector<int64_t> expertsOf(int64_t rank) const {
    std::vector<int64_t> all;
    int64_t least = experts / ranks, larger = experts % ranks;
    for (int64_t expert = 0; expert < experts; ++expert) {
      int64_t owner = isRoundRobin ? expert % ranks
                      : expert < larger * (least + 1)
                          ? expert / (least + 1)
                          : (expert - larger) / least;
      if (owner == rank)
        all.push_back(expert);
    }
    return all;
  }
  /// The number that an expert has on a rank, or -1.
  int64_t numberOf(int64_t expert, int64_t rank) const {
    std::vector<int64_t> all = expertsOf(rank);
    auto found = std::find(all.begin(), all.end(), expert);
    return found == all.end() ? -1 : found - all.begin();
  }
  int64_t ownerOf(int64_t expert) const {
    for (int64_t rank = 0; rank < ranks; ++rank)
      if (numberOf(expert, rank) >= 0)
        return rank;
    return -1;
  }
  std::string text() const {
    return "placement(<experts = " + std::to_string(experts) +
           ", ranks = " + std::to_string(ranks) +
           (isRoundRobin ? ", kind = round_robin" : "") + ">)";
  }
};

/// Choices of tokens, some of which have none; distinct unless
/// `hasDuplicates`.
inline Tensor choices(std::mt19937 &random, int64_t tokens, int64_t slots,
                      int64_t experts, bool hasDuplicates = false) {
  Tensor ids(Element::I32, {tokens, slots});
  for (int64_t token = 0; token < tokens; ++token)
    for (int64_t slot = 0; slot < slots; ++slot) {
      auto isTaken = [&](int64_t id) {
        for (int64_t other = 0; other < slot; ++other)
          if (ids.get(token, other) == id)
            return true;
        return false;
      };
      int64_t id = static_cast<int64_t>(random() % (experts + 1)) - 1;
      if (!hasDuplicates && isTaken(id))
        id = -1;
      ids.set(token * slots + slot, static_cast<double>(id));
    }
  return ids;
}

} // namespace moe::codegen::cuda::test

#endif // MOE_MLIR_UNITTESTS_CODEGEN_CUDA_CHOICES_H
