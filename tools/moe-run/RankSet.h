//===- RankSet.h - The ranks of a run ---------------------------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_TOOLS_MOERUN_RANKSET_H
#define MOE_MLIR_TOOLS_MOERUN_RANKSET_H

#include "Artefact.h"
#include "Execution.h"
#include "Ranks.h"

#include <functional>
#include <memory>
#include <optional>

namespace moe::tools {

/// A rank's context and inputs, which serve one artefact after the other.
struct Rank {
  int64_t number;
  Context context;
  Inputs inputs;
  DeviceInputs deviceInputs;
};

/// The ranks of one run of the tool. For the CPU all of them are in this
/// process, each with threads; for GPUs each is a process, and this one has
/// one.
class RankSet {
public:
  RankSet() = default;
  RankSet(const RankSet &) = delete;
  ~RankSet() { leave(); }

  Outcome create(const RunOptions &options, const Artefact &artefact);
  /// Gives up the ranks of this process.
  void leave();
  /// Goes on without the ranks that were lost, whose tokens and experts go with
  /// them: from the whole layer, too.
  Outcome shrink(const LayerSpec &layer, std::vector<int64_t> &lostRanks,
                 std::vector<int64_t> &lostExperts);

  const RankLayout &layout() const { return shares; }
  /// Of the whole layer, with the rows of all ranks.
  const Inputs &whole() const { return inputs; }
  const std::vector<int64_t> &tokens() const { return inputs.tokensPerRank; }
  /// Whether this process is one of them.
  bool isProcess() const { return process >= 0; }
  /// "rank 2: " where each rank is a process.
  std::string prefix() const {
    return process < 0 ? "" : "rank " + std::to_string(process) + ": ";
  }
  /// Where the ranks are.
  const std::string &place() const { return where; }
  /// Whether the first rank is here, which prints and checks for all.
  bool isLead() const { return here.front()->number == lead; }

  /// Those of this process.
  int64_t numHere() const { return int64_t(here.size()); }
  Rank &operator[](int64_t index) { return *here[index]; }

  /// Waits for the other processes, so that all begin at the same time.
  Outcome meet();

  /// What each rank got from each other so far: [to * ranks + from].
  Outcome collectTraffic(std::vector<int64_t> &bytes);

  /// Gives the ranks other rows of an input that has a row for each token.
  Outcome replaceRows(HostTensor rows);

  /// Calls `body(index)` on a thread for each rank of this process; the first
  /// failure counts, with the number of its rank.
  Outcome forEach(const std::function<Outcome(int64_t index)> &body);

  /// The tensors of all ranks, of which those here give theirs; `stride` bytes
  /// apart and at most as long.
  Outcome gather(const std::vector<const HostTensor *> &tensors, int64_t stride,
                 std::vector<char> &all);

private:
  Outcome createHere(const RunOptions &options, const Descriptor &descriptor);
  Outcome createProcess(const RunOptions &options,
                        const Descriptor &descriptor);
  Outcome add(const RunOptions &options, const Descriptor &descriptor,
              int64_t number, int32_t threads, int32_t device);

  RankLayout shares;
  Inputs inputs;
  std::string where;
  int64_t process = -1; // The rank that this process is.
  int64_t lead = 0;
  moert_group *group = nullptr;
  std::vector<std::unique_ptr<Rank>> here;
};

/// Gives a rank's map of EPLB other values.
Outcome replaceMap(Rank &rank, const std::string &name,
                   const std::vector<int64_t> &values);

/// Whether ranks of the artefact can go on without one of them.
Outcome checkShrinkable(const Descriptor &descriptor, const RankLayout &layout);

/// An artefact on all ranks.
class RankRun {
public:
  RankRun(RankSet &set, const Artefact &artefact)
      : set(set), artefact(artefact) {}

  Outcome prepare();
  void setPoison(bool enable) {
    for (auto &execution : executions)
      execution->setPoison(enable);
  }
  /// From now on, runs the graph that one more call is captured in.
  Outcome capture();
  /// Runs all ranks once and collects their rows.
  Outcome run();
  /// Of all ranks.
  const HostTensor &output() const { return result; }
  HostTensor takeOutput() { return std::move(result); }
  /// Of the last run of a rank here, if the artefact records it; else null.
  const HostTensor *expertLoad(int64_t index) const {
    return executions[index]->expertLoad();
  }
  /// Those of all ranks, [ranks, P], if the artefact records them.
  Outcome collectExpertLoads(std::optional<HostTensor> &loads);
  int64_t workspaceBytes() const {
    return executions.front()->workspaceBytes();
  }
  int64_t nanoseconds() const { return executions.front()->nanoseconds(); }

private:
  /// Ranks that hold equal rows must agree on them to the bit.
  Outcome collect();

  RankSet &set;
  const Artefact &artefact;
  std::vector<std::unique_ptr<Execution>> executions;
  HostTensor result;
};

} // namespace moe::tools

#endif // MOE_MLIR_TOOLS_MOERUN_RANKSET_H
