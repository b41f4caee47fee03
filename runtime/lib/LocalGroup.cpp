//===- LocalGroup.cpp - Ranks of one process ------------------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "LocalGroup.h"

#include "../common/Error.h"

#include <algorithm>
#include <new>

using namespace moert;

//===----------------------------------------------------------------------===//
// Joining and leaving
//===----------------------------------------------------------------------===//

moert_status LocalGroup::join(int32_t rank, std::string &error) {
  Lock lock(mutex);
  if (presence[rank] == Presence::Joined)
    return moert::fail(error, MOERT_INVALID_ARGUMENT,
                       format("rank %d is in the group already", rank));
  presence[rank] = Presence::Joined;
  return MOERT_SUCCESS;
}

static std::string hasLeft(int32_t rank) {
  return format(": rank %d has left the group", rank);
}

void LocalGroup::leave(int32_t rank) {
  Lock lock(mutex);
  presence[rank] = Presence::Left;
  // After a failure nobody waits, and what lies in the rooms is gone.
  if (failed)
    return;
  // Who waits for the rank now would wait in vain.
  for (const std::unique_ptr<Room> &room : rooms) {
    if (room->arrived == 0 || std::find(room->ranks.begin(), room->ranks.end(),
                                        rank) == room->ranks.end())
      continue;
    auto waiting =
        std::find_if(room->places.begin(), room->places.end(),
                     [](const Contribution *place) { return place; });
    fail(lock, "collective " + describe(**waiting) + hasLeft(rank));
  }
}

LocalGroup::Room &LocalGroup::findRoom(const char *name,
                                       const Membership &members) {
  Lock lock(mutex);
  for (const std::unique_ptr<Room> &room : rooms)
    if (room->name == name && room->first == members.first &&
        room->stride == members.stride && room->size == members.size)
      return *room;
  auto room = std::make_unique<Room>();
  room->name = name;
  room->first = members.first;
  room->stride = members.stride;
  room->size = members.size;
  room->places.assign(size_t(members.size), nullptr);
  for (int32_t i = 0; i < members.size; ++i)
    room->ranks.push_back(members.rankOf(i));
  rooms.push_back(std::move(room));
  return *rooms.back();
}

//===----------------------------------------------------------------------===//
// Meetings
//===----------------------------------------------------------------------===//

void LocalGroup::fail(const Lock &, std::string message) {
  if (failed)
    return;
  failure = std::move(message);
  failed = true;
  change.notify_all();
}

bool LocalGroup::hasFailed(std::string &error) const {
  if (!failed)
    return false;
  Lock lock(mutex);
  error = failure;
  return true;
}

bool LocalGroup::arrive(Room &room, const Membership &members,
                        const Contribution &mine) {
  Lock lock(mutex);
  for (int32_t rank : room.ranks)
    if (presence[rank] == Presence::Left)
      fail(lock, "collective " + describe(mine) + hasLeft(rank));
  if (failed)
    return false;
  room.places[members.member] = &mine;
  const uint64_t meeting = room.meetings;
  if (++room.arrived == room.size) {
    room.arrived = 0;
    ++room.meetings;
    change.notify_all();
    return true;
  }
  auto isOver = [&] { return failed || room.meetings != meeting; };
  if (!change.wait_for(lock, timeout, isOver)) {
    std::string missing;
    for (int32_t i = 0; i < room.size; ++i)
      if (!room.places[i])
        missing += (missing.empty() ? "rank " : ", rank ") +
                   std::to_string(room.ranks[i]);
    fail(lock,
         "collective " + describe(mine) +
             format(": rank %d has waited %lld ms for %s, which did not "
                    "come",
                    members.rankOf(members.member),
                    static_cast<long long>(timeout.count()), missing.c_str()));
  }
  return room.meetings != meeting;
}

void LocalGroup::depart(Room &room, std::string fault) {
  Lock lock(mutex);
  if (!fault.empty())
    fail(lock, std::move(fault));
  const uint64_t meeting = room.meetings;
  if (++room.done == room.size) {
    room.done = 0;
    std::fill(room.places.begin(), room.places.end(), nullptr);
    ++room.meetings;
    change.notify_all();
    return;
  }
  change.wait(lock, [&] { return room.meetings != meeting; });
}

bool LocalGroup::run(Room &room, const Membership &members,
                     const Contribution &mine, std::string &error) {
  if (arrive(room, members, mine)) {
    std::string fault;
    try {
      fault = takeRows(room.places, room.ranks, members.member);
      if (!fault.empty())
        fault = "collective " + describe(mine) + ": " + fault;
    } catch (const std::bad_alloc &) {
      // Whatever happens here, the others wait for this rank.
      fault = "out of memory"; // Short enough to need none.
    }
    depart(room, std::move(fault));
  }
  return !hasFailed(error);
}
