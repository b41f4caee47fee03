//===- RankRun.h - Runs of several ranks --------------------------*- C++
//-*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_TOOLS_MOERUN_RANKRUN_H
#define MOE_MLIR_TOOLS_MOERUN_RANKRUN_H

#include "RankSet.h"

#include <optional>

namespace moe::tools {

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
  Outcome capture() {
    return set.forEach(
        [&](int64_t index) { return executions[index]->capture(); });
  }
  /// Runs all ranks once and collects their rows.
  Outcome run();
  const HostTensor &output() const { return result; }
  /// Of a rank here, by its index, of the last run, if the artefact records it;
  /// else null.
  const HostTensor *expertLoad(int64_t index) const {
    return executions[index]->expertLoad();
  }
  /// Those of all ranks, [ranks, P], or nothing. All ranks call this.
  Outcome collectLoads(std::optional<HostTensor> &loads);
  HostTensor takeOutput() { return std::move(result); }
  int64_t workspaceBytes() const {
    return executions.front()->workspaceBytes();
  }
  int64_t nanoseconds() const { return executions.front()->nanoseconds(); }

private:
  RankSet &set;
  const Artefact &artefact;
  std::vector<std::unique_ptr<Execution>> executions;
  HostTensor result;
};

/// All that is asked of an artefact for several ranks, each with a context and
/// its share of tokens and weights: on the CPU they are threads of this
/// process, on GPUs this process is one of them.
Outcome runRanks(const RunOptions &options, const Artefact &artefact);

} // namespace moe::tools

#endif // MOE_MLIR_TOOLS_MOERUN_RANKRUN_H
