//===- Collective.cpp - What ranks hand to each other ---------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Collective.h"

#include "../common/Error.h"
#include "Transfer.h"

#include "moert/Float.h"

#include <algorithm>
#include <cstring>

using namespace moert;

std::string moert::describe(const Contribution &contribution) {
  if (contribution.transfers)
    return describe(*contribution.transfers);
  return describe(*contribution.exchange, contribution.layer,
                  contribution.step);
}

//===----------------------------------------------------------------------===//
// Checks
//===----------------------------------------------------------------------===//

namespace {
/// One collective, seen by one of its ranks.
class Exchange {
public:
  Exchange(const std::vector<const Contribution *> &all,
           const std::vector<int32_t> &ranks, int32_t member)
      : all(all), ranks(ranks), member(member), mine(*all[member]),
        collective(mine.collective()), size(int32_t(all.size())) {}

  std::string check() const;
  void take() const;

private:
  std::string checkRows(int32_t buffer) const;
  std::string checkBlocks(int32_t buffer) const;
  /// Rows of the block that `from` sends to `to`, and rows before it.
  int64_t blockRows(int32_t from, int32_t to, int32_t buffer) const;
  int64_t firstRow(int32_t from, int32_t to, int32_t buffer) const;
  /// Rows that this rank takes from another one.
  int64_t takenRows(int32_t from, int32_t buffer) const;
  void countTraffic() const;
  size_t rowBytes(int32_t buffer) const {
    return size_t(collective.columns[buffer]) *
           size_t((collective.dtypes[buffer] & 0xff) / 8);
  }
  void gather(int32_t buffer) const;
  void sum(int32_t buffer, int64_t firstRow) const;
  void takeBlocks(int32_t buffer) const;

  const std::vector<const Contribution *> &all;
  const std::vector<int32_t> &ranks;
  const int32_t member;
  const Contribution &mine;
  const moert_collective &collective;
  const int32_t size;
};
} // namespace

std::string Exchange::check() const {
  for (int32_t i = 0; i < size; ++i) {
    const Contribution &other = *all[i];
    if (other.exchange->hash != mine.exchange->hash)
      return explainDifference(ProgramText(*mine.exchange), ranks[member],
                               ProgramText(*other.exchange), ranks[i]);
    if (other.step != mine.step)
      return format("rank %d is at step %d, expected %d, as rank %d", ranks[i],
                    other.step, mine.step, ranks[member]);
  }
  for (int32_t buffer = 0; buffer < collective.num_buffers; ++buffer) {
    std::string fault = collective.kind == MOERT_ALL_TO_ALL
                            ? checkBlocks(buffer)
                            : checkRows(buffer);
    if (!fault.empty())
      return fault;
  }
  return "";
}

std::string Exchange::checkRows(int32_t buffer) const {
  const moert_collective_data &data = mine.data[buffer];
  int64_t sum = 0;
  for (int32_t i = 0; i < size; ++i) {
    const moert_collective_data &other = all[i]->data[buffer];
    if (collective.kind == MOERT_ALL_REDUCE &&
        other.send_rows != data.receive_rows)
      return format("rank %d brings %lld rows, expected %lld, as rank %d",
                    ranks[i], static_cast<long long>(other.send_rows),
                    static_cast<long long>(data.receive_rows), ranks[member]);
    sum += collective.kind == MOERT_ALL_GATHER ? other.send_rows
                                               : other.receive_rows;
  }
  int64_t whole =
      collective.kind == MOERT_ALL_GATHER ? data.receive_rows : data.send_rows;
  if (collective.kind == MOERT_ALL_REDUCE || sum == whole)
    return "";
  std::string rows;
  for (int32_t i = 0; i < size; ++i)
    rows +=
        format("%s%lld of rank %d", i ? ", " : "",
               static_cast<long long>(collective.kind == MOERT_ALL_GATHER
                                          ? all[i]->data[buffer].send_rows
                                          : all[i]->data[buffer].receive_rows),
               ranks[i]);
  return format("rank %d expected %lld rows of all ranks, as its "
                "tokens_per_rank says, but they have %s",
                ranks[member], static_cast<long long>(whole), rows.c_str());
}

int64_t Exchange::blockRows(int32_t from, int32_t to, int32_t buffer) const {
  if (hasCounts(collective))
    return all[from]->sendCounts[to];
  if (!collective.blocks)
    return all[from]->data[buffer].send_rows / size;
  bool bySource = collective.flags & MOERT_COLLECTIVE_BLOCKS_BY_SOURCE;
  return collective.blocks[bySource ? from : to];
}

int64_t Exchange::firstRow(int32_t from, int32_t to, int32_t buffer) const {
  int64_t first = 0;
  for (int32_t i = 0; i < to; ++i)
    first += blockRows(from, i, buffer);
  return first;
}

std::string Exchange::checkBlocks(int32_t buffer) const {
  const moert_collective_data &data = mine.data[buffer];
  int64_t sent = 0, received = 0;
  for (int32_t i = 0; i < size; ++i) {
    int64_t rows = blockRows(i, member, buffer);
    if (rows < 0 || (hasCounts(collective) && rows != mine.receiveCounts[i]))
      return format("rank %d sends %lld rows to rank %d, which expected %lld",
                    ranks[i], static_cast<long long>(rows), ranks[member],
                    static_cast<long long>(
                        hasCounts(collective) ? mine.receiveCounts[i] : 0));
    // Counts that lie must not lead out of another rank's memory.
    if (firstRow(i, member, buffer) + rows > all[i]->data[buffer].send_rows)
      return format("rank %d sends %lld rows to rank %d, which are not all in "
                    "its buffer of %lld",
                    ranks[i], static_cast<long long>(rows), ranks[member],
                    static_cast<long long>(all[i]->data[buffer].send_rows));
    received += rows;
    sent += blockRows(member, i, buffer);
  }
  if (sent > data.send_rows || received > data.receive_rows)
    return format("rank %d sends %lld rows of %lld and receives %lld in %lld",
                  ranks[member], static_cast<long long>(sent),
                  static_cast<long long>(data.send_rows),
                  static_cast<long long>(received),
                  static_cast<long long>(data.receive_rows));
  return "";
}

//===----------------------------------------------------------------------===//
// Rows
//===----------------------------------------------------------------------===//

static void copyRows(void *to, const void *from, size_t bytes) {
  if (bytes > 0)
    std::memcpy(to, from, bytes);
}

void Exchange::gather(int32_t buffer) const {
  auto *to = static_cast<char *>(mine.data[buffer].receive);
  for (int32_t i = 0; i < size; ++i) {
    const moert_collective_data &from = all[i]->data[buffer];
    size_t bytes = size_t(from.send_rows) * rowBytes(buffer);
    copyRows(to, from.send, bytes);
    to += bytes;
  }
}

void Exchange::takeBlocks(int32_t buffer) const {
  auto *to = static_cast<char *>(mine.data[buffer].receive);
  for (int32_t i = 0; i < size; ++i) {
    auto *from = static_cast<const char *>(all[i]->data[buffer].send);
    size_t bytes = size_t(blockRows(i, member, buffer)) * rowBytes(buffer);
    copyRows(to, from + size_t(firstRow(i, member, buffer)) * rowBytes(buffer),
             bytes);
    to += bytes;
  }
}

static float loadFloat(int32_t dtype, const void *values, int64_t index) {
  if (dtype == (kDLFloat << 8 | 32))
    return static_cast<const float *>(values)[index];
  uint16_t bits = static_cast<const uint16_t *>(values)[index];
  return dtype >> 8 == kDLBfloat ? bfloat16ToFloat(bits) : float16ToFloat(bits);
}

static void storeFloat(int32_t dtype, void *values, int64_t index,
                       float value) {
  if (dtype == (kDLFloat << 8 | 32))
    static_cast<float *>(values)[index] = value;
  else
    static_cast<uint16_t *>(values)[index] = dtype >> 8 == kDLBfloat
                                                 ? floatToBfloat16(value)
                                                 : floatToFloat16(value);
}

/// The sum of all ranks' rows from `firstRow` on.
void Exchange::sum(int32_t buffer, int64_t firstRow) const {
  const moert_collective_data &data = mine.data[buffer];
  const int32_t dtype = collective.dtypes[buffer];
  int64_t first = firstRow * collective.columns[buffer];
  int64_t count = data.receive_rows * collective.columns[buffer];
  // A piece of the sum stays in the first-level cache.
  constexpr int64_t pieceSize = 1024;
  float piece[pieceSize];
  for (int64_t begin = 0; begin < count; begin += pieceSize) {
    int64_t end = std::min(count, begin + pieceSize);
    std::fill(piece, piece + (end - begin), 0.0f);
    for (int32_t i = 0; i < size; ++i)
      for (int64_t j = begin; j < end; ++j)
        piece[j - begin] +=
            loadFloat(dtype, all[i]->data[buffer].send, first + j);
    for (int64_t j = begin; j < end; ++j)
      storeFloat(dtype, data.receive, j, piece[j - begin]);
  }
}

int64_t Exchange::takenRows(int32_t from, int32_t buffer) const {
  if (collective.kind == MOERT_ALL_GATHER)
    return all[from]->data[buffer].send_rows;
  if (collective.kind == MOERT_ALL_TO_ALL)
    return blockRows(from, member, buffer);
  return mine.data[buffer].receive_rows;
}

void Exchange::countTraffic() const {
  for (int32_t i = 0; i < size; ++i)
    for (int32_t buffer = 0; buffer < collective.num_buffers; ++buffer)
      if (i != member)
        mine.traffic->add(ranks[i],
                          takenRows(i, buffer) * int64_t(rowBytes(buffer)));
}

void Exchange::take() const {
  if (mine.traffic)
    countTraffic();
  for (int32_t buffer = 0; buffer < collective.num_buffers; ++buffer) {
    int64_t before = 0;
    switch (collective.kind) {
    case MOERT_ALL_GATHER:
      gather(buffer);
      break;
    case MOERT_REDUCE_SCATTER:
      for (int32_t i = 0; i < member; ++i)
        before += all[i]->data[buffer].receive_rows;
      sum(buffer, before);
      break;
    case MOERT_ALL_REDUCE:
      sum(buffer, 0);
      break;
    case MOERT_ALL_TO_ALL:
      takeBlocks(buffer);
      break;
    }
  }
}

std::string moert::takeRows(const std::vector<const Contribution *> &all,
                            const std::vector<int32_t> &ranks, int32_t member) {
  if (all[member]->transfers)
    return takeTransfers(all, ranks, member);
  Exchange exchange(all, ranks, member);
  std::string fault = exchange.check();
  if (fault.empty())
    exchange.take();
  return fault;
}
