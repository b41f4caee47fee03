//===- Communicators.cpp - Collectives over NCCL --------------------------===//
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
#include <thread>

using namespace moert;
using std::chrono::steady_clock;

/// Marks in the pinned memory; more communicators nobody has.
static constexpr size_t maxMarks = 64;

//===----------------------------------------------------------------------===//
// Creating and destroying
//===----------------------------------------------------------------------===//

moert_status moert::createNCCLTransport(const Driver &driver, CUcontext context,
                                        std::shared_ptr<ProcessGroup> group,
                                        std::unique_ptr<Transport> &transport,
                                        std::string &error) {
  auto created =
      std::make_unique<Communicators>(driver, context, std::move(group));
  if (moert_status status = created->create(error))
    return status;
  transport = std::move(created);
  return MOERT_SUCCESS;
}

moert_status Communicators::create(std::string &error) {
  error = nccl.load();
  if (!error.empty())
    return MOERT_UNSUPPORTED;
  CurrentContext current(driver, context);
  countsBegin = maxMarks * sizeof(Mark);
  const size_t bytes =
      countsBegin + 2 * sizeof(int32_t) * size_t(group->size());
  void *memory = nullptr;
  if (CUresult result = driver.cuMemHostAlloc(
          &memory, bytes, CU_MEMHOSTALLOC_PORTABLE | CU_MEMHOSTALLOC_DEVICEMAP))
    return driver.report(result, "cannot allocate pinned memory", error);
  pinned = static_cast<char *>(memory);
  std::memset(pinned, 0, bytes);
  group->watch(this);

  const std::string what = "communicator 'world'";
  ncclUniqueId id = {};
  const bool isFirst = group->rank() == group->members().front();
  if (isFirst)
    if (ncclResult_t result = nccl.GetUniqueId(&id))
      return reportFault(result, what, error);
  std::vector<std::string> ids;
  if (moert_status status = group->allGather(
          what, std::string(id.internal, isFirst ? sizeof(id) : 0), ids, error))
    return status;
  std::memcpy(id.internal, ids[0].data(), std::min(ids[0].size(), sizeof(id)));

  Communicator *all;
  if (moert_status status = addCommunicator(
          "world", {0, 1, group->size(), group->rank()}, all, error))
    return status;
  ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
  config.blocking = 0;
  ncclResult_t result;
  {
    std::lock_guard<std::mutex> lock(mutex);
    result =
        nccl.CommInitRankConfig(&all->handle, int(all->ranks.size()), id,
                                all->numbers[all->members.member], &config);
  }
  return settle(all->handle, result, what, error);
}

Communicators::~Communicators() {
  group->watch(nullptr);
  CurrentContext current(driver, context);
  RelaxedCapture relaxed(driver);
  for (auto it = communicators.rbegin(); it != communicators.rend(); ++it) {
    if (!it->handle)
      continue;
    std::string ignored;
    ncclResult_t result = nccl.CommFinalize(it->handle);
    if (settle(it->handle, result, "the end of communicator '" + it->name + "'",
               ignored) == MOERT_SUCCESS)
      nccl.CommDestroy(it->handle);
    else if (!isAborted)
      nccl.CommAbort(it->handle);
  }
  // Streams may be about to write their marks.
  if (isAborted)
    driver.cuCtxSynchronize();
  if (pinned)
    driver.cuMemFreeHost(pinned);
}

void Communicators::abort() {
  // A thread that is stuck in NCCL with the lock is let go by this, too.
  std::unique_lock<std::mutex> lock(mutex, std::defer_lock);
  const auto deadline = steady_clock::now() + std::chrono::seconds(2);
  while (!lock.try_lock() && steady_clock::now() < deadline)
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  std::lock_guard<std::mutex> tableLock(tableMutex);
  CurrentContext current(driver, context);
  RelaxedCapture relaxed(driver);
  isAborted = true;
  for (auto it = communicators.rbegin(); it != communicators.rend(); ++it)
    if (ncclComm_t handle = std::exchange(it->handle, nullptr))
      nccl.CommAbort(handle);
}

moert_status Communicators::addCommunicator(const char *name,
                                            const Membership &members,
                                            Communicator *&added,
                                            std::string &error) {
  std::lock_guard<std::mutex> lock(tableMutex);
  const size_t number = communicators.size();
  if (number >= maxMarks)
    return fail(error, MOERT_UNSUPPORTED,
                format("expected at most %zu communicators", maxMarks));
  added = &communicators.emplace_back();
  added->name = name;
  added->members = members;
  added->mark = reinterpret_cast<Mark *>(pinned) + number;
  const std::vector<int32_t> &there = group->members();
  for (int32_t i = 0; i < members.size; ++i) {
    const int32_t rank = members.rankOf(i);
    const bool isThere = std::binary_search(there.begin(), there.end(), rank);
    added->numbers.push_back(isThere ? int(added->ranks.size()) : -1);
    if (isThere)
      added->ranks.push_back(rank);
  }
  return MOERT_SUCCESS;
}

//===----------------------------------------------------------------------===//
// Waiting
//===----------------------------------------------------------------------===//

moert_status Communicators::reportFault(ncclResult_t result,
                                        const std::string &what,
                                        std::string &error) {
  // Mostly another rank is lost, and the group knows soon which one.
  const auto deadline = steady_clock::now() + std::chrono::seconds(2);
  while (!group->hasFailed() && steady_clock::now() < deadline)
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  if (!group->hasFailed())
    group->fail(format("rank %d: ", group->rank()) + what + ": " +
                nccl.GetErrorString(result));
  group->hasFailed(error);
  return MOERT_RANK_FAILED;
}

moert_status Communicators::settle(const ncclComm_t &handle,
                                   ncclResult_t result, const std::string &what,
                                   std::string &error) {
  // The group's watch is the first to notice, and knows for whom this waits.
  const auto limit = 2 * group->timeout();
  const auto deadline = steady_clock::now() + limit;
  while (result == ncclInProgress) {
    if (group->hasFailed(error))
      return MOERT_RANK_FAILED;
    if (steady_clock::now() > deadline) {
      group->fail(format("rank %d has waited %lld ms for ", group->rank(),
                         static_cast<long long>(limit.count())) +
                  what);
      group->hasFailed(error);
      return MOERT_RANK_FAILED;
    }
    std::this_thread::yield();
    std::lock_guard<std::mutex> lock(mutex);
    // A thread of NCCL writes the handle of a communicator that it splits off.
    ncclComm_t current = __atomic_load_n(&handle, __ATOMIC_ACQUIRE);
    if (current && !isAborted)
      nccl.CommGetAsyncError(current, &result);
  }
  if (result != ncclSuccess)
    return reportFault(result, what, error);
  return MOERT_SUCCESS;
}

moert_status Communicators::wait(CUstream stream, const std::string &what,
                                 std::string &error) {
  CUresult result;
  while ((result = driver.cuStreamQuery(stream)) == CUDA_ERROR_NOT_READY) {
    if (group->hasFailed(error))
      return MOERT_RANK_FAILED;
    std::this_thread::yield();
  }
  // What was aborted ends too.
  if (group->hasFailed(error))
    return MOERT_RANK_FAILED;
  if (result != CUDA_SUCCESS)
    return driver.report(result, what, error);
  return MOERT_SUCCESS;
}

//===----------------------------------------------------------------------===//
// Programs
//===----------------------------------------------------------------------===//

moert_status Communicators::agree(const moert_signature &signature,
                                  std::string &error) {
  const uint64_t hash = signature.exchange->hash;
  if (agreed.count(hash))
    return MOERT_SUCCESS;
  std::vector<std::string> all;
  if (moert_status status = group->allGather(
          format("program %zu", agreed.size()),
          ProgramText(*signature.exchange).write(), all, error))
    return status;
  // All ranks come to the same verdict.
  for (size_t i = 1; i < all.size(); ++i)
    if (all[i] != all[0])
      return fail(
          error, MOERT_RANK_FAILED,
          format("%s: ", signature.name) +
              explainDifference(ProgramText(all[0]), group->members()[0],
                                ProgramText(all[i]), group->members()[i]));
  agreed[hash] = true;
  return MOERT_SUCCESS;
}

moert_status
Communicators::findProgram(const moert_signature &signature, bool isCaptured,
                           const std::vector<Communicator *> *&found,
                           std::string &error) {
  auto known = programs.find(signature.exchange);
  // Another one may lie where one was.
  if (known == programs.end() ||
      known->second.hash != signature.exchange->hash) {
    std::vector<Membership> members;
    error = findMemberships(signature, group->rank(), group->size(), members);
    if (!error.empty())
      return MOERT_INVALID_ARGUMENT;
    if (isCaptured)
      return fail(error, MOERT_UNSUPPORTED,
                  format("%s: its first call is being captured, expected one "
                         "that runs, in which the ranks meet",
                         signature.name));
    if (moert_status status = agree(signature, error))
      return status;
    std::vector<Communicator *> all;
    for (size_t i = 0; i < members.size(); ++i)
      if (moert_status status =
              findCommunicator(signature.exchange->communicators[i].name,
                               members[i], all.emplace_back(), error))
        return status;
    known =
        programs
            .insert_or_assign(signature.exchange,
                              Program{signature.exchange->hash, std::move(all)})
            .first;
  }
  found = &known->second.communicators;
  return MOERT_SUCCESS;
}

moert_status Communicators::findCommunicator(const char *name,
                                             const Membership &members,
                                             Communicator *&found,
                                             std::string &error) {
  for (Communicator &known : communicators)
    if (known.members == members) {
      found = &known;
      return MOERT_SUCCESS;
    }
  Communicator *added;
  if (moert_status status = addCommunicator(name, members, added, error))
    return status;
  ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
  config.blocking = 0;
  ncclResult_t result;
  {
    std::lock_guard<std::mutex> lock(mutex);
    if (isAborted)
      result = ncclInProgress;
    else
      result = nccl.CommSplit(communicators.front().handle, members.first,
                              added->numbers[members.member], &added->handle,
                              &config);
  }
  const std::string what = std::string("communicator '") + name + "'";
  // The new one is there once the old one has done its part.
  if (moert_status status =
          settle(communicators.front().handle, result, what, error))
    return status;
  if (moert_status status = settle(added->handle, ncclInProgress, what, error))
    return status;
  found = added;
  return MOERT_SUCCESS;
}

//===----------------------------------------------------------------------===//
// Watching
//===----------------------------------------------------------------------===//

uint32_t Communicators::nextTicket(const std::string &what) {
  std::lock_guard<std::mutex> lock(tableMutex);
  auto [entry, isNew] =
      numbersOfNames.try_emplace(what, uint32_t(names.size() + 1));
  if (isNew)
    names.push_back(what);
  return entry->second << counterBits |
         (numTickets++ & ((1u << counterBits) - 1));
}

std::vector<Activity> Communicators::look() {
  std::vector<Activity> waiting, last;
  std::lock_guard<std::mutex> lock(tableMutex);
  for (size_t i = 0; i < communicators.size(); ++i) {
    const Communicator &communicator = communicators[i];
    if (!communicator.mark)
      continue;
    // The end is read first: so a collective that ends between the two looks
    // as if it were going on, and never the other way round.
    const uint32_t ended =
        __atomic_load_n(&communicator.mark->ended, __ATOMIC_ACQUIRE);
    const uint32_t begun =
        __atomic_load_n(&communicator.mark->begun, __ATOMIC_ACQUIRE);
    if (begun == 0)
      continue;
    Activity activity;
    activity.what = names[(begun >> counterBits) - 1];
    activity.ranks = communicator.ranks;
    activity.isWaiting = begun != ended;
    activity.ticket = uint64_t(i) << 32 | begun;
    (activity.isWaiting ? waiting : last).push_back(std::move(activity));
  }
  if (waiting.empty() && !last.empty())
    waiting.push_back(std::move(last.front()));
  return waiting;
}

std::string Communicators::findFault() {
  std::unique_lock<std::mutex> lock(mutex, std::try_to_lock);
  if (!lock || isAborted)
    return "";
  std::lock_guard<std::mutex> tableLock(tableMutex);
  for (const Communicator &communicator : communicators) {
    ncclResult_t result = ncclSuccess;
    if (communicator.handle)
      nccl.CommGetAsyncError(communicator.handle, &result);
    if (result != ncclSuccess && result != ncclInProgress)
      return "communicator '" + communicator.name +
             "': " + nccl.GetErrorString(result);
  }
  return "";
}
