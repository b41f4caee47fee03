//===- Traffic.h - What ranks have got from each other ----------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOERT_COMMON_TRAFFIC_H
#define MOERT_COMMON_TRAFFIC_H

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace moert {

/// Bytes that a rank's collectives took from each other rank. They follow from
/// what the collectives are; how a library moves them is its own affair.
class Traffic {
public:
  explicit Traffic(int32_t numRanks)
      : bytes(static_cast<std::size_t>(numRanks)) {}

  /// Called on streams' threads.
  void add(int32_t rank, int64_t count) { bytes[std::size_t(rank)] += count; }

  int32_t numRanks() const { return int32_t(bytes.size()); }
  int64_t from(int32_t rank) const { return bytes[std::size_t(rank)]; }

private:
  std::vector<std::atomic<int64_t>> bytes;
};

} // namespace moert

#endif // MOERT_COMMON_TRAFFIC_H
