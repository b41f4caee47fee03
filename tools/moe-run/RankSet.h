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
  /// Whether rank 0 is here, which prints and checks for all.
  bool isLead() const { return here.front()->number == 0; }

  /// Those of this process.
  int64_t numHere() const { return int64_t(here.size()); }
  Rank &operator[](int64_t index) { return *here[index]; }

  /// Calls `body(index)` on a thread for each rank of this process; the first
  /// failure counts, with the number of its rank.
  Outcome forEach(const std::function<Outcome(int64_t index)> &body);

  /// Puts together what the ranks have brought forth: `outputs` of those here,
  /// `all` rows of all. Ranks that hold equal rows must agree to the bit.
  Outcome collect(const std::vector<const HostTensor *> &outputs,
                  HostTensor &all);

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
  moert_group *group = nullptr;
  std::vector<std::unique_ptr<Rank>> here;
};

} // namespace moe::tools

#endif // MOE_MLIR_TOOLS_MOERUN_RANKSET_H
