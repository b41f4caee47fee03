//===- Shard.cpp - A rank's part of a tensor ------------------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moe-mlir/Reference/Shard.h"

using namespace moe;

namespace {
/// Copies the cross product of ranges of each dimension, in order.
class Copier {
public:
  Copier(const HostTensor &whole, std::vector<std::vector<IndexRange>> ranges)
      : dims(whole.shape()), ranges(std::move(ranges)),
        strides(dims.size() + 1, dtypeBytes(whole.dtype())) {
    for (size_t dim = dims.size(); dim-- > 0;)
      strides[dim] = strides[dim + 1] * dims[dim];
    // Dimensions from `first` on are taken as they are, and move at once.
    first = dims.size();
    while (first > 0 && isWhole(first - 1))
      --first;
  }

  std::vector<int64_t> shape() const {
    std::vector<int64_t> sizes(dims.size(), 0);
    for (size_t dim = 0; dim < dims.size(); ++dim)
      for (IndexRange range : ranges[dim])
        sizes[dim] += range.count;
    return sizes;
  }

  /// Returns where `to` ends.
  char *copy(const char *from, char *to, size_t dim = 0) const {
    const size_t inner = dim < dims.size() ? strides[dim + 1] : 0;
    if (dim >= first)
      return put(from, to, strides[dim]);
    for (IndexRange range : ranges[dim])
      if (dim + 1 >= first)
        to = put(from + range.first * inner, to, range.count * inner);
      else
        for (int64_t i = 0; i < range.count; ++i)
          to = copy(from + (range.first + i) * inner, to, dim + 1);
    return to;
  }

private:
  bool isWhole(size_t dim) const {
    int64_t next = 0;
    for (IndexRange range : ranges[dim]) {
      if (range.first != next)
        return false;
      next += range.count;
    }
    return next == dims[dim];
  }

  static char *put(const char *from, char *to, size_t bytes) {
    std::memcpy(to, from, bytes);
    return to + bytes;
  }

  const std::vector<int64_t> &dims;
  std::vector<std::vector<IndexRange>> ranges;
  std::vector<size_t> strides; // Of an index, in bytes; the last: an element.
  size_t first;
};
} // namespace

HostTensor moe::takeShare(const HostTensor &whole, const LayerSpec &spec,
                          const RankShares &shares,
                          const std::vector<int64_t> &experts) {
  const TensorInfo *info = findTensor(whole.name());
  std::vector<std::vector<IndexRange>> ranges;
  for (size_t dim = 0; dim < whole.shape().size(); ++dim) {
    std::vector<IndexRange> &list = ranges.emplace_back();
    switch (info ? getSharding(info->axes[dim]) : Sharding::None) {
    case Sharding::None:
    case Sharding::Rows:
      list.push_back({0, whole.shape()[dim]});
      break;
    case Sharding::Experts:
      for (int64_t expert : experts)
        list.push_back({expert, 1});
      break;
    case Sharding::Width:
    case Sharding::SharedWidth:
      list = getLocalRanges(info->axes[dim], spec, {}, shares);
      break;
    }
  }
  const Copier copier(whole, std::move(ranges));
  HostTensor part(whole.name(), whole.dtype(), copier.shape());
  if (info && info->isAddedOnce() && shares.width.index != 0)
    std::memset(part.data(), 0, size_t(part.numBytes()));
  else
    copier.copy(static_cast<const char *>(whole.data()), part.as<char>());
  return part;
}
