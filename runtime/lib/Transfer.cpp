//===- Transfer.cpp - Weights that change their rank ----------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Transfer.h"

#include "../common/Error.h"

#include <algorithm>
#include <cstring>

using namespace moert;

//===----------------------------------------------------------------------===//
// Between ranks of one process
//===----------------------------------------------------------------------===//

std::string moert::describe(const TransferList &list) {
  return format("'transfer' (%zu blocks)", list.transfers.size());
}

static std::string textOf(const moert_transfer &transfer) {
  return format("%zu bytes from rank %d to rank %d", transfer.bytes,
                transfer.from_rank, transfer.to_rank);
}

/// How the lists of two ranks differ; "" if they do not.
static std::string compare(const TransferList &mine, int32_t rank,
                           const TransferList &other, int32_t otherRank) {
  if (other.transfers.size() != mine.transfers.size())
    return format("rank %d has %zu transfers, expected %zu, as rank %d",
                  otherRank, other.transfers.size(), mine.transfers.size(),
                  rank);
  for (size_t i = 0; i < mine.transfers.size(); ++i) {
    std::string expected = textOf(mine.transfers[i]),
                found = textOf(other.transfers[i]);
    if (found != expected)
      return format("transfer %zu of rank %d is %s, expected %s, as rank %d", i,
                    otherRank, found.c_str(), expected.c_str(), rank);
  }
  return "";
}

std::string moert::takeTransfers(const std::vector<const Contribution *> &all,
                                 const std::vector<int32_t> &ranks,
                                 int32_t member) {
  const TransferList &mine = *all[member]->transfers;
  for (size_t i = 0; i < all.size(); ++i) {
    std::string fault =
        compare(mine, ranks[member], *all[i]->transfers, ranks[i]);
    if (!fault.empty())
      return fault;
  }
  for (size_t i = 0; i < mine.transfers.size(); ++i) {
    const moert_transfer &transfer = mine.transfers[i];
    if (transfer.to_rank != ranks[member] || transfer.bytes == 0)
      continue;
    const void *from = all[transfer.from_rank]->transfers->transfers[i].send;
    std::memcpy(transfer.receive, from, transfer.bytes);
  }
  return "";
}

//===----------------------------------------------------------------------===//
// Checks
//===----------------------------------------------------------------------===//

namespace {
/// Memory of one rank that a list names.
struct Range {
  uintptr_t begin, end;
  bool isReceived;
  int64_t transfer;
};
} // namespace

std::string moert::findTransferFault(const moert_transfer *transfers,
                                     int64_t count, int32_t rank,
                                     int32_t numRanks) {
  std::vector<Range> ranges;
  for (int64_t i = 0; i < count; ++i) {
    const moert_transfer &transfer = transfers[i];
    const std::string name =
        format("transfer %lld (", static_cast<long long>(i)) +
        textOf(transfer) + ")";
    for (int32_t other : {transfer.from_rank, transfer.to_rank})
      if (other < 0 || other >= numRanks)
        return name +
               format(" names rank %d, expected 0 to %d", other, numRanks - 1);
    if (transfer.bytes == 0)
      continue;
    auto add = [&](int32_t owner, const void *memory, bool isReceived) {
      const auto begin = reinterpret_cast<uintptr_t>(memory);
      if (owner == rank)
        ranges.push_back({begin, begin + transfer.bytes, isReceived, i});
      return owner != rank || memory;
    };
    if (!add(transfer.from_rank, transfer.send, false))
      return name + " has null to send";
    if (!add(transfer.to_rank, transfer.receive, true))
      return name + " has null to receive to";
  }
  std::sort(ranges.begin(), ranges.end(),
            [](const Range &a, const Range &b) { return a.begin < b.begin; });
  // Of the ranges so far, those that reach furthest.
  const Range *last = nullptr, *lastReceived = nullptr;
  for (const Range &range : ranges) {
    const Range *met = range.isReceived ? last : lastReceived;
    if (met && met->end > range.begin)
      return format(
          "transfers %lld and %lld overlap in memory of rank %d where "
          "something is received",
          static_cast<long long>(met->transfer),
          static_cast<long long>(range.transfer), rank);
    if (!last || range.end > last->end)
      last = &range;
    if (range.isReceived && (!lastReceived || range.end > lastReceived->end))
      lastReceived = &range;
  }
  return "";
}
