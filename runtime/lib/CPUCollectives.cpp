//===- CPUCollectives.cpp - Collectives of the CPU ------------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "CPUDevice.h"

#include "../common/Error.h"
#include "../common/Group.h"

#include <algorithm>
#include <new>

using namespace moert;

/// What a stream keeps of a collective until its turn.
struct CPUDevice::CollectiveArguments {
  CPUDevice *device;
  Communicator communicator;
  Contribution contribution;
};

void CPUDevice::failOnStream(moert_status status, std::string message) {
  std::lock_guard<std::mutex> lock(failure.mutex);
  if (failure.isSet)
    return;
  failure.status = status;
  failure.message = std::move(message);
  failure.isSet = true;
}

moert_status CPUDevice::takeFailure(std::string &error) {
  if (!failure.isSet)
    return MOERT_SUCCESS;
  std::lock_guard<std::mutex> lock(failure.mutex);
  error = std::move(failure.message);
  failure.isSet = false;
  return failure.status;
}

moert_status CPUDevice::join(const moert_group &given, int32_t number,
                             std::string &error) {
  if (!given.local)
    return fail(error, MOERT_UNSUPPORTED,
                "this context runs on the cpu, expected a GPU: a group of "
                "processes hands rows over by NCCL");
  if (moert_status status = given.local->join(number, error))
    return status;
  group = given.local;
  rank = number;
  received.emplace(group->size());
  return MOERT_SUCCESS;
}

const std::vector<CPUDevice::Communicator> *
CPUDevice::findCommunicators(const moert_signature &signature,
                             std::string &error) {
  const moert_exchange &exchange = *signature.exchange;
  for (const auto &[known, found] : communicators)
    if (known == &exchange)
      return &found;
  std::vector<Membership> memberships;
  error = findMemberships(signature, rank, group->size(), memberships);
  if (!error.empty())
    return nullptr;
  std::vector<Communicator> found;
  for (size_t i = 0; i < memberships.size(); ++i)
    found.push_back(
        {&group->findRoom(exchange.communicators[i].name, memberships[i]),
         memberships[i]});
  communicators.emplace_back(&exchange, std::move(found));
  return &communicators.back().second;
}

void CPUDevice::runCollective(const void *given, int64_t) {
  const auto &arguments = *static_cast<const CollectiveArguments *>(given);
  CPUDevice &device = *arguments.device;
  std::string error;
  moert_status status = guarded(error, [&] {
    return device.group->run(*arguments.communicator.room,
                             arguments.communicator.members,
                             arguments.contribution, error)
               ? MOERT_SUCCESS
               : MOERT_RANK_FAILED;
  });
  if (status != MOERT_SUCCESS)
    device.failOnStream(status, std::move(error));
}

moert_status CPUDevice::enqueueCollective(const moert_call &, int32_t number,
                                          const CollectiveRequest &request,
                                          std::string &error) {
  Stream *stream = findStream(number, error);
  if (!stream)
    return MOERT_INVALID_ARGUMENT;
  if (group->hasFailed(error))
    return MOERT_RANK_FAILED;
  const std::vector<Communicator> *found =
      findCommunicators(*request.signature, error);
  if (!found)
    return MOERT_INVALID_ARGUMENT;
  const moert_collective &collective = request.collective();
  CollectiveArguments arguments = {};
  static_assert(sizeof(arguments) <= MOERT_MAX_ARGUMENT_BYTES,
                "a collective is a launch");
  arguments.device = this;
  arguments.communicator = (*found)[size_t(collective.communicator)];
  Contribution &mine = arguments.contribution;
  mine.exchange = request.signature->exchange;
  mine.layer = request.signature->name;
  mine.step = request.step;
  mine.sendCounts = request.sendCounts;
  mine.receiveCounts = request.receiveCounts;
  mine.traffic = &*received;
  for (int32_t i = 0; i < collective.num_buffers; ++i)
    mine.data[i] = request.data[i];
  stream->launch(runCollective, collective.label, &arguments, sizeof(arguments),
                 1);
  return MOERT_SUCCESS;
}

moert_status CPUDevice::enqueueTransfers(void *stream,
                                         const moert_transfer *transfers,
                                         int64_t count, std::string &error) {
  if (moert_status status = checkStream(stream, error))
    return status;
  if (failure.isSet) {
    drain();
    return takeFailure(error);
  }
  if (group->hasFailed(error))
    return MOERT_RANK_FAILED;
  Stream &compute = *streams[MOERT_STREAM_COMPUTE];
  // Skipped work frees nothing, so the lists are kept here.
  const uint64_t completed = compute.numCompleted();
  transferLists.erase(
      std::remove_if(transferLists.begin(), transferLists.end(),
                     [&](const auto &list) { return list.first <= completed; }),
      transferLists.end());
  transferLists.emplace_back(compute.numEnqueued() + 1,
                             std::make_unique<TransferList>());
  TransferList &list = *transferLists.back().second;
  list.transfers.assign(transfers, transfers + count);
  CollectiveArguments arguments = {};
  arguments.device = this;
  const Membership everybody = {0, 1, group->size(), rank};
  arguments.communicator = {&group->findRoom("transfer", everybody), everybody};
  arguments.contribution.transfers = &list;
  compute.launch(runCollective, "transfer", &arguments, sizeof(arguments), 1);
  return MOERT_SUCCESS;
}
