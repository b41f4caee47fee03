//===- FakeNCCL.cpp - NCCL without a GPU ----------------------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "FakeNCCL.h"

#include <cstdio>
#include <cstring>
#include <deque>
#include <memory>
#include <nccl.h>
#include <vector>

using moert::test::FakeNCCL;

namespace {

struct Call {
  std::string kind;
  const char *send;
  char *receive;
  size_t count;
  ncclDataType_t dtype;
  int peer; // Or the root.
};

using Calls = std::vector<Call>;

/// All ranks of a communicator.
struct Ring {
  int size = 0;
  int numHere = 0;
  /// The collectives of the ranks that wait in them.
  std::map<int, Calls> current;
  uint64_t numComplete = 0;
  /// What waits for its other end, by sender and receiver.
  std::map<std::pair<int, int>, std::deque<Call>> sends, receives;
  std::map<int, int> numOpen;               // Of each rank.
  std::map<int, std::pair<int, int>> split; // Color and key by rank.
  std::map<int, std::shared_ptr<Ring>> splits;
  uint64_t numSplits = 0;
};
} // namespace

struct ncclComm {
  std::shared_ptr<Ring> ring;
  int rank = 0;
  /// The rank in the first communicator.
  int number = 0;
  uint64_t numGroups = 0;
  bool isSplitting = false;
  ncclComm_t *splitInto = nullptr;
};

static FakeNCCL &fake() {
  static FakeNCCL nccl;
  return nccl;
}
static std::map<std::string, std::shared_ptr<Ring>> &rings() {
  static std::map<std::string, std::shared_ptr<Ring>> all;
  return all;
}

static thread_local std::map<ncclComm_t, Calls> group;
static thread_local int depth = 0;

static size_t bytesOf(ncclDataType_t dtype) {
  return dtype == ncclInt8 ? 1 : dtype == ncclFloat32 ? 4 : 2;
}

static void blame(const std::string &fault) {
  if (fake().fault.empty())
    fake().fault = fault;
}

/// The sums of tests are those of float32.
static void add(char *to, const char *from, size_t count) {
  for (size_t i = 0; i < count; ++i) {
    float a, b;
    std::memcpy(&a, to + 4 * i, 4);
    std::memcpy(&b, from + 4 * i, 4);
    a += b;
    std::memcpy(to + 4 * i, &a, 4);
  }
}

/// Runs one collective, the i-th of all ranks' groups.
static void runCollective(Ring &ring, size_t i) {
  const Call &first = ring.current[0][i];
  const size_t bytes = first.count * bytesOf(first.dtype);
  for (int rank = 0; rank < ring.size; ++rank) {
    const Call &call = ring.current[rank][i];
    if (call.kind != first.kind || call.count != first.count ||
        call.dtype != first.dtype || call.peer != first.peer)
      return blame(call.kind + " of rank " + std::to_string(rank) +
                   " does not fit " + first.kind + " of rank 0");
  }
  std::vector<char> sum;
  const size_t parts = first.kind == "ReduceScatter" ? size_t(ring.size) : 1;
  if (first.kind.find("Reduce") != std::string::npos) {
    sum.assign(bytes * parts, 0);
    if (first.dtype != ncclFloat32)
      return blame("the fake sums float32 only");
    for (int rank = 0; rank < ring.size; ++rank)
      add(sum.data(), ring.current[rank][i].send, first.count * parts);
  }
  for (int rank = 0; rank < ring.size; ++rank) {
    char *to = ring.current[rank][i].receive;
    if (first.kind == "AllGather")
      for (int from = 0; from < ring.size; ++from)
        std::memcpy(to + size_t(from) * bytes, ring.current[from][i].send,
                    bytes);
    else if (first.kind == "Broadcast")
      std::memcpy(to, ring.current[first.peer][i].send, bytes);
    else if (first.kind == "ReduceScatter")
      std::memcpy(to, sum.data() + size_t(rank) * bytes, bytes);
    else if (first.kind == "AllReduce" || rank == first.peer)
      std::memcpy(to, sum.data(), bytes);
  }
}

/// Moves what has both its ends. A rank that has nothing to move takes no part.
static void runBlocks(Ring &ring) {
  for (auto &[pair, sends] : ring.sends) {
    auto &receives = ring.receives[pair];
    while (!sends.empty() && !receives.empty()) {
      const std::string name =
          std::to_string(pair.first) + ">" + std::to_string(pair.second);
      if (sends.front().count != receives.front().count)
        return blame(
            std::to_string(sends.front().count) + " bytes are sent and " +
            std::to_string(receives.front().count) + " expected, " + name);
      std::memcpy(receives.front().receive, sends.front().send,
                  sends.front().count);
      fake().sent[name] += sends.front().count;
      sends.pop_front();
      receives.pop_front();
      --ring.numOpen[pair.first];
      --ring.numOpen[pair.second];
    }
  }
}

/// Completes the collectives that all ranks have come to.
static void runCollectives(Ring &ring) {
  if (int(ring.current.size()) < ring.size)
    return;
  for (int rank = 1; rank < ring.size; ++rank)
    if (ring.current[rank].size() != ring.current[0].size())
      blame("rank " + std::to_string(rank) +
            " calls another number of collectives than rank 0");
  for (size_t i = 0; fake().fault.empty() && i < ring.current[0].size(); ++i)
    runCollective(ring, i);
  ring.current.clear();
  ++ring.numComplete;
}

static ncclResult_t enqueue(const char *kind, const void *send, void *receive,
                            size_t count, ncclDataType_t dtype, int peer,
                            ncclComm_t comm) {
  std::lock_guard<std::mutex> lock(fake().mutex);
  ++fake().calls[kind];
  if (depth == 0)
    blame(std::string(kind) + " outside of a group");
  group[comm].push_back({kind, static_cast<const char *>(send),
                         static_cast<char *>(receive), count, dtype, peer});
  return ncclSuccess;
}

extern "C" {

__attribute__((visibility("default"))) FakeNCCL *moertFakeNCCL() {
  return &fake();
}

const char *ncclGetErrorString(ncclResult_t) { return "a fault of the fake"; }

ncclResult_t ncclGetUniqueId(ncclUniqueId *id) {
  std::lock_guard<std::mutex> lock(fake().mutex);
  static int number = 0;
  std::snprintf(id->internal, sizeof(id->internal), "id %d", ++number);
  return ncclSuccess;
}

ncclResult_t ncclCommInitRankConfig(ncclComm_t *comm, int size, ncclUniqueId id,
                                    int rank, ncclConfig_t *config) {
  std::lock_guard<std::mutex> lock(fake().mutex);
  if (config->blocking != 0)
    blame("a communicator is blocking");
  std::shared_ptr<Ring> &ring = rings()[id.internal];
  if (!ring)
    ring = std::make_shared<Ring>();
  ring->size = size;
  ++ring->numHere;
  *comm = new ncclComm{ring, rank, rank};
  ++fake().numLive;
  return ncclInProgress;
}

ncclResult_t ncclCommSplit(ncclComm_t comm, int color, int key,
                           ncclComm_t *added, ncclConfig_t *) {
  std::lock_guard<std::mutex> lock(fake().mutex);
  comm->ring->split[comm->rank] = {color, key};
  comm->isSplitting = true;
  comm->splitInto = added;
  return ncclInProgress;
}

ncclResult_t ncclCommGetAsyncError(ncclComm_t comm, ncclResult_t *result) {
  std::lock_guard<std::mutex> lock(fake().mutex);
  Ring &ring = *comm->ring;
  *result = ncclInProgress;
  if (!fake().fault.empty()) {
    *result = ncclInvalidUsage;
    return ncclSuccess;
  }
  if (ring.numHere < ring.size)
    return ncclSuccess;
  if (comm->isSplitting) {
    if (int(ring.split.size()) < ring.size)
      return ncclSuccess;
    const auto [color, key] = ring.split[comm->rank];
    std::shared_ptr<Ring> &part = ring.splits[color];
    if (!part)
      part = std::make_shared<Ring>();
    part->size = 0;
    int rank = 0;
    for (auto &[other, given] : ring.split)
      if (given.first == color) {
        ++part->size;
        rank += given.second < key;
      }
    ++part->numHere;
    *comm->splitInto = new ncclComm{part, rank, comm->number};
    ++fake().numLive;
    comm->isSplitting = false;
    // The last one ends the split.
    if (++ring.numSplits % uint64_t(ring.size) == 0) {
      ring.split.clear();
      ring.splits.clear();
    }
  }
  if (comm->numGroups > ring.numComplete || ring.numOpen[comm->rank] > 0)
    return ncclSuccess;
  *result = ncclSuccess;
  return ncclSuccess;
}

static ncclResult_t giveBack(ncclComm_t comm) {
  std::lock_guard<std::mutex> lock(fake().mutex);
  delete comm;
  --fake().numLive;
  return ncclSuccess;
}

ncclResult_t ncclCommFinalize(ncclComm_t) { return ncclSuccess; }
ncclResult_t ncclCommDestroy(ncclComm_t comm) { return giveBack(comm); }
ncclResult_t ncclCommAbort(ncclComm_t comm) {
  {
    std::lock_guard<std::mutex> lock(fake().mutex);
    ++fake().calls["Abort"];
  }
  return giveBack(comm);
}
ncclResult_t ncclCommCount(ncclComm_t comm, int *count) {
  *count = comm->ring->size;
  return ncclSuccess;
}
ncclResult_t ncclCommUserRank(ncclComm_t comm, int *rank) {
  *rank = comm->rank;
  return ncclSuccess;
}

ncclResult_t ncclGroupStart() {
  ++depth;
  return ncclSuccess;
}

ncclResult_t ncclGroupEnd() {
  --depth;
  std::lock_guard<std::mutex> lock(fake().mutex);
  ncclResult_t result = ncclSuccess;
  for (auto &[comm, calls] : group) {
    Ring &ring = *comm->ring;
    if (comm->numGroups > ring.numComplete || ring.numOpen[comm->rank] > 0)
      blame("a group before the end of the last one");
    Calls collectives;
    for (const Call &call : calls) {
      const bool isSend = call.kind == "Send";
      if (!isSend && call.kind != "Recv") {
        collectives.push_back(call);
        continue;
      }
      ++ring.numOpen[comm->rank];
      if (isSend)
        ring.sends[{comm->rank, call.peer}].push_back(call);
      else
        ring.receives[{call.peer, comm->rank}].push_back(call);
    }
    runBlocks(ring);
    if (!collectives.empty()) {
      ++comm->numGroups;
      ring.current[comm->rank] = collectives;
      runCollectives(ring);
    }
    if (comm->numGroups > ring.numComplete || ring.numOpen[comm->rank] > 0)
      result = ncclInProgress;
  }
  group.clear();
  return fake().fault.empty() ? result : ncclInvalidUsage;
}

ncclResult_t ncclAllGather(const void *send, void *receive, size_t count,
                           ncclDataType_t dtype, ncclComm_t comm,
                           cudaStream_t) {
  return enqueue("AllGather", send, receive, count, dtype, 0, comm);
}
ncclResult_t ncclAllReduce(const void *send, void *receive, size_t count,
                           ncclDataType_t dtype, ncclRedOp_t, ncclComm_t comm,
                           cudaStream_t) {
  return enqueue("AllReduce", send, receive, count, dtype, 0, comm);
}
ncclResult_t ncclBroadcast(const void *send, void *receive, size_t count,
                           ncclDataType_t dtype, int root, ncclComm_t comm,
                           cudaStream_t) {
  return enqueue("Broadcast", send, receive, count, dtype, root, comm);
}
ncclResult_t ncclReduce(const void *send, void *receive, size_t count,
                        ncclDataType_t dtype, ncclRedOp_t, int root,
                        ncclComm_t comm, cudaStream_t) {
  return enqueue("Reduce", send, receive, count, dtype, root, comm);
}
ncclResult_t ncclReduceScatter(const void *send, void *receive, size_t count,
                               ncclDataType_t dtype, ncclRedOp_t,
                               ncclComm_t comm, cudaStream_t) {
  return enqueue("ReduceScatter", send, receive, count, dtype, 0, comm);
}
ncclResult_t ncclSend(const void *send, size_t count, ncclDataType_t dtype,
                      int peer, ncclComm_t comm, cudaStream_t) {
  return enqueue("Send", send, nullptr, count, dtype, peer, comm);
}
ncclResult_t ncclRecv(void *receive, size_t count, ncclDataType_t dtype,
                      int peer, ncclComm_t comm, cudaStream_t) {
  return enqueue("Recv", nullptr, receive, count, dtype, peer, comm);
}

} // extern "C"
