//===- Communicators.h - Collectives over NCCL ------------------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOERT_CUDA_COMMUNICATORS_H
#define MOERT_CUDA_COMMUNICATORS_H

#include "../common/Exchange.h"
#include "NCCL.h"
#include "Transport.h"

#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

namespace moert {

/// The communicators of a rank on one GPU, made when a program needs them. All
/// are non-blocking: nothing here waits for a rank without looking whether the
/// group has failed meanwhile, and `abort` ends what waits on the GPU.
///
/// Each collective is marked on its stream, before and after, in memory that
/// the host reads: so the group's thread sees what this rank is in, in graphs
/// too.
class Communicators final : public Transport, public ProcessGroup::Watched {
public:
  Communicators(const Driver &driver, CUcontext context,
                std::shared_ptr<ProcessGroup> group)
      : driver(driver), context(context), group(std::move(group)),
        received(this->group->size()) {}
  ~Communicators() override;

  /// Loads NCCL and makes the communicator of all ranks.
  moert_status create(std::string &error);

  const std::shared_ptr<ProcessGroup> &processes() const override {
    return group;
  }
  const Traffic &traffic() const override { return received; }
  void programsChanged() override { programs.clear(); }
  /// Counts of earlier calls are forgotten.
  void beginCall() override { counts.clear(); }
  moert_status enqueue(const moert_call &call, CUstream stream, bool isCaptured,
                       const CollectiveRequest &request,
                       std::string &error) override;

  moert_status enqueueTransfers(CUstream stream,
                                const moert_transfer *transfers, int64_t count,
                                std::string &error) override;

  std::vector<Activity> look() override;
  std::string findFault() override;
  void abort() override;

private:
  /// What a stream writes before and after a collective.
  struct Mark {
    uint32_t begun;
    uint32_t ended;
  };

  struct Communicator {
    std::string name;
    Membership members;
    std::vector<int32_t> ranks; // Of members that are not lost.
    ncclComm_t handle = nullptr;
    volatile Mark *mark = nullptr;

    /// The member's number in NCCL, or -1 where it is lost.
    std::vector<int> numbers;
  };

  /// One collective about to be enqueued.
  struct Work;

  moert_status findProgram(const moert_signature &signature, bool isCaptured,
                           const std::vector<Communicator *> *&found,
                           std::string &error);
  /// Compares what all ranks are about to run.
  moert_status agree(const moert_signature &signature, std::string &error);
  moert_status findCommunicator(const char *name, const Membership &members,
                                Communicator *&found, std::string &error);
  moert_status addCommunicator(const char *name, const Membership &members,
                               Communicator *&added, std::string &error);

  moert_status readCounts(Work &work, std::string &error);
  void countTraffic(const Work &work);
  /// "" or what is wrong with the sizes.
  std::string checkSizes(const Work &work) const;
  /// Enqueues what `issue` gives to NCCL, between marks.
  template <typename Issue>
  moert_status enqueueMarked(const Communicator &communicator, CUstream stream,
                             const std::string &what, Issue issue,
                             std::string &error);
  /// Gives one buffer's rows to NCCL, within a group call.
  void issue(const Work &work, int32_t buffer) const;
  void issueBlocks(const Work &work, int32_t buffer) const;
  /// Zeros instead of what lost ranks would send.
  moert_status clearLost(const Work &work, std::string &error) const;

  /// Waits until a communicator is ready for more, or for all on a stream.
  moert_status settle(const ncclComm_t &handle, ncclResult_t result,
                      const std::string &what, std::string &error);
  moert_status wait(CUstream stream, const std::string &what,
                    std::string &error);
  /// The group's failure, or this one of NCCL if no better is found.
  moert_status reportFault(ncclResult_t result, const std::string &what,
                           std::string &error);
  /// The mark's value for a collective.
  uint32_t nextTicket(const std::string &what);

  const Driver &driver;
  const CUcontext context;
  const std::shared_ptr<ProcessGroup> group;
  Traffic received;
  NCCL nccl;
  std::deque<Communicator> communicators; // The first has all ranks.
  struct Program {
    uint64_t hash;
    std::vector<Communicator *> communicators;
  };
  std::map<const moert_exchange *, Program> programs;
  std::map<uint64_t, bool> agreed; // By hash.

  /// Pinned: marks, and counts of the current call.
  char *pinned = nullptr;
  size_t countsBegin = 0;
  struct Counts {
    const int32_t *send, *receive; // On the device.
    std::vector<int32_t> sent, received;
  };
  std::vector<Counts> counts;

  /// Guards the handles against `abort`: held while NCCL is called.
  std::mutex mutex;
  bool isAborted = false;
  /// Guards the list of communicators and the names: never held for long.
  std::mutex tableMutex;
  static constexpr uint32_t counterBits = 12;
  std::vector<std::string> names; // Of collectives, by number.
  std::map<std::string, uint32_t> numbersOfNames;
  uint32_t numTickets = 0;
};

} // namespace moert

#endif // MOERT_CUDA_COMMUNICATORS_H
