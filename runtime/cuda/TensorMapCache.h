//===- TensorMapCache.h - Encoded tensor maps -------------------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOERT_CUDA_TENSORMAPCACHE_H
#define MOERT_CUDA_TENSORMAPCACHE_H

#include "../common/Device.h"
#include "Driver.h"

#include <array>
#include <memory>
#include <vector>

namespace moert {

/// Tensor maps by what they were asked for. They stay where they are at least
/// until the next call; a cache that has grown large is emptied between calls,
/// as callers whose buffers move ask for ever new ones. Allocates only while
/// it grows.
class TensorMapCache {
public:
  explicit TensorMapCache(const Driver &driver) : driver(driver) {}

  /// Between calls.
  void beginCall();

  moert_status find(const TensorMapRequest &request, const CUtensorMap *&map,
                    std::string &error);

private:
  static constexpr int32_t maxRank = 5;

  /// Compared and hashed by its bytes, so it has no gaps.
  struct Key {
    const void *address;
    int64_t extents[maxRank];
    int64_t box[maxRank];
    int32_t dtype, rank, swizzle, unused;
  };
  static_assert(sizeof(Key) == sizeof(void *) + 10 * 8 + 16);

  struct Entry {
    CUtensorMap map;
    Key key;
  };
  static constexpr size_t chunkSize = 64;
  using Chunk = std::array<Entry, chunkSize>;

  /// How many entries outlive a call.
  static constexpr size_t maxKept = 1024;

  Entry &entry(size_t index) const {
    return (*chunks[index / chunkSize])[index % chunkSize];
  }
  /// Where in the table the key is, or where it belongs.
  size_t findPlace(const Key &key) const;
  void growTable();

  const Driver &driver;
  std::vector<std::unique_ptr<Chunk>> chunks;
  size_t count = 0;
  /// By hash: an entry's index plus 1, or 0. At most half full.
  std::vector<uint32_t> table;
};

} // namespace moert

#endif // MOERT_CUDA_TENSORMAPCACHE_H
