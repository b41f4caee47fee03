//===- ProcessSigns.cpp - Which ranks live, wait and have come ------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "ProcessService.h"

#include "../common/Error.h"

#include <algorithm>

using namespace moert;

std::string moert::joinRanks(const std::vector<int32_t> &ranks) {
  std::string text;
  for (int32_t rank : ranks)
    text += (text.empty() ? "rank " : ", rank ") + std::to_string(rank);
  return text;
}

//===----------------------------------------------------------------------===//
// Signs of life
//===----------------------------------------------------------------------===//

void ProcessGroup::Service::tick() {
  if (!group.failed) {
    if (isReady) {
      std::vector<Activity> activities;
      std::string fault;
      {
        std::lock_guard<std::mutex> lock(watchMutex);
        if (watched) {
          activities = watched->look();
          fault = watched->findFault();
        }
      }
      json waitsIn = json::array();
      for (const Activity &activity : activities)
        if (activity.isWaiting)
          waitsIn.push_back(activity.what);
      broadcast({{"is", "alive"}, {"in", waitsIn}});
      watchStalls(activities);
      decideStall(activities);
      checkGathers();
      checkSilence();
      // Mostly another rank is lost, which is known by name a little later.
      if (!fault.empty() && ++faultTicks > 4)
        announce(format("rank %d: ", group.options.rank) + fault, {});
    } else if (Clock::now() > deadline) {
      expire();
    }
  }
  ticker.expires_after(interval);
  ticker.async_wait([this](asio::error_code error) {
    if (!error)
      tick();
  });
}

void ProcessGroup::Service::checkSilence() {
  for (auto &[rank, peer] : peers) {
    auto silence = Clock::now() - peer.link->lastHeard();
    if (peer.link->isOpen() && silence > group.options.timeout)
      return announce(format("rank %d has not answered for %lld ms", rank,
                             toMilliseconds(silence)),
                      {rank});
  }
}

bool ProcessGroup::Service::isStuck(const Activity &activity) {
  for (int sample = 0; sample < 100; ++sample) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
    std::lock_guard<std::mutex> lock(watchMutex);
    const std::vector<Activity> now =
        watched ? watched->look() : std::vector<Activity>();
    const bool isStill =
        std::any_of(now.begin(), now.end(), [&](const Activity &other) {
          return other.isWaiting && other.ticket == activity.ticket;
        });
    if (!isStill)
      return false;
  }
  return true;
}

void ProcessGroup::Service::watchStalls(
    const std::vector<Activity> &activities) {
  std::map<uint64_t, Clock::time_point> before = std::exchange(waits, {});
  for (const Activity &activity : activities) {
    if (!activity.isWaiting)
      continue;
    auto known = before.find(activity.ticket);
    auto since = known == before.end() ? Clock::now() : known->second;
    waits[activity.ticket] = since;
    if (isStallTold || Clock::now() - since <= group.options.timeout)
      continue;
    // Replays of a graph have the tickets of its capture: seen always in the
    // same collective, they may go on all the same.
    if (!isStuck(activity)) {
      waits[activity.ticket] = Clock::now();
      continue;
    }
    isStallTold = true;
    toHub({{"is", "stalled"},
           {"what", activity.what},
           {"ranks", activity.ranks}});
  }
}

/// The others may be about to say that they wait there too.
void ProcessGroup::Service::onStalled(int32_t rank, const json &message) {
  if (!stall)
    stall =
        Stall{message.at("what"), message.at("ranks").get<Ranks>(), rank, 3};
}

void ProcessGroup::Service::decideStall(const std::vector<Activity> &mine) {
  if (!stall || --stall->ticksLeft > 0)
    return;
  auto isIn = [&](int32_t rank) {
    if (rank == stall->reporter)
      return true;
    if (rank == group.options.rank)
      return std::any_of(mine.begin(), mine.end(), [&](const Activity &a) {
        return a.isWaiting && a.what == stall->what;
      });
    auto peer = peers.find(rank);
    return peer != peers.end() && peer->second.waitsIn.count(stall->what) &&
           Clock::now() - peer->second.link->lastHeard() < 3 * interval;
  };
  Ranks missing;
  for (int32_t rank : stall->ranks)
    if (!isIn(rank))
      missing.push_back(rank);
  std::string text =
      format("%s: rank %d has waited %lld ms for ", stall->what.c_str(),
             stall->reporter, toMilliseconds(group.options.timeout));
  announce(missing.empty() ? text + "its end, though all ranks have come"
                           : text + joinRanks(missing) + ", which did not come",
           missing);
}

//===----------------------------------------------------------------------===//
// Values of all ranks
//===----------------------------------------------------------------------===//

void ProcessGroup::Service::onGather(int32_t rank, const json &message) {
  const int64_t number = message.at("number");
  const std::string what = message.at("what");
  auto [entry, isNew] = gathers.try_emplace(number);
  Gather &gather = entry->second;
  if (isNew) {
    gather.what = what;
    gather.first = rank;
    gather.since = Clock::now();
  }
  if (gather.what != what)
    return announce(format("rank %d is at '%s', expected '%s', as rank %d",
                           rank, what.c_str(), gather.what.c_str(),
                           gather.first),
                    {});
  gather.parts[rank] = message.at("bytes");
  std::string left = findLeft(group.ranks);
  if (!left.empty())
    return announce("'" + what + "': " + left, {});
  if (gather.parts.size() < group.ranks.size())
    return;
  std::vector<std::string> all;
  for (auto &[member, part] : gather.parts)
    all.push_back(std::move(part));
  gathers.erase(entry);
  json answer = {{"is", "gathered"}, {"number", number}, {"all", all}};
  broadcast(answer);
  hear(group.options.rank, answer);
}

void ProcessGroup::Service::checkGathers() {
  for (auto &[number, gather] : gathers) {
    if (Clock::now() - gather.since <= group.options.timeout)
      continue;
    Ranks missing;
    for (int32_t rank : group.ranks)
      if (!gather.parts.count(rank))
        missing.push_back(rank);
    return announce(format("'%s': rank %d has waited %lld ms for %s, which did "
                           "not come",
                           gather.what.c_str(), gather.first,
                           toMilliseconds(group.options.timeout),
                           joinRanks(missing).c_str()),
                    missing);
  }
}
