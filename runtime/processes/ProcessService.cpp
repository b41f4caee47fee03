//===- ProcessService.cpp - What a group of processes tells ---------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "ProcessService.h"

#include "../common/Error.h"

#include <asio/post.hpp>

#include <algorithm>
#include <future>
#include <unistd.h>

using namespace moert;
using Tcp = asio::ip::tcp;
using std::chrono::milliseconds;

ProcessGroup::Service::Service(ProcessGroup &group, Start start)
    : group(group), hub(group.ranks.front()),
      interval(std::clamp<Clock::duration>(
          group.options.timeout / 8, milliseconds(20), milliseconds(1000))),
      ticker(io), pause(io), thread([this, start] { run(start); }) {}

ProcessGroup::Service::~Service() {
  // All is on its way before the thread ends.
  asio::post(io, [this] {
    json left = {{"is", "left"}, {"rank", group.options.rank}};
    for (auto &[rank, peer] : peers) {
      peer.link->onClose = nullptr;
      peer.link->send(left);
      peer.link->finish();
    }
    for (const auto &link : std::exchange(strangers, {}))
      link->close();
    listener.reset();
    successor.reset();
    resolver.reset();
    pause.cancel();
    ticker.cancel();
    deadline = Clock::now() + std::chrono::seconds(1);
    drain();
  });
  thread.join();
}

/// Ends the thread once all is sent.
void ProcessGroup::Service::drain() {
  const bool isSent =
      std::none_of(peers.begin(), peers.end(),
                   [](const auto &peer) { return peer.second.link->isOpen(); });
  if (isSent || Clock::now() > deadline)
    return io.stop();
  pause.expires_after(milliseconds(1));
  pause.async_wait([this](asio::error_code) { drain(); });
}

void ProcessGroup::Service::run(Start start) {
  try {
    epoch = start.epoch;
    mayMiss = start.mayMiss;
    deadline = Clock::now() + group.options.timeout;
    std::string fault = open(start);
    if (!fault.empty())
      announce(fault, {});
    else if (group.ranks.size() == 1)
      becomeReady();
    tick();
  } catch (const std::exception &exception) {
    giveUp(exception);
  }
  while (true)
    try {
      io.run();
      return;
    } catch (const std::exception &exception) {
      giveUp(exception);
    }
}

/// Short of memory or of sockets: to be known as lost is all that is left.
void ProcessGroup::Service::giveUp(const std::exception &exception) {
  const bool isFirst = setFailure(
      std::string("the group's thread has failed: ") + exception.what(), {});
  for (auto &[rank, peer] : peers)
    peer.link->close();
  std::lock_guard<std::mutex> lock(watchMutex);
  if (isFirst && watched)
    watched->abort();
}

bool ProcessGroup::Service::isMember(int32_t rank) const {
  return std::binary_search(group.ranks.begin(), group.ranks.end(), rank);
}

std::string ProcessGroup::Service::place() const {
  return group.options.host + ":" + std::to_string(group.options.port);
}

//===----------------------------------------------------------------------===//
// Coming together
//===----------------------------------------------------------------------===//

std::string ProcessGroup::Service::open(const Start &start) {
  asio::error_code error;
  auto listen = [&](std::optional<Acceptor> &acceptor, uint16_t port) {
    acceptor.emplace(io);
    acceptor->open(Tcp::v4(), error);
    if (!error)
      acceptor->set_option(Acceptor::reuse_address(true), error);
    if (!error)
      acceptor->bind({Tcp::v4(), port}, error);
    if (!error)
      acceptor->listen(Acceptor::max_listen_connections, error);
  };
  if (group.ranks.size() == 1)
    return "";
  listen(successor, 0);
  if (!error && isHub()) {
    if (start.listener >= 0) {
      listener.emplace(io);
      listener->assign(Tcp::v4(), start.listener, error);
    } else {
      listen(listener, group.options.port);
    }
  }
  if (error)
    return format("rank %d cannot listen at %s: ", group.options.rank,
                  place().c_str()) +
           error.message();
  if (isHub())
    accept();
  else
    resolve();
  return "";
}

void ProcessGroup::Service::accept() {
  listener->async_accept([this](asio::error_code error, Link::Socket socket) {
    if (!listener)
      return;
    if (!error) {
      greet(std::move(socket));
      return accept();
    }
    // Sockets are short: some may close.
    pause.expires_after(milliseconds(100));
    pause.async_wait([this](asio::error_code error) {
      if (!error && listener)
        accept();
    });
  });
}

/// Waits for a stranger's hello.
void ProcessGroup::Service::greet(Link::Socket socket) {
  auto link = std::make_shared<Link>(std::move(socket));
  strangers.insert(link);
  link->setLimit(4096);
  link->onMessage = [this, link = link.get()](const json &message) {
    try {
      onHello(link->shared_from_this(), message);
    } catch (const json::exception &) {
      strangers.erase(link->shared_from_this());
      link->close();
    }
  };
  link->onClose = [this, link = link.get()] {
    strangers.erase(link->shared_from_this());
  };
  link->start();
}

void ProcessGroup::Service::onHello(const std::shared_ptr<Link> &link,
                                    const json &message) {
  strangers.erase(link);
  if (message.value("is", "") != "hello" ||
      message.value("epoch", int64_t(-1)) != epoch)
    return link->close();
  const int32_t rank = message.value("rank", -1);
  const int32_t size = message.value("size", 0);
  const uint32_t version = message.value("version", 0u);
  std::string fault;
  if (version != MOERT_ABI_VERSION)
    fault = format("rank %d has a runtime of ABI version %u, expected %u", rank,
                   version, MOERT_ABI_VERSION);
  else if (size != group.options.size)
    fault = format("rank %d was told of %d ranks, expected %d, as rank %d",
                   rank, size, group.options.size, group.options.rank);
  else if (!isMember(rank) || isReady)
    fault = format("a process came as rank %d to the group of %d ranks at %s, "
                   "which has no place for it",
                   rank, size, place().c_str());
  else if (rank == group.options.rank || peers.count(rank))
    fault = format("two processes came as rank %d", rank);
  if (!fault.empty()) {
    link->onMessage = nullptr;
    link->onClose = nullptr;
    link->send({{"is", "failed"}, {"text", fault}, {"lost", json::array()}});
    link->finish();
    // Who is ready already needs nobody more.
    if (!isReady)
      announce(fault, {});
    return;
  }
  link->setLimit(Link::maxLength);
  Peer &peer = peers[rank];
  peer.link = link;
  peer.address = link->peerAddress() + ":" +
                 std::to_string(message.value("port", uint16_t(0)));
  link->onMessage = [this, rank](const json &message) { hear(rank, message); };
  link->onClose = [this, rank] { onLost(rank); };
  if (peers.size() + 1 == group.ranks.size())
    becomeReady();
}

void ProcessGroup::Service::resolve() {
  resolver.emplace(io);
  resolver->async_resolve(
      Tcp::v4(), group.options.host, std::to_string(group.options.port),
      [this](asio::error_code error, const Tcp::resolver::results_type &found) {
        if (!resolver)
          return;
        if (error || found.empty())
          return retry(error.message());
        connect(*found.begin());
      });
}

void ProcessGroup::Service::connect(Tcp::endpoint endpoint) {
  auto socket = std::make_shared<Link::Socket>(io);
  socket->async_connect(endpoint, [this, socket](asio::error_code error) {
    if (!resolver)
      return;
    if (error)
      return retry(error.message());
    auto link = std::make_shared<Link>(std::move(*socket));
    peers[hub].link = link;
    link->onMessage = [this](const json &message) { hear(hub, message); };
    link->onClose = [this] { onLost(hub); };
    link->start();
    link->send({{"is", "hello"},
                {"rank", group.options.rank},
                {"size", group.options.size},
                {"epoch", epoch},
                {"version", MOERT_ABI_VERSION},
                {"port", successor->local_endpoint().port()}});
  });
}

/// The hub may come later than this rank.
void ProcessGroup::Service::retry(const std::string &why) {
  latestFault = why;
  pause.expires_after(milliseconds(50));
  pause.async_wait([this](asio::error_code error) {
    if (!error && !group.failed)
      resolve();
  });
}

void ProcessGroup::Service::becomeReady() {
  json message = {{"is", "ready"}, {"members", group.ranks}};
  std::map<int32_t, std::string> found;
  for (auto &[rank, peer] : peers)
    found[rank] = peer.address;
  // Where the hub itself would listen next, nobody needs to know: it is the
  // first to be lost or the hub again.
  if (successor)
    found[hub] = group.options.host + ":" +
                 std::to_string(successor->local_endpoint().port());
  for (auto &[rank, address] : found)
    message["addresses"][std::to_string(rank)] = address;
  broadcast(message);
  onReady(message);
}

void ProcessGroup::Service::onReady(const json &message) {
  std::lock_guard<std::mutex> lock(mutex);
  group.ranks = message.at("members").get<Ranks>();
  const json places = message.value("addresses", json::object());
  for (auto &[rank, address] : places.items())
    addresses[std::stoi(rank)] = address;
  isReady = true;
  change.notify_all();
  // Nobody more is to come.
  listener.reset();
  for (const auto &link : std::exchange(strangers, {}))
    link->close();
}

/// Not all have come in time.
void ProcessGroup::Service::expire() {
  const long long waited = toMilliseconds(group.options.timeout);
  if (isHub()) {
    Ranks missing, here = {group.options.rank};
    for (int32_t rank : group.ranks)
      if (rank != group.options.rank)
        (peers.count(rank) ? here : missing).push_back(rank);
    if (mayMiss) {
      group.ranks = here;
      return becomeReady();
    }
    announce(format("%s did not come within %lld ms to the group of %d ranks "
                    "at %s",
                    joinRanks(missing).c_str(), waited, group.options.size,
                    place().c_str()),
             missing);
    return;
  }
  // A hub that is there says itself who is missing, once its own time is over:
  // it may have begun to wait later.
  if (peers.count(hub) &&
      Clock::now() < deadline + group.options.timeout + 4 * interval)
    return;
  announce(format("rank %d has not reached rank %d at %s within %lld ms: %s",
                  group.options.rank, hub, place().c_str(), waited,
                  latestFault.c_str()),
           {hub});
}

//===----------------------------------------------------------------------===//
// Messages
//===----------------------------------------------------------------------===//

void ProcessGroup::Service::broadcast(const json &message) {
  for (auto &[rank, peer] : peers)
    peer.link->send(message);
}

void ProcessGroup::Service::toHub(const json &message) {
  if (isHub())
    hear(group.options.rank, message);
  else
    broadcast(message);
}

void ProcessGroup::Service::hear(int32_t rank, const json &message) {
  try {
    const std::string is = message.value("is", "");
    if (is == "alive")
      peers[rank].waitsIn = message.at("in").get<std::set<std::string>>();
    else if (is == "ready")
      onReady(message);
    else if (is == "gather")
      onGather(rank, message);
    else if (is == "gathered") {
      std::lock_guard<std::mutex> lock(mutex);
      gathered[message.at("number")] =
          message.at("all").get<std::vector<std::string>>();
      change.notify_all();
    } else if (is == "stalled")
      onStalled(rank, message);
    else if (is == "failed")
      announce(message.at("text"), message.at("lost").get<Ranks>());
    else if (is == "left")
      onLeft(message.at("rank"));
  } catch (const json::exception &) {
    announce(format("rank %d has sent a message that rank %d does not "
                    "understand",
                    rank, group.options.rank),
             {rank});
  }
}

void ProcessGroup::Service::onLeft(int32_t rank) {
  {
    std::lock_guard<std::mutex> lock(mutex);
    leftRanks.push_back(rank);
  }
  if (auto peer = peers.find(rank); peer != peers.end())
    peer->second.link->onClose = nullptr;
  change.notify_all();
  if (!isHub())
    return;
  for (auto &[other, peer] : peers)
    if (other != rank)
      peer.link->send({{"is", "left"}, {"rank", rank}});
  if (!isReady)
    announce(format("rank %d has left before all ranks came", rank), {rank});
  else if (!gathers.empty())
    announce("'" + gathers.begin()->second.what + "': " + findLeft({rank}),
             {rank});
}

void ProcessGroup::Service::onLost(int32_t rank) {
  announce(format("rank %d is lost: its connection has closed", rank), {rank});
}

bool ProcessGroup::Service::setFailure(const std::string &message,
                                       const Ranks &lost) {
  std::lock_guard<std::mutex> lock(mutex);
  if (group.failed) {
    // Who is lost later is lost, too.
    lostRanks.insert(lostRanks.end(), lost.begin(), lost.end());
    return false;
  }
  failure = message;
  lostRanks = lost;
  group.failed = true;
  change.notify_all();
  return true;
}

/// What this rank waits in, or was in last, unless the message says so.
static std::string sayPlace(const std::vector<Activity> &activities,
                            int32_t rank, const std::string &message) {
  std::string text;
  for (const Activity &activity : activities)
    if (!activity.what.empty() && message.find(activity.what) == message.npos)
      text +=
          format(activity.isWaiting ? "; rank %d was in "
                                    : "; the last collective of rank %d was ",
                 rank) +
          activity.what;
  return text;
}

void ProcessGroup::Service::announce(const std::string &message,
                                     const Ranks &lost) {
  std::lock_guard<std::mutex> lock(watchMutex);
  const std::string place =
      watched ? sayPlace(watched->look(), group.options.rank, message) : "";
  {
    // Whoever learns of the failure learns where this rank was.
    std::lock_guard<std::mutex> lock(mutex);
    if (!group.failed)
      ownPlace = place;
  }
  if (!setFailure(message, lost))
    return;
  broadcast({{"is", "failed"}, {"text", message}, {"lost", lost}});
  if (watched)
    watched->abort();
}

//===----------------------------------------------------------------------===//
// What other threads call
//===----------------------------------------------------------------------===//

moert_status ProcessGroup::Service::waitUntilReady(std::string &error) {
  std::unique_lock<std::mutex> lock(mutex);
  change.wait(lock, [&] { return isReady || group.failed; });
  // It may have failed at once, which the next to ask learns.
  if (isReady)
    return MOERT_SUCCESS;
  error = failure;
  return MOERT_RANK_FAILED;
}

moert_status ProcessGroup::Service::allGather(const std::string &what,
                                              std::string mine,
                                              std::vector<std::string> &all,
                                              std::string &error) {
  if (mine.size() > Link::maxLength / 2 / group.ranks.size())
    return moert::fail(error, MOERT_INVALID_ARGUMENT,
                       format("'%s': %zu bytes on each of %zu ranks are too "
                              "many, expected at most %u together",
                              what.c_str(), mine.size(), group.ranks.size(),
                              Link::maxLength / 2));
  std::unique_lock<std::mutex> lock(mutex);
  const int64_t number = numGathers++;
  asio::post(io, [this, number, what, mine = std::move(mine)] {
    toHub({{"is", "gather"},
           {"number", number},
           {"what", what},
           {"bytes", mine}});
  });
  // Without a hub nothing is gathered any more.
  auto hasHubLeft = [&] {
    return std::find(leftRanks.begin(), leftRanks.end(), hub) !=
           leftRanks.end();
  };
  auto isOver = [&] {
    return group.failed || gathered.count(number) || hasHubLeft();
  };
  // The hub has the clock for the ranks; this one is for the hub.
  auto limit = group.options.timeout + 4 * interval;
  if (!change.wait_for(lock, limit, isOver)) {
    lock.unlock();
    fail(format("'%s': rank %d has waited %lld ms for an answer of rank %d",
                what.c_str(), group.options.rank, toMilliseconds(limit), hub),
         {hub});
    lock.lock();
  }
  if (auto found = gathered.find(number); found != gathered.end()) {
    all = std::move(found->second);
    gathered.erase(found);
    return MOERT_SUCCESS;
  }
  error = group.failed
              ? failure
              : format("'%s': rank %d has left the group", what.c_str(), hub);
  return MOERT_RANK_FAILED;
}

void ProcessGroup::Service::watch(Watched *given) {
  std::lock_guard<std::mutex> lock(watchMutex);
  watched = given;
}

void ProcessGroup::Service::fail(std::string message, Ranks lost) {
  std::promise<void> done;
  asio::post(io, [&] {
    announce(message, lost);
    done.set_value();
  });
  done.get_future().wait();
}

void ProcessGroup::Service::readFailure(std::string &error) const {
  std::lock_guard<std::mutex> lock(mutex);
  error = failure + ownPlace;
}

std::string ProcessGroup::Service::findLeft(const Ranks &ranks) const {
  std::lock_guard<std::mutex> lock(mutex);
  for (int32_t rank : leftRanks)
    if (std::find(ranks.begin(), ranks.end(), rank) != ranks.end())
      return format("rank %d has left the group", rank);
  return "";
}

moert_status ProcessGroup::Service::prepareNext(Options &options,
                                                Ranks &survivors, Start &start,
                                                std::string &error) {
  {
    std::lock_guard<std::mutex> lock(mutex);
    if (!group.failed || !isReady)
      return moert::fail(
          error, MOERT_INVALID_ARGUMENT,
          isReady ? "the group has not failed, expected a group that "
                    "has lost a rank"
                  : "the group was never complete");
    auto isIn = [](const Ranks &ranks, int32_t rank) {
      return std::find(ranks.begin(), ranks.end(), rank) != ranks.end();
    };
    for (int32_t rank : group.ranks)
      if (!isIn(lostRanks, rank) && !isIn(leftRanks, rank))
        survivors.push_back(rank);
    if (!isIn(survivors, options.rank))
      return moert::fail(error, MOERT_RANK_FAILED,
                         format("rank %d counts as lost: ", options.rank) +
                             failure);
    const std::string &address = addresses[survivors.front()];
    const size_t colon = address.rfind(':');
    options.host = address.substr(0, colon);
    options.port = uint16_t(std::stoi(address.substr(colon + 1)));
  }
  start.epoch = epoch + 1;
  start.mayMiss = true;
  if (survivors.front() == options.rank) {
    // Handlers ahead of this one may want the lock.
    std::promise<int> taken;
    asio::post(io, [&] {
      taken.set_value(successor ? dup(successor->native_handle()) : -1);
    });
    start.listener = taken.get_future().get();
  }
  return MOERT_SUCCESS;
}
