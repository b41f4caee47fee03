//===- RankSet.h - Ranks as threads -----------------------------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_TOOLS_MOERUN_RANKSET_H
#define MOE_MLIR_TOOLS_MOERUN_RANKSET_H

#include "Execution.h"
#include "Ranks.h"

#include <memory>
#include <optional>
#include <thread>

namespace moe::tools {

/// A rank's context and inputs, which serve one artefact after the other.
struct Rank {
  Context context;
  Inputs inputs;
  DeviceInputs deviceInputs;
};

/// The ranks of one run of the tool.
class RankSet {
public:
  ~RankSet() {
    ranks.clear();
    moert_group_destroy(group);
  }

  Outcome create(const RunOptions &options, const Artefact &artefact);

  const RankLayout &layout() const { return shares; }
  const Inputs &whole() const { return inputs; }
  const std::vector<int64_t> &tokens() const { return inputs.tokensPerRank; }
  int64_t size() const { return int64_t(ranks.size()); }
  Rank &operator[](int64_t rank) { return *ranks[rank]; }

  /// Gives the ranks other rows of an input that has a row for each token.
  Outcome replaceRows(HostTensor rows);

  /// Calls `body(rank)` on a thread for each rank; the first failure counts,
  /// with the number of its rank.
  template <typename Body> Outcome forEach(Body body);

private:
  RankLayout shares;
  Inputs inputs;
  moert_group *group = nullptr;
  std::vector<std::unique_ptr<Rank>> ranks;
};

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
  /// Runs all ranks once and collects their rows.
  Outcome run();
  const HostTensor &output() const { return result; }
  /// Of the last run, if the artefact records it; else null.
  const HostTensor *expertLoad(int64_t rank) const {
    return executions[rank]->expertLoad();
  }
  /// Those of all ranks, [ranks, P].
  std::optional<HostTensor> expertLoads() const;
  int64_t workspaceBytes() const {
    return executions.front()->workspaceBytes();
  }
  int64_t nanoseconds() const { return executions.front()->nanoseconds(); }

private:
  Outcome collect();

  RankSet &set;
  const Artefact &artefact;
  std::vector<std::unique_ptr<Execution>> executions;
  HostTensor result;
};

template <typename Body> Outcome RankSet::forEach(Body body) {
  std::vector<Outcome> outcomes(ranks.size());
  std::vector<std::thread> threads;
  for (int64_t rank = 0; rank < size(); ++rank)
    threads.emplace_back([&, rank] {
      try {
        outcomes[rank] = body(rank);
      } catch (const std::exception &error) {
        outcomes[rank] = Outcome::failed(error.what());
      }
    });
  for (std::thread &thread : threads)
    thread.join();
  for (int64_t rank = 0; rank < size(); ++rank)
    if (!outcomes[rank])
      return Outcome::failed("rank " + std::to_string(rank) + ": " +
                             outcomes[rank].message());
  return {};
}

} // namespace moe::tools

#endif // MOE_MLIR_TOOLS_MOERUN_RANKSET_H
