//===- LocalGroup.h - Ranks of one process ----------------------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOERT_LIB_LOCALGROUP_H
#define MOERT_LIB_LOCALGROUP_H

#include "Collective.h"

#include "moert/moert.h"

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

namespace moert {

/// Contexts of one process that exchange rows. A communicator's ranks meet in a
/// room: each leaves what it brings, takes what it needs from the others'
/// memory once all are there, and goes when all are done. One lock serves all
/// rooms: a group has few ranks, and holds it only to come and to go.
class LocalGroup {
public:
  LocalGroup(int32_t numRanks, std::chrono::milliseconds timeout)
      : numRanks(numRanks), timeout(timeout),
        presence(numRanks, Presence::Expected) {}

  /// A communicator, with its ranks' contributions to the current collective.
  struct Room {
    std::string name;
    int32_t first, stride, size;
    std::vector<int32_t> ranks;               // [size]
    std::vector<const Contribution *> places; // [size]
    int32_t arrived = 0;
    int32_t done = 0;
    uint64_t meetings = 0; // Complete arrivals, and complete departures.
  };

  int32_t size() const { return numRanks; }

  moert_status join(int32_t rank, std::string &error);
  /// The rank comes to no collective any more.
  void leave(int32_t rank);

  /// The communicator of that name with these ranks; made with its first use.
  Room &findRoom(const char *name, const Membership &members);

  /// Runs one collective on a thread of one of its ranks. False, with the
  /// group's failure, where it cannot be completed.
  bool run(Room &room, const Membership &members, const Contribution &mine,
           std::string &error);

  /// Whether the group has failed, and why.
  bool hasFailed(std::string &error) const;

private:
  using Lock = std::unique_lock<std::mutex>;

  /// Waits until all ranks of the room have come. False if the group fails
  /// first, for which the time limit is a reason. After true nobody changes the
  /// places until all have departed.
  bool arrive(Room &room, const Membership &members, const Contribution &mine);
  /// Waits until all ranks have what they need, also if one has found a fault:
  /// others may still read what this rank brought. They only copy, so there is
  /// no time limit.
  void depart(Room &room, std::string fault);
  void fail(const Lock &lock, std::string message);

  const int32_t numRanks;
  const std::chrono::milliseconds timeout;
  mutable std::mutex mutex;
  std::condition_variable change;
  std::vector<std::unique_ptr<Room>> rooms;
  enum class Presence { Expected, Joined, Left };
  std::vector<Presence> presence;
  /// The first failure, for good.
  std::string failure;
  std::atomic<bool> failed{false};
};

} // namespace moert

#endif // MOERT_LIB_LOCALGROUP_H
