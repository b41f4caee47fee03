//===- Group.cpp - Ranks that run programs together -----------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "../common/Group.h"

#include "../common/Error.h"
#include "../processes/ProcessGroup.h"
#include "Context.h"
#include "Environment.h"
#include "LocalGroup.h"

#include <cstring>

using namespace moert;

int32_t moert_group::size() const {
  return local ? local->size() : processes->size();
}

//===----------------------------------------------------------------------===//
// Options
//===----------------------------------------------------------------------===//

/// Returns "" and the time limit to use, or what is wrong.
static std::string readLimits(int32_t numRanks, int64_t timeout,
                              std::chrono::milliseconds &limit) {
  constexpr int32_t maxRanks = 1 << 16;
  if (numRanks < 1 || numRanks > maxRanks)
    return format("num_ranks is %d, expected 1 to %d", numRanks, maxRanks);
  // Seventy years, and twice as long, overflow no clock.
  constexpr int64_t maxTimeout = int64_t(1) << 41;
  if (timeout < 0 || timeout > maxTimeout)
    return format("timeout_ms is %lld, expected 0 to %lld",
                  static_cast<long long>(timeout),
                  static_cast<long long>(maxTimeout));
  limit =
      std::chrono::milliseconds(timeout ? timeout : MOERT_DEFAULT_TIMEOUT_MS);
  return "";
}

/// Returns "", or what is wrong.
static std::string readOptions(const moert_process_options &given,
                               ProcessGroup::Options &options) {
  if (given.abi != MOERT_ABI_VERSION)
    return format("the process's options have ABI version %u, expected %u",
                  given.abi, MOERT_ABI_VERSION);
  std::string fault =
      readLimits(given.num_ranks, given.timeout_ms, options.timeout);
  if (!fault.empty())
    return fault;
  if (given.rank < 0 || given.rank >= given.num_ranks)
    return format("rank is %d, expected 0 to %d", given.rank,
                  given.num_ranks - 1);
  options.rank = given.rank;
  options.size = given.num_ranks;
  if (given.num_ranks == 1)
    return ""; // Nobody else comes.
  std::string place(given.rendezvous,
                    strnlen(given.rendezvous, sizeof(given.rendezvous)));
  return parsePlace(place, options.host, options.port);
}

void moert_process_options_init(moert_process_options *options) {
  if (options)
    *options = {MOERT_ABI_VERSION, 0, 1, 0, 0, ""};
}

moert_status
moert_process_options_from_environment(moert_process_options *options) {
  std::string &error = threadError();
  return guarded(error, [&] {
    if (!options)
      return fail(error, MOERT_INVALID_ARGUMENT, "the options are null");
    moert_process_options_init(options);
    error = readEnvironment(*options);
    return error.empty() ? MOERT_SUCCESS : MOERT_INVALID_ARGUMENT;
  });
}

//===----------------------------------------------------------------------===//
// Groups
//===----------------------------------------------------------------------===//

/// Runs `create(error)`, which fills `*group`.
template <typename Create>
static moert_status createGroup(moert_group **group, Create create) {
  std::string &error = threadError();
  return guarded(error, [&] {
    if (!group)
      return fail(error, MOERT_INVALID_ARGUMENT,
                  "the place for the group is null");
    *group = nullptr;
    return create(error);
  });
}

moert_status moert_group_create_local(int32_t num_ranks, int64_t timeout_ms,
                                      moert_group **group) {
  return createGroup(group, [&](std::string &error) {
    std::chrono::milliseconds timeout;
    error = readLimits(num_ranks, timeout_ms, timeout);
    if (!error.empty())
      return MOERT_INVALID_ARGUMENT;
    *group = new moert_group{
        std::make_shared<LocalGroup>(num_ranks, timeout), {}, false};
    return MOERT_SUCCESS;
  });
}

moert_status moert_group_create_processes(const moert_process_options *options,
                                          moert_group **group) {
  return createGroup(group, [&](std::string &error) {
    moert_process_options given;
    if (options)
      given = *options;
    else if (moert_status status =
                 moert_process_options_from_environment(&given))
      return status;
    ProcessGroup::Options read;
    error = readOptions(given, read);
    if (!error.empty())
      return MOERT_INVALID_ARGUMENT;
    auto created = std::make_unique<moert_group>();
    if (moert_status status =
            ProcessGroup::create(read, created->processes, error))
      return status;
    *group = created.release();
    return MOERT_SUCCESS;
  });
}

void moert_group_destroy(moert_group *group) { delete group; }

//===----------------------------------------------------------------------===//
// Contexts of a group
//===----------------------------------------------------------------------===//

static moert_status refuseSecond(moert_context &context) {
  return context.hasJoined ? fail(context.lastError, MOERT_INVALID_ARGUMENT,
                                  "the context has joined a group already")
                           : MOERT_SUCCESS;
}

moert_status moert_context_join(moert_context *context, moert_group *group) {
  return withContext(context, [&] {
    std::string &error = context->lastError;
    if (!group)
      return fail(error, MOERT_INVALID_ARGUMENT, "the group is null");
    if (moert_status status = refuseSecond(*context))
      return status;
    if (context->numRanks != group->size())
      return fail(error, MOERT_INVALID_ARGUMENT,
                  format("the group has %d ranks, expected %d, as the context",
                         group->size(), context->numRanks));
    if (group->processes && group->processes->rank() != context->rank)
      return fail(error, MOERT_INVALID_ARGUMENT,
                  format("this process is rank %d of the group, expected %d, "
                         "as the context",
                         group->processes->rank(), context->rank));
    if (group->isTaken)
      return fail(error, MOERT_INVALID_ARGUMENT,
                  "the group has a context of this process already");
    moert_status status = context->device->join(*group, context->rank, error);
    context->hasJoined = status == MOERT_SUCCESS;
    group->isTaken = context->hasJoined && group->processes;
    return status;
  });
}

moert_status moert_context_join_nccl(moert_context *context, void *comm,
                                     int64_t timeout_ms) {
  return withContext(context, [&] {
    std::string &error = context->lastError;
    if (!comm)
      return fail(error, MOERT_INVALID_ARGUMENT, "the communicator is null");
    if (moert_status status = refuseSecond(*context))
      return status;
    ProcessGroup::Options options;
    options.rank = context->rank;
    options.size = context->numRanks;
    error = readLimits(options.size, timeout_ms, options.timeout);
    if (!error.empty())
      return MOERT_INVALID_ARGUMENT;
    std::string place = options.rank == 0 ? findOwnPlace() : "";
    if (moert_status status = context->device->broadcast(
            comm, options.rank, options.size, options.timeout, place, error))
      return status;
    error = parsePlace(place, options.host, options.port);
    if (!error.empty())
      return MOERT_INTERNAL;
    moert_group group;
    if (moert_status status =
            ProcessGroup::create(options, group.processes, error))
      return status;
    moert_status status = context->device->join(group, context->rank, error);
    context->hasJoined = status == MOERT_SUCCESS;
    return status;
  });
}

moert_status moert_context_all_gather(moert_context *context, const void *mine,
                                      size_t bytes, void *all) {
  return withContext(context, [&] {
    std::string &error = context->lastError;
    if (bytes > 0 && (!mine || !all))
      return fail(error, MOERT_INVALID_ARGUMENT, "the memory is null");
    std::vector<std::string> gathered;
    if (moert_status status = context->device->allGather(
            std::string(static_cast<const char *>(mine), bytes), gathered,
            error))
      return status;
    for (size_t rank = 0; rank < gathered.size(); ++rank) {
      if (gathered[rank].empty())
        continue;
      if (gathered[rank].size() != bytes)
        return fail(error, MOERT_INVALID_ARGUMENT,
                    format("rank %zu brings %zu bytes, expected %zu, as rank "
                           "%d",
                           rank, gathered[rank].size(), bytes, context->rank));
      std::memcpy(static_cast<char *>(all) + rank * bytes,
                  gathered[rank].data(), bytes);
    }
    return MOERT_SUCCESS;
  });
}

moert_status moert_context_bytes_received(moert_context *context,
                                          int64_t *bytes) {
  return withContext(context, [&] {
    const Traffic *traffic = context->device->traffic();
    if (!traffic || !bytes)
      return fail(context->lastError, MOERT_INVALID_ARGUMENT,
                  bytes ? "the context has joined no group"
                        : "the place for the bytes is null");
    for (int32_t rank = 0; rank < traffic->numRanks(); ++rank)
      bytes[rank] = traffic->from(rank);
    return MOERT_SUCCESS;
  });
}

moert_status moert_context_shrink(moert_context *context, uint8_t *is_member) {
  return withContext(context, [&] {
    std::vector<bool> isMember;
    if (moert_status status =
            context->device->shrink(isMember, context->lastError))
      return status;
    // What the lost ranks have left behind is no error of what comes now.
    context->takeError();
    for (size_t rank = 0; is_member && rank < isMember.size(); ++rank)
      is_member[rank] = isMember[rank];
    return MOERT_SUCCESS;
  });
}
