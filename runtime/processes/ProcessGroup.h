//===- ProcessGroup.h - Ranks that are processes ----------------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOERT_PROCESSES_PROCESSGROUP_H
#define MOERT_PROCESSES_PROCESSGROUP_H

#include "moert/moert.h"

#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <vector>

namespace moert {

/// A collective that a rank is or was in.
struct Activity {
  /// What all ranks of the collective call it; "" if there was none yet.
  std::string what;
  std::vector<int32_t> ranks;
  /// Whether it is not complete.
  bool isWaiting = false;
  /// Changes with every collective; replays of a graph have that of its
  /// capture.
  uint64_t ticket = 0;
};

/// The ranks of a group, each a process, and what they tell each other beside
/// the data: who is there, small values of all, and who is lost. The lowest
/// rank is the hub: all others hold a connection to it. A thread of the group's
/// own sends and hears signs of life. Functions may be called by any thread;
/// what devices call is virtual, as it lives in libmoert alone.
class ProcessGroup {
public:
  struct Options {
    int32_t rank = 0;
    int32_t size = 1;
    std::string host; // Where the hub listens.
    uint16_t port = 0;
    std::chrono::milliseconds timeout{MOERT_DEFAULT_TIMEOUT_MS};
  };

  /// What is to be watched on this rank. Called on the group's thread.
  class Watched {
  public:
    virtual ~Watched() = default;
    /// The collectives that this rank is in, at most one of a communicator; or
    /// the last one.
    virtual std::vector<Activity> look() = 0;
    /// What has gone wrong here, as far as can be told without waiting; "" if
    /// nothing has.
    virtual std::string findFault() = 0;
    /// Lets all that waits for other ranks go on. Called once.
    virtual void abort() = 0;
  };

  /// Waits for all ranks to come.
  static moert_status create(const Options &options,
                             std::shared_ptr<ProcessGroup> &group,
                             std::string &error);
  /// Leaves: the others learn that this rank comes to nothing any more.
  virtual ~ProcessGroup();

  int32_t rank() const { return options.rank; }
  /// The ranks at the start.
  int32_t size() const { return options.size; }
  /// The ranks that take part, in order.
  const std::vector<int32_t> &members() const { return ranks; }
  std::chrono::milliseconds timeout() const { return options.timeout; }

  /// Hands each rank the bytes of all, in the order of members. `what` is the
  /// same on all ranks, for messages.
  virtual moert_status allGather(const std::string &what, std::string mine,
                                 std::vector<std::string> &all,
                                 std::string &error);

  /// Null: nothing. Returns when the last is used no more.
  virtual void watch(Watched *watched);

  /// The first failure counts, for all ranks and for good. `lost` are the ranks
  /// that it names.
  virtual void fail(std::string message, std::vector<int32_t> lost = {});
  /// Whether the group has failed, and why.
  virtual bool hasFailed(std::string &error) const;
  bool hasFailed() const { return failed; }

  /// Whether one of these has left: "rank 2 has left the group", or "".
  virtual std::string findLeft(const std::vector<int32_t> &ranks) const;

  /// The group of the ranks that are not lost, after a failure. All of them
  /// call this; who does not come in time is lost too.
  virtual moert_status shrink(std::shared_ptr<ProcessGroup> &group,
                              std::string &error) const;

private:
  class Service;
  ProcessGroup(const Options &options, std::vector<int32_t> ranks);

  const Options options;
  std::vector<int32_t> ranks;
  std::unique_ptr<Service> service;
  std::atomic<bool> failed{false};
};

} // namespace moert

#endif // MOERT_PROCESSES_PROCESSGROUP_H
