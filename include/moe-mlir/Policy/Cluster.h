//===- Cluster.h - A machine of many GPUs -----------------------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The description of the machine that a layer is to run on: its GPUs, which all
// are alike, and the links between them. Rank r is GPU r mod G of node r div G,
// with G GPUs per node.
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_POLICY_CLUSTER_H
#define MOE_MLIR_POLICY_CLUSTER_H

#include "moe-mlir/Policy/CostModel.h"

namespace moe::policy {

/// Times in seconds, rates in bytes per second, sizes in bytes.
struct ClusterModel {
  std::string name;
  /// Where the numbers come from.
  std::string note;
  int64_t nodes = 1;
  int64_t gpusPerNode = 1;
  /// One GPU. Its link is the one to the other GPUs of its node.
  MachineModel gpu;
  /// Memory of one GPU.
  double gpuMemory = 0;
  /// Of one GPU and direction, between nodes. Not used with one node.
  double networkBandwidth = 0;
  /// From the start of a message between nodes to its first byte.
  double networkLatency = 0;
  /// Between two messages to other nodes that one GPU starts: what bounds an
  /// exchange of many small ones.
  double networkMessageGap = 0;

  int64_t getNumGPUs() const { return nodes * gpusPerNode; }
  int64_t getNode(int64_t rank) const { return rank / gpusPerNode; }

  /// One GPU of it, for decisions that know one link: the network, if there are
  /// several nodes.
  MachineModel getMachineOfRank() const;
};

/// A description as JSON: `name`, `note`, `nodes`, `gpus_per_node`,
/// `gpu_memory`, `gpu` (what writeMachine writes), and, unless there is one
/// node only, `network` with `bandwidth`, `latency` and `message_gap`. Reading
/// refuses missing, unknown and impossible members: nothing is returned, and
/// `error` says what was expected and found.
std::optional<ClusterModel> readCluster(std::string_view json,
                                        std::string &error);
/// The same from a file, whose name the error then has.
std::optional<ClusterModel> loadCluster(const std::string &path,
                                        std::string &error);

} // namespace moe::policy

#endif // MOE_MLIR_POLICY_CLUSTER_H
