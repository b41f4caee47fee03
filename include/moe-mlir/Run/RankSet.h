//===- RankSet.h - The ranks of a run ---------------------------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_RUN_RANKSET_H
#define MOE_MLIR_RUN_RANKSET_H

#include "moe-mlir/Run/Execution.h"
#include "moe-mlir/Run/RankLayout.h"

#include <functional>
#include <memory>
#include <optional>

namespace moe::run {

/// A rank's context and inputs, which serve one artefact after the other.
struct Rank {
  int64_t number;
  Context context;
  /// The rank's share; of one rank alone, all that the set has.
  Inputs *inputs;
  DeviceInputs deviceInputs;
  /// Where `inputs` is a share.
  Inputs share;
};

/// Which ranks a process has, and how they run.
struct RankOptions {
  /// Threads of each rank on a CPU; 0: one for each core, which ranks share.
  int32_t threads = 0;
  /// How long ranks wait for each other, in milliseconds.
  int64_t timeoutMs = 60000;
  /// The rank that this process is. Nothing: all ranks are in this process.
  std::optional<moert_process_options> process;
  /// The number of the device that the ranks of this process use.
  int32_t device = 0;
};

/// The ranks of an artefact, one or many: in this process, on a thread each, or
/// of which this process is one. One rank is a set of one.
class RankSet {
public:
  RankSet() = default;
  RankSet(const RankSet &) = delete;
  ~RankSet() { leave(); }

  /// Makes the contexts of this process' ranks, which fails where the device is
  /// not there. The descriptor is kept by reference.
  Status create(const Descriptor &descriptor, const RankLayout &layout,
                const RankOptions &options);
  /// Joins the ranks in a group and gives each its share of the whole layer's
  /// inputs, on its device. Waits for the other processes.
  Status start(Inputs whole);
  /// Gives up the ranks of this process.
  void leave();
  /// Goes on without the ranks that were lost, whose tokens and experts go with
  /// them: from the whole layer, too.
  Status shrink(std::vector<int64_t> &lostRanks,
                std::vector<int64_t> &lostExperts);

  const Descriptor &descriptor() const { return *artefact; }
  const RankLayout &layout() const { return shares; }
  /// Of the whole layer, with the rows of all ranks.
  const Inputs &whole() const { return inputs; }
  const std::vector<int64_t> &tokens() const { return inputs.tokensPerRank; }
  /// Whether this process is one of them.
  bool isProcess() const { return options.process.has_value(); }
  /// "rank 2: " where each rank is a process.
  std::string prefix() const {
    return isProcess() ? "rank " + std::to_string(options.process->rank) + ": "
                       : "";
  }
  /// Whether the first rank is here, which prints and checks for all.
  bool isLead() const { return here.front()->number == lead; }

  /// Those of this process.
  int64_t numHere() const { return int64_t(here.size()); }
  Rank &operator[](int64_t index) { return *here[index]; }

  /// Waits for the other processes, so that all begin at the same time.
  Status meet();

  /// What each rank got from each other so far: [to * ranks + from].
  Status collectTraffic(std::vector<int64_t> &bytes);

  /// Gives the ranks other rows, as many, of an input that has a row for each
  /// token of the whole layer.
  Status replaceRows(const HostTensor &rows);

  /// Calls `body(index)` on a thread for each rank of this process; the first
  /// failure counts, with the number of its rank.
  Status forEach(const std::function<Status(int64_t index)> &body);

  /// The tensors of all ranks, of which those here give theirs; `stride` bytes
  /// apart and at most as long.
  Status gather(const std::vector<const HostTensor *> &tensors, int64_t stride,
                std::vector<char> &all);

private:
  Status joinGroup();

  const Descriptor *artefact = nullptr;
  RankLayout shares;
  RankOptions options;
  Inputs inputs;
  int64_t lead = 0;
  moert_group *group = nullptr;
  std::vector<std::unique_ptr<Rank>> here;
};

/// Gives a rank's map of EPLB other values.
Status replaceMap(Rank &rank, const std::string &name,
                  const std::vector<int64_t> &values);

/// Whether ranks can go on without one of them: RankSet::shrink.
Status checkShrinkable(const Descriptor &descriptor, const RankLayout &layout);

/// An artefact on all ranks.
class RankRun {
public:
  RankRun(RankSet &set, const Artefact &artefact)
      : set(set), artefact(artefact) {}

  Status prepare();
  void setPoison(bool enable) {
    for (auto &execution : executions)
      execution->setPoison(enable);
  }
  /// From now on, runs the graph that one more call is captured in.
  Status capture();
  /// Runs all ranks once and collects their rows.
  Status run();
  /// Of the last run, the rows of all ranks.
  const HostTensor &output() const {
    return set.layout().numRanks() == 1 ? executions.front()->output() : result;
  }
  /// Of the last run of several ranks.
  HostTensor takeOutput() { return std::move(result); }
  /// Of the last run of a rank here, if the artefact records it; else null.
  const HostTensor *expertLoad(int64_t index) const {
    return executions[index]->expertLoad();
  }
  /// Those of all ranks, [ranks, P] or, of one, [P], if the artefact records
  /// them.
  Status collectExpertLoads(std::optional<HostTensor> &loads);
  int64_t workspaceBytes() const {
    return executions.front()->workspaceBytes();
  }
  int64_t nanoseconds() const { return executions.front()->nanoseconds(); }
  /// That of a rank here.
  Execution &execution(int64_t index) { return *executions[index]; }

private:
  /// Ranks that hold equal rows must agree on them to the bit.
  Status collect();

  RankSet &set;
  const Artefact &artefact;
  std::vector<std::unique_ptr<Execution>> executions;
  HostTensor result;
};

} // namespace moe::run

#endif // MOE_MLIR_RUN_RANKSET_H
