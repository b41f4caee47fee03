//===- Collectives.cpp - One collective over NCCL -------------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Communicators.h"

#include "../common/Error.h"

#include <algorithm>
#include <cstring>

using namespace moert;

/// One collective about to be enqueued. Rows that go to and come from each
/// member, lost ones included, lie behind each other in their order.
struct Communicators::Work {
  const CollectiveRequest &request;
  const Communicator &communicator;
  CUstream stream;
  bool isCaptured;
  std::string what;
  /// The rows that each member has of its tokens.
  std::vector<int64_t> ownRows;
  /// By counts: what goes to and comes from each member.
  const Counts *counts = nullptr;
  bool isReversed = false; // They were read for the way there.

  const moert_collective &collective() const { return request.collective(); }
  int32_t size() const { return communicator.members.size; }
  int32_t member() const { return communicator.members.member; }

  int64_t sentRows(int32_t to, int32_t buffer) const {
    if (counts)
      return (isReversed ? counts->received : counts->sent)[size_t(to)];
    if (!collective().blocks)
      return request.data[buffer].send_rows / size();
    return collective().blocks[isBySource() ? member() : to];
  }
  int64_t receivedRows(int32_t from, int32_t buffer) const {
    if (counts)
      return (isReversed ? counts->sent : counts->received)[size_t(from)];
    if (!collective().blocks)
      return request.data[buffer].receive_rows / size();
    return collective().blocks[isBySource() ? from : member()];
  }
  size_t elementBytes(int32_t buffer) const {
    return size_t(collective().dtypes[buffer] & 0xff) / 8;
  }
  size_t rowBytes(int32_t buffer) const {
    return size_t(collective().columns[buffer]) * elementBytes(buffer);
  }

private:
  bool isBySource() const {
    return collective().flags & MOERT_COLLECTIVE_BLOCKS_BY_SOURCE;
  }
};

//===----------------------------------------------------------------------===//
// Sizes
//===----------------------------------------------------------------------===//

/// The host must know how many rows come. On the way back it knows already.
moert_status Communicators::readCounts(Work &work, std::string &error) {
  const CollectiveRequest &request = work.request;
  for (const Counts &known : counts) {
    const bool isSame = known.send == request.sendCounts &&
                        known.receive == request.receiveCounts;
    work.isReversed = known.send == request.receiveCounts &&
                      known.receive == request.sendCounts;
    if (isSame || work.isReversed) {
      work.counts = &known;
      return MOERT_SUCCESS;
    }
  }
  work.isReversed = false;
  if (work.isCaptured)
    return fail(error, MOERT_UNSUPPORTED,
                "collective " + work.what +
                    " cannot be captured: the host waits for its counts");
  auto *host = reinterpret_cast<int32_t *>(pinned + countsBegin);
  const size_t numCounts = size_t(work.size());
  const size_t bytes = numCounts * sizeof(int32_t);
  auto address = [](const int32_t *memory) {
    return reinterpret_cast<CUdeviceptr>(memory);
  };
  CUresult result = driver.cuMemcpyDtoHAsync(host, address(request.sendCounts),
                                             bytes, work.stream);
  if (result == CUDA_SUCCESS)
    result = driver.cuMemcpyDtoHAsync(
        host + numCounts, address(request.receiveCounts), bytes, work.stream);
  if (result != CUDA_SUCCESS)
    return driver.report(result, "cannot read the counts of " + work.what,
                         error);
  if (moert_status status =
          wait(work.stream, "the counts of " + work.what, error))
    return status;
  Counts &read = counts.emplace_back();
  read.send = request.sendCounts;
  read.receive = request.receiveCounts;
  read.sent.assign(host, host + numCounts);
  read.received.assign(host + numCounts, host + 2 * numCounts);
  work.counts = &read;
  return MOERT_SUCCESS;
}

static std::string sayRows(const char *what, int64_t found, int64_t expected) {
  return format("%s %lld rows, expected %lld", what,
                static_cast<long long>(found),
                static_cast<long long>(expected));
}

std::string Communicators::checkSizes(const Work &work) const {
  const moert_collective &collective = work.collective();
  int64_t whole = 0;
  for (int32_t i = 0; i < work.size(); ++i) {
    const int64_t rows = work.ownRows[size_t(i)];
    whole += rows;
    if (rows != 0 && work.communicator.numbers[size_t(i)] < 0)
      return format("rank %d is lost, expected no tokens there",
                    work.communicator.members.rankOf(i));
  }
  const int64_t own = work.ownRows[size_t(work.member())];
  for (int32_t i = 0; i < collective.num_buffers; ++i) {
    const moert_collective_data &data = work.request.data[i];
    int64_t sent = own, received = own;
    switch (collective.kind) {
    case MOERT_ALL_GATHER:
      received = whole;
      break;
    case MOERT_REDUCE_SCATTER:
      sent = whole;
      break;
    case MOERT_ALL_REDUCE:
      sent = received = data.send_rows;
      break;
    case MOERT_ALL_TO_ALL:
      sent = received = 0;
      for (int32_t other = 0; other < work.size(); ++other) {
        const int64_t there = work.sentRows(other, i);
        const int64_t back = work.receivedRows(other, i);
        if (there < 0 || back < 0)
          return format("rank %d has a negative count for rank %d",
                        group->rank(), work.communicator.members.rankOf(other));
        sent += there;
        received += back;
      }
      // Buffers have room for more than goes this time.
      if (sent > data.send_rows)
        return sayRows("would send", sent, data.send_rows);
      if (received > data.receive_rows)
        return sayRows("would receive", received, data.receive_rows);
      continue;
    }
    if (data.send_rows != sent)
      return sayRows("has to send", data.send_rows, sent);
    if (data.receive_rows != received)
      return sayRows("has room for", data.receive_rows, received);
  }
  return "";
}

//===----------------------------------------------------------------------===//
// Rows
//===----------------------------------------------------------------------===//

static ncclDataType_t getDataType(int32_t dtype) {
  if (dtype == (kDLFloat << 8 | 32))
    return ncclFloat32;
  return dtype >> 8 == kDLBfloat ? ncclBfloat16 : ncclFloat16;
}

void Communicators::issue(const Work &work, int32_t buffer) const {
  const Communicator &communicator = work.communicator;
  const moert_collective_data &data = work.request.data[buffer];
  const auto *send = static_cast<const char *>(data.send);
  auto *receive = static_cast<char *>(data.receive);
  const size_t rowBytes = work.rowBytes(buffer);
  const size_t columns = size_t(work.collective().columns[buffer]);
  const ncclDataType_t dtype = getDataType(work.collective().dtypes[buffer]);
  if (work.collective().kind == MOERT_ALL_TO_ALL)
    return issueBlocks(work, buffer);
  if (work.collective().kind == MOERT_ALL_REDUCE) {
    if (data.send_rows > 0)
      nccl.AllReduce(send, receive, size_t(data.send_rows) * columns, dtype,
                     ncclSum, communicator.handle, work.stream);
    return;
  }
  // Members with equal rows take one call, others one for each.
  const bool isGather = work.collective().kind == MOERT_ALL_GATHER;
  const int64_t own = work.ownRows[size_t(work.member())];
  bool isEven = true;
  for (int32_t i = 0; i < work.size(); ++i)
    isEven &=
        communicator.numbers[size_t(i)] < 0 || work.ownRows[size_t(i)] == own;
  if (isEven) {
    if (own == 0)
      return;
    if (isGather)
      nccl.AllGather(send, receive, size_t(own) * rowBytes, ncclInt8,
                     communicator.handle, work.stream);
    else
      nccl.ReduceScatter(send, receive, size_t(own) * columns, dtype, ncclSum,
                         communicator.handle, work.stream);
    return;
  }
  for (int32_t i = 0; i < work.size(); ++i) {
    const int64_t rows = work.ownRows[size_t(i)];
    const int root = communicator.numbers[size_t(i)];
    if (rows == 0)
      continue;
    const size_t bytes = size_t(rows) * rowBytes;
    if (isGather) {
      nccl.Broadcast(send, receive, bytes, ncclInt8, root, communicator.handle,
                     work.stream);
      receive += bytes;
    } else {
      nccl.Reduce(send, receive, size_t(rows) * columns, dtype, ncclSum, root,
                  communicator.handle, work.stream);
      send += bytes;
    }
  }
}

void Communicators::issueBlocks(const Work &work, int32_t buffer) const {
  const Communicator &communicator = work.communicator;
  const moert_collective_data &data = work.request.data[buffer];
  const auto *send = static_cast<const char *>(data.send);
  auto *receive = static_cast<char *>(data.receive);
  for (int32_t i = 0; i < work.size(); ++i) {
    const int peer = communicator.numbers[size_t(i)];
    const size_t sent =
        size_t(work.sentRows(i, buffer)) * work.rowBytes(buffer);
    const size_t received =
        size_t(work.receivedRows(i, buffer)) * work.rowBytes(buffer);
    if (peer >= 0 && sent > 0)
      nccl.Send(send, sent, ncclInt8, peer, communicator.handle, work.stream);
    if (peer >= 0 && received > 0)
      nccl.Recv(receive, received, ncclInt8, peer, communicator.handle,
                work.stream);
    send += sent;
    receive += received;
  }
}

void Communicators::countTraffic(const Work &work) {
  for (int32_t i = 0; i < work.size(); ++i)
    for (int32_t buffer = 0; buffer < work.collective().num_buffers; ++buffer) {
      int64_t rows = work.request.data[buffer].receive_rows;
      if (work.collective().kind == MOERT_ALL_GATHER)
        rows = work.ownRows[size_t(i)];
      else if (work.collective().kind == MOERT_ALL_TO_ALL)
        rows = work.receivedRows(i, buffer);
      if (i != work.member() && work.communicator.numbers[size_t(i)] >= 0)
        received.add(work.communicator.members.rankOf(i),
                     rows * int64_t(work.rowBytes(buffer)));
    }
}

moert_status Communicators::clearLost(const Work &work,
                                      std::string &error) const {
  if (work.collective().kind != MOERT_ALL_TO_ALL ||
      work.communicator.ranks.size() == size_t(work.size()))
    return MOERT_SUCCESS;
  for (int32_t buffer = 0; buffer < work.collective().num_buffers; ++buffer) {
    auto *receive = static_cast<char *>(work.request.data[buffer].receive);
    for (int32_t i = 0; i < work.size(); ++i) {
      const size_t bytes =
          size_t(work.receivedRows(i, buffer)) * work.rowBytes(buffer);
      if (work.communicator.numbers[size_t(i)] < 0 && bytes > 0)
        if (CUresult result = driver.cuMemsetD8Async(
                reinterpret_cast<CUdeviceptr>(receive), 0, bytes, work.stream))
          return driver.report(result, "collective " + work.what, error);
      receive += bytes;
    }
  }
  return MOERT_SUCCESS;
}

template <typename Issue>
moert_status Communicators::enqueueMarked(const Communicator &communicator,
                                          CUstream stream,
                                          const std::string &what, Issue issue,
                                          std::string &error) {
  const uint32_t ticket = nextTicket(what);
  volatile Mark *mark = communicator.mark;
  auto write = [&](volatile uint32_t &place, uint32_t value) {
    return driver.cuStreamWriteValue32(
        stream, reinterpret_cast<CUdeviceptr>(const_cast<uint32_t *>(&place)),
        value, CU_STREAM_WRITE_VALUE_DEFAULT);
  };
  // A graph's next replay has the same ticket.
  CUresult begun = write(mark->ended, 0);
  if (begun == CUDA_SUCCESS)
    begun = write(mark->begun, ticket);
  if (begun != CUDA_SUCCESS)
    return driver.report(begun, "collective " + what, error);
  ncclResult_t result = ncclInProgress;
  {
    std::lock_guard<std::mutex> lock(mutex);
    if (!isAborted) {
      nccl.GroupStart();
      issue();
      result = nccl.GroupEnd();
    }
  }
  if (moert_status status =
          settle(communicator.handle, result, "collective " + what, error))
    return status;
  if (CUresult result = write(mark->ended, ticket))
    return driver.report(result, "collective " + what, error);
  return MOERT_SUCCESS;
}

moert_status Communicators::enqueue(const moert_call &call, CUstream stream,
                                    bool isCaptured,
                                    const CollectiveRequest &request,
                                    std::string &error) {
  if (group->hasFailed(error))
    return MOERT_RANK_FAILED;
  const moert_signature &signature = *request.signature;
  const std::vector<Communicator *> *program;
  if (moert_status status = findProgram(signature, isCaptured, program, error))
    return status;
  const moert_collective &collective = request.collective();
  Work work{request,
            *(*program)[size_t(collective.communicator)],
            stream,
            isCaptured,
            describe(*signature.exchange, signature.name, request.step),
            {}};
  for (int32_t i = 0; i < work.size(); ++i)
    work.ownRows.push_back(countOwnRows(
        collective, call.tokens_per_rank[work.communicator.members.rankOf(i)]));
  std::string fault = group->findLeft(work.communicator.ranks);
  if (!fault.empty()) {
    group->fail("collective " + work.what + ": " + fault);
    group->hasFailed(error);
    return MOERT_RANK_FAILED;
  }
  if (hasCounts(collective))
    if (moert_status status = readCounts(work, error))
      return status;
  fault = checkSizes(work);
  if (!fault.empty()) {
    // The others must not wait for this rank.
    group->fail(
        format("collective %s: rank %d ", work.what.c_str(), group->rank()) +
        fault);
    group->hasFailed(error);
    return MOERT_RANK_FAILED;
  }
  if (moert_status status = enqueueMarked(
          work.communicator, stream, work.what,
          [&] {
            for (int32_t i = 0; i < collective.num_buffers; ++i)
              issue(work, i);
          },
          error))
    return status;
  countTraffic(work);
  return clearLost(work, error);
}

moert_status Communicators::enqueueTransfers(CUstream stream,
                                             const moert_transfer *transfers,
                                             int64_t count,
                                             std::string &error) {
  if (group->hasFailed(error))
    return MOERT_RANK_FAILED;
  std::string what =
      format("'transfer' (%lld blocks)", static_cast<long long>(count));
  // Lists that differ would wait for each other in vain.
  std::string text;
  for (int64_t i = 0; i < count; ++i)
    text += format("%d>%d:%zu ", transfers[i].from_rank, transfers[i].to_rank,
                   transfers[i].bytes);
  std::vector<std::string> all;
  if (moert_status status = group->allGather("transfer", text, all, error))
    return status;
  for (size_t i = 1; i < all.size(); ++i)
    if (all[i] != all[0])
      return fail(error, MOERT_RANK_FAILED,
                  what + format(": rank %d brings another list of transfers "
                                "than rank %d",
                                group->members()[i], group->members()[0]));
  const Communicator &everyone = communicators.front();
  return enqueueMarked(
      everyone, stream, what,
      [&] {
        for (int64_t i = 0; i < count; ++i) {
          const moert_transfer &transfer = transfers[i];
          const int from = everyone.numbers[size_t(transfer.from_rank)];
          const int to = everyone.numbers[size_t(transfer.to_rank)];
          if (transfer.bytes == 0 || from < 0 || to < 0)
            continue;
          if (transfer.from_rank == group->rank())
            nccl.Send(transfer.send, transfer.bytes, ncclInt8, to,
                      everyone.handle, stream);
          if (transfer.to_rank == group->rank())
            nccl.Recv(transfer.receive, transfer.bytes, ncclInt8, from,
                      everyone.handle, stream);
        }
      },
      error);
}
