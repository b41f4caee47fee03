//===- Traffic.cpp - What collectives move, and how long it takes ---------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moe-mlir/Policy/Traffic.h"

#include <algorithm>
#include <cmath>
#include <map>

using namespace moe;
using namespace moe::policy;

std::string_view moe::policy::stringify(CollectiveKind kind) {
  switch (kind) {
  case CollectiveKind::AllGather:
    return "all_gather";
  case CollectiveKind::ReduceScatter:
    return "reduce_scatter";
  case CollectiveKind::AllReduce:
    return "all_reduce";
  case CollectiveKind::AllToAll:
    return "all_to_all";
  }
  return "";
}

//===----------------------------------------------------------------------===//
// Bytes
//===----------------------------------------------------------------------===//

static void add(PairBytes &pairs, double bytes) {
  pairs.smallest = pairs.pairs ? std::min(pairs.smallest, bytes) : bytes;
  pairs.largest = std::max(pairs.largest, bytes);
  pairs.mean += bytes; // A sum, until all are there.
  ++pairs.pairs;
}

Traffic moe::policy::getTraffic(const Collective &collective,
                                const ClusterModel &cluster) {
  Traffic traffic;
  const size_t n = collective.ranks.size();
  std::vector<double> sent(n), received(n);
  for (size_t i = 0; i < n; ++i)
    for (size_t j = 0; j < n; ++j) {
      if (i == j)
        continue;
      double bytes = collective.getBytes(i, j);
      bool sameNode = cluster.getNode(collective.ranks[i]) ==
                      cluster.getNode(collective.ranks[j]);
      add(sameNode ? traffic.intra : traffic.inter, bytes);
      sent[i] += bytes;
      received[j] += bytes;
    }
  for (PairBytes *pairs : {&traffic.intra, &traffic.inter})
    if (pairs->pairs)
      pairs->mean /= double(pairs->pairs);
  for (size_t i = 0; i < n; ++i) {
    traffic.mostSent = std::max(traffic.mostSent, sent[i]);
    traffic.mostReceived = std::max(traffic.mostReceived, received[i]);
  }
  return traffic;
}

//===----------------------------------------------------------------------===//
// Times
//===----------------------------------------------------------------------===//

namespace {
/// The ranks of a collective that are on one node.
struct NodeShare {
  double send = 0;
  double receive = 0;
  int64_t ranks = 0;
};
} // namespace

static double getAllToAllTime(const Collective &collective,
                              const ClusterModel &cluster,
                              const std::map<int64_t, NodeShare> &nodes) {
  NodeShare all;
  for (const auto &[number, node] : nodes) {
    all.send += node.send;
    all.receive += node.receive;
    all.ranks += node.ranks;
  }
  double time = 0;
  for (size_t i = 0; i < collective.ranks.size(); ++i) {
    const CollectiveShare &share = collective.shares[i];
    const NodeShare &node = nodes.at(cluster.getNode(collective.ranks[i]));
    double intra = std::max(share.send * (node.receive - share.receive),
                            share.receive * (node.send - share.send));
    double inter = std::max(share.send * (all.receive - node.receive),
                            share.receive * (all.send - node.send));
    time = std::max(time, intra / cluster.gpu.linkBandwidth);
    // Capacity, and a count, is sent even where it holds no rows.
    int64_t messages = all.ranks - node.ranks;
    if (messages > 0)
      time =
          std::max(time, inter / cluster.networkBandwidth +
                             double(messages - 1) * cluster.networkMessageGap);
  }
  bool hasPeers = std::any_of(nodes.begin(), nodes.end(), [](const auto &item) {
    return item.second.ranks > 1;
  });
  double latency = hasPeers ? cluster.gpu.linkLatency : 0;
  if (nodes.size() > 1)
    latency = std::max(latency, cluster.networkLatency);
  return time + latency;
}

/// An all-gather of what `held` says each rank holds, or a reduce-scatter of
/// what it keeps, which is the same the other way round.
static double getGatherTime(const std::map<int64_t, NodeShare> &nodes,
                            const std::vector<double> &held,
                            double NodeShare::*heldByNode,
                            const ClusterModel &cluster) {
  double total = 0, least = held.empty() ? 0 : held.front();
  for (double bytes : held) {
    total += bytes;
    least = std::min(least, bytes);
  }
  int64_t mostRanks = 1;
  double network = 0;
  for (const auto &[number, node] : nodes) {
    mostRanks = std::max(mostRanks, node.ranks);
    network =
        std::max(network, (total - node.*heldByNode) / double(node.ranks));
  }
  auto steps = [](int64_t ranks) {
    return std::ceil(std::log2(double(ranks)));
  };
  double time = 0;
  if (mostRanks > 1)
    time = (total - least) / cluster.gpu.linkBandwidth;
  if (nodes.size() > 1)
    time = std::max(time, network / cluster.networkBandwidth) +
           steps(int64_t(nodes.size())) * cluster.networkLatency;
  return time + steps(mostRanks) * cluster.gpu.linkLatency;
}

double moe::policy::getCollectiveTime(const Collective &collective,
                                      const ClusterModel &cluster) {
  if (collective.ranks.size() < 2)
    return 0;
  std::map<int64_t, NodeShare> nodes;
  std::vector<double> sends, receives;
  for (size_t i = 0; i < collective.ranks.size(); ++i) {
    const CollectiveShare &share = collective.shares[i];
    NodeShare &node = nodes[cluster.getNode(collective.ranks[i])];
    node.send += share.send;
    node.receive += share.receive;
    ++node.ranks;
    sends.push_back(share.send);
    receives.push_back(share.receive);
  }
  switch (collective.kind) {
  case CollectiveKind::AllToAll:
    return getAllToAllTime(collective, cluster, nodes);
  case CollectiveKind::AllGather:
    return getGatherTime(nodes, sends, &NodeShare::send, cluster);
  case CollectiveKind::ReduceScatter:
    return getGatherTime(nodes, receives, &NodeShare::receive, cluster);
  case CollectiveKind::AllReduce:
    // Each half moves half of what is sent.
    for (double &bytes : sends)
      bytes /= 2;
    for (auto &[number, node] : nodes)
      node.send /= 2;
    return 2 * getGatherTime(nodes, sends, &NodeShare::send, cluster);
  }
  return 0;
}

//===----------------------------------------------------------------------===//
// The exchanges of a layer
//===----------------------------------------------------------------------===//

std::vector<ShareOfCollective>
moe::policy::getDispatchShares(Transport transport, double tokens,
                               const RankLoads &loads, size_t rank,
                               const RowSizes &sizes, int64_t capacity) {
  constexpr double number = 4; // Bytes of a count, an id or a weight.
  const double row = sizes.hidden + 2 * number * double(sizes.topK);
  switch (transport) {
  case Transport::none:
    return {};
  case Transport::all_gather:
    return {{CollectiveKind::AllGather, {tokens * row, 1}}};
  case Transport::send_receive:
    return {{CollectiveKind::AllToAll, {number, 1}},
            {CollectiveKind::AllToAll, {tokens * row, loads.rows[rank]}}};
  case Transport::batched: {
    double experts = double(loads.experts[rank].size());
    return {{CollectiveKind::AllToAll, {number, experts}},
            {CollectiveKind::AllToAll,
             {sizes.hidden + number, experts * double(capacity)}}};
  }
  }
  return {};
}

std::vector<ShareOfCollective>
moe::policy::getCombineShares(Transport transport, double tokens,
                              const RankLoads &loads, size_t rank,
                              const RowSizes &sizes, int64_t capacity) {
  switch (transport) {
  case Transport::none:
    return {};
  case Transport::all_gather:
    return {{CollectiveKind::ReduceScatter, {1, tokens * sizes.hidden}}};
  case Transport::send_receive:
    return {
        {CollectiveKind::AllToAll, {loads.rows[rank], tokens * sizes.hidden}}};
  case Transport::batched:
    return {{CollectiveKind::AllToAll,
             {double(loads.experts[rank].size()) * double(capacity),
              sizes.hidden}}};
  }
  return {};
}
