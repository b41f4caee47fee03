//===- ProcessService.h - What a group of processes tells -------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Messages, each an object whose "is" says what it is:
//   hello     to the hub: rank, size, epoch, version, port (where the rank
//             would listen as the next hub)
//   ready     from the hub: members, and addresses of all of them
//   alive     both ways, at every interval: collectives that the rank is in
//   stalled   to the hub: a collective that has lasted too long
//   gather    to the hub: number, what, bytes
//   gathered  from the hub: number, all
//   failed    both ways: text, lost
//   left      both ways: rank
//
//===----------------------------------------------------------------------===//

#ifndef MOERT_PROCESSES_PROCESSSERVICE_H
#define MOERT_PROCESSES_PROCESSSERVICE_H

#include "Link.h"
#include "ProcessGroup.h"

#include <asio/io_context.hpp>
#include <asio/steady_timer.hpp>

#include <condition_variable>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <thread>

namespace moert {

inline long long toMilliseconds(Link::Clock::duration time) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(time).count();
}

/// "rank 1, rank 3".
std::string joinRanks(const std::vector<int32_t> &ranks);

class ProcessGroup::Service {
public:
  using Clock = Link::Clock;
  using Ranks = std::vector<int32_t>;

  /// How a group begins.
  struct Start {
    /// Counts the groups that were made of each other by shrinking.
    int64_t epoch = 0;
    /// Whether ranks that do not come are left out.
    bool mayMiss = false;
    /// The hub's open socket for it, or -1.
    int listener = -1;
  };

  Service(ProcessGroup &group, Start start);
  ~Service();

  moert_status waitUntilReady(std::string &error);
  moert_status allGather(const std::string &what, std::string mine,
                         std::vector<std::string> &all, std::string &error);
  void watch(Watched *watched);
  void fail(std::string message, Ranks lost);
  void readFailure(std::string &error) const;
  std::string findLeft(const Ranks &ranks) const;

  /// What the next group begins with: the ranks that are there, where its hub
  /// listens, and this rank's socket if that is the hub.
  moert_status prepareNext(Options &options, Ranks &survivors, Start &start,
                           std::string &error);

private:
  using Acceptor = asio::ip::tcp::acceptor;
  using json = nlohmann::json;

  struct Peer {
    std::shared_ptr<Link> link;
    std::string address; // "host:port" where it would be the next hub.
    std::set<std::string> waitsIn;
  };
  struct Gather {
    std::string what;
    std::map<int32_t, std::string> parts;
    int32_t first;
    Clock::time_point since;
  };
  struct Stall {
    std::string what;
    Ranks ranks;
    int32_t reporter;
    int ticksLeft; // Until all have said anew what they are in.
  };

  // All below runs on the service's thread, but for what is guarded.
  void run(Start start);
  void giveUp(const std::exception &exception);
  void drain();
  std::string open(const Start &start);
  void accept();
  void resolve();
  void connect(asio::ip::tcp::endpoint endpoint);
  void retry(const std::string &why);
  void greet(Link::Socket socket);
  void hear(int32_t rank, const json &message);
  void onHello(const std::shared_ptr<Link> &link, const json &message);
  void onReady(const json &message);
  void onGather(int32_t rank, const json &message);
  void onStalled(int32_t rank, const json &message);
  void onLeft(int32_t rank);
  void onLost(int32_t rank);
  void becomeReady();
  void expire();
  void tick();
  void watchStalls(const std::vector<Activity> &activities);
  /// Whether it is in this collective for a while without a break.
  bool isStuck(const Activity &activity);
  void decideStall(const std::vector<Activity> &mine);
  void checkSilence();
  void checkGathers();
  void broadcast(const json &message);
  void toHub(const json &message);
  /// Tells the others and lets this rank's collectives end.
  void announce(const std::string &message, const Ranks &lost);
  bool setFailure(const std::string &message, const Ranks &lost);

  bool isHub() const { return group.options.rank == hub; }
  bool isMember(int32_t rank) const;
  std::string place() const;

  ProcessGroup &group;
  int32_t hub;
  const Clock::duration interval;
  int64_t epoch = 0;
  bool mayMiss = false;

  asio::io_context io;
  std::optional<Acceptor> listener;  // The hub's.
  std::optional<Acceptor> successor; // To be the hub of the next group.
  std::optional<asio::ip::tcp::resolver> resolver;
  asio::steady_timer ticker, pause;
  Clock::time_point deadline;
  std::string latestFault = "no answer";
  std::set<std::shared_ptr<Link>> strangers;   // Have said no hello.
  std::map<int32_t, Peer> peers;               // Of the hub: all; else the hub.
  std::map<int64_t, Gather> gathers;           // At the hub.
  std::optional<Stall> stall;                  // At the hub.
  std::map<uint64_t, Clock::time_point> waits; // By ticket.
  bool isStallTold = false;
  int faultTicks = 0; // For how long there is a fault.

  mutable std::mutex mutex; // Guards what follows.
  std::condition_variable change;
  bool isReady = false;
  std::string failure;
  std::string ownPlace; // Where this rank was when the group failed.
  Ranks lostRanks;
  Ranks leftRanks;
  std::map<int32_t, std::string> addresses;
  int64_t numGathers = 0;
  std::map<int64_t, std::vector<std::string>> gathered;

  std::mutex watchMutex; // Held while `watched` is used.
  Watched *watched = nullptr;

  std::thread thread; // Last: it uses all of this.
};

} // namespace moert

#endif // MOERT_PROCESSES_PROCESSSERVICE_H
