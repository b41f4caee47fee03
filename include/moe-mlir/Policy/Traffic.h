//===- Traffic.h - What collectives move, and how long it takes -*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Bytes between every two ranks and the time of a collective on a machine of
// many GPUs.
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_POLICY_TRAFFIC_H
#define MOE_MLIR_POLICY_TRAFFIC_H

#include "moe-mlir/Policy/Cluster.h"
#include "moe-mlir/Policy/RankLoads.h"

namespace moe::policy {

enum class CollectiveKind { AllGather, ReduceScatter, AllReduce, AllToAll };
std::string_view stringify(CollectiveKind kind);

/// What one rank has to do with a collective, in bytes: it sends
/// `send * receive'` to a rank whose share is {send', receive'}. That is
///
/// | kind | send | receive |
/// |---|---|---|
/// | all-gather | its rows | 1 |
/// | reduce-scatter | 1 | its rows |
/// | all-reduce | 2 / n of its buffer | 1 |
/// | all-to-all of routed rows | its rows | the part of them that goes there |
/// | the way back of these | the part | its rows |
struct CollectiveShare {
  double send = 0;
  double receive = 0;
};

/// One collective of a communicator. `ranks[i]`, a number among all ranks, has
/// `shares[i]`.
struct Collective {
  CollectiveKind kind = CollectiveKind::AllToAll;
  std::vector<int64_t> ranks;
  std::vector<CollectiveShare> shares;

  /// Bytes from the i-th to the j-th rank; nothing to itself.
  double getBytes(size_t i, size_t j) const {
    return i == j ? 0 : shares[i].send * shares[j].receive;
  }
};

/// Bytes over the pairs of two different ranks.
struct PairBytes {
  double smallest = 0;
  double mean = 0;
  double largest = 0;
  int64_t pairs = 0;
  double getTotal() const { return mean * double(pairs); }
};

struct Traffic {
  /// Pairs on one node, and pairs on two.
  PairBytes intra, inter;
  /// What the ranks that send and receive most do.
  double mostSent = 0;
  double mostReceived = 0;
};

Traffic getTraffic(const Collective &collective, const ClusterModel &cluster);

/// Seconds from when the last rank has come until all are done.
///
/// An all-to-all is direct: every rank sends to every other at once, over the
/// links of the node and over the network side by side, and the busiest of all
/// links bounds it. To it come a latency, the longer one of the two where both
/// are used, and the gaps between a rank's messages to other nodes.
///
/// The others are hierarchical, as NCCL's rings and trees are: rows cross to a
/// node once, shared out among the node's GPUs that take part, and spread there
/// over its links. Latencies count log2 of the nodes and log2 of the ranks on
/// one. An all-reduce is a reduce-scatter and an all-gather.
double getCollectiveTime(const Collective &collective,
                         const ClusterModel &cluster);

/// Sizes of the rows that an exchange of the routed experts moves.
struct RowSizes {
  double hidden = 0; ///< Bytes of a row of hidden states.
  int64_t topK = 1;  ///< Each with a float32 weight and a 32-bit id.
};

/// The collectives of a dispatch, and those of the combine that follows it, in
/// the order in which they are issued, as one rank's share of each: `tokens`
/// are the rows that it brings. Only the all-gather does not ask for the rank's
/// loads. `capacity` is the most tokens of a rank, for fixed capacity.
struct ShareOfCollective {
  CollectiveKind kind;
  CollectiveShare share;
};
std::vector<ShareOfCollective>
getDispatchShares(Transport transport, double tokens, const RankLoads &loads,
                  size_t rank, const RowSizes &sizes, int64_t capacity);
std::vector<ShareOfCollective>
getCombineShares(Transport transport, double tokens, const RankLoads &loads,
                 size_t rank, const RowSizes &sizes, int64_t capacity);

} // namespace moe::policy

#endif // MOE_MLIR_POLICY_TRAFFIC_H
