//===- TrafficTest.cpp - Bytes and times of collectives -------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moe-mlir/Policy/Traffic.h"

#include <cmath>
#include <gtest/gtest.h>

using namespace moe;
using namespace moe::policy;

namespace {
/// Two nodes of two GPUs, with round numbers.
ClusterModel makeCluster() {
  ClusterModel cluster;
  cluster.name = "small";
  cluster.nodes = 2;
  cluster.gpusPerNode = 2;
  cluster.gpuMemory = 1e9;
  cluster.gpu = getH200Machine();
  cluster.gpu.linkBandwidth = 100;
  cluster.gpu.linkLatency = 1;
  cluster.networkBandwidth = 10;
  cluster.networkLatency = 2;
  cluster.networkMessageGap = 0.5;
  return cluster;
}

Collective makeCollective(CollectiveKind kind,
                          std::vector<CollectiveShare> shares) {
  Collective collective;
  collective.kind = kind;
  collective.shares = std::move(shares);
  for (size_t r = 0; r < collective.shares.size(); ++r)
    collective.ranks.push_back(int64_t(r));
  return collective;
}
} // namespace

// What each rank sends is what the others receive, for every kind.
TEST(Traffic, BytesSentAreBytesReceived) {
  Collective collective = makeCollective(CollectiveKind::AllToAll,
                                         {{3, 0.5}, {0, 1}, {7, 0.25}, {1, 2}});
  double sent[4] = {}, received[4] = {}, total = 0;
  for (size_t i = 0; i < 4; ++i)
    for (size_t j = 0; j < 4; ++j) {
      sent[i] += collective.getBytes(i, j);
      received[j] += collective.getBytes(i, j);
      total += collective.getBytes(i, j);
    }
  Traffic traffic = getTraffic(collective, makeCluster());
  EXPECT_DOUBLE_EQ(traffic.intra.getTotal() + traffic.inter.getTotal(), total);
  EXPECT_EQ(traffic.intra.pairs, 4);
  EXPECT_EQ(traffic.inter.pairs, 8);
  EXPECT_EQ(traffic.intra.smallest, 0); // 1 -> 0
  EXPECT_EQ(traffic.intra.largest, 14); // 2 -> 3
  EXPECT_EQ(traffic.inter.largest, 7);  // 2 -> 1
  EXPECT_DOUBLE_EQ(traffic.mostSent, 7 * 3.5);
  EXPECT_DOUBLE_EQ(traffic.mostSent, *std::max_element(sent, sent + 4));
  EXPECT_DOUBLE_EQ(traffic.mostReceived,
                   *std::max_element(received, received + 4));
}

TEST(Traffic, AllToAllIsBoundByTheBusiestLink) {
  ClusterModel cluster = makeCluster();
  // 100 to everyone: on the node 1 s; to two ranks elsewhere 20 s and the gap
  // between the two messages. The longer latency, of the network.
  Collective even = makeCollective(CollectiveKind::AllToAll, {4, {100.0, 1.0}});
  EXPECT_DOUBLE_EQ(getCollectiveTime(even, cluster), 20 + 0.5 + 2);
  // Rank 3 gets twice as much from the two of the other node.
  even.shares[3].receive = 2;
  EXPECT_DOUBLE_EQ(getCollectiveTime(even, cluster), 40 + 0.5 + 2);
  // On one node there is no network, and no gap.
  cluster.nodes = 1;
  cluster.gpusPerNode = 4;
  EXPECT_DOUBLE_EQ(getCollectiveTime(even, cluster), 3 * 200 / 100.0 + 1);
}

TEST(Traffic, GathersCrossToANodeOnce) {
  ClusterModel cluster = makeCluster();
  // 400 in all. The network brings 200 to a node, 100 to each of its GPUs: 10
  // s; the links of the node bring 300 to a GPU: 3 s. One step on each.
  Collective gather =
      makeCollective(CollectiveKind::AllGather, {4, {100.0, 1.0}});
  EXPECT_DOUBLE_EQ(getCollectiveTime(gather, cluster), 10 + 2 + 1);
  Collective scatter =
      makeCollective(CollectiveKind::ReduceScatter, {4, {1.0, 100.0}});
  EXPECT_DOUBLE_EQ(getCollectiveTime(scatter, cluster), 10 + 2 + 1);
  // Of a buffer of 400, both halves.
  Collective sum =
      makeCollective(CollectiveKind::AllReduce, {4, {2.0 * 400 / 4, 1.0}});
  EXPECT_DOUBLE_EQ(getCollectiveTime(sum, cluster), 2 * (10 + 2 + 1));
  EXPECT_DOUBLE_EQ(sum.getBytes(0, 1), 200);

  // One rank of each node: the network has to bring all of the other's.
  gather.ranks = {0, 2};
  gather.shares.resize(2);
  EXPECT_DOUBLE_EQ(getCollectiveTime(gather, cluster), 10 + 2);
  // One rank alone meets nobody.
  gather.ranks = {0};
  gather.shares.resize(1);
  EXPECT_EQ(getCollectiveTime(gather, cluster), 0);
}

TEST(Traffic, MoreBandwidthIsNotSlower) {
  for (CollectiveKind kind :
       {CollectiveKind::AllGather, CollectiveKind::ReduceScatter,
        CollectiveKind::AllReduce, CollectiveKind::AllToAll}) {
    ClusterModel cluster = makeCluster();
    Collective collective =
        makeCollective(kind, {{3, 5}, {0, 1}, {7, 2}, {1, 9}});
    double time = getCollectiveTime(collective, cluster);
    for (double ClusterModel::*rate : {&ClusterModel::networkBandwidth}) {
      cluster.*rate *= 2;
      EXPECT_LE(getCollectiveTime(collective, cluster), time);
    }
    cluster.gpu.linkBandwidth *= 2;
    EXPECT_LE(getCollectiveTime(collective, cluster), time);
    for (CollectiveShare &share : collective.shares)
      share.send *= 2;
    EXPECT_GE(
        getCollectiveTime(collective, cluster),
        getCollectiveTime(
            makeCollective(kind, {{3, 5}, {0, 1}, {7, 2}, {1, 9}}), cluster));
  }
}

namespace {
/// Sends what the transports of Exchanges.cpp send, row by row, for every
/// routing of one token on each rank that there is, and takes the mean.
class CountedExchange {
public:
  static constexpr int64_t numRanks = 3, numExperts = 5, topK = 2, tokens = 2,
                           capacity = 4;
  // Experts 0 and 1, 2 and 3, 4: as linear placement has them.
  static int64_t getOwner(int64_t expert) { return expert / 2; }
  static constexpr double hidden = 10;

  /// Bytes from rank i to rank j in a dispatch and on the way back.
  double there[numRanks][numRanks] = {}, back[numRanks][numRanks] = {};

  explicit CountedExchange(Transport transport) {
    double numRoutings = numExperts * (numExperts - 1);
    for (int64_t source = 0; source < numRanks; ++source)
      for (int64_t a = 0; a < numExperts; ++a)
        for (int64_t b = 0; b < numExperts; ++b)
          if (a != b)
            send(transport, source, {a, b}, double(tokens) / numRoutings);
    // What does not depend on routing.
    for (int64_t source = 0; source < numRanks; ++source)
      for (int64_t target = 0; target < numRanks; ++target)
        if (transport == Transport::send_receive)
          there[source][target] += 4;
        else if (transport == Transport::batched)
          for (int64_t expert = 0; expert < numExperts; ++expert)
            if (getOwner(expert) == target) {
              there[source][target] += 4 + capacity * (hidden + 4);
              back[target][source] += capacity * hidden;
            }
  }

private:
  void send(Transport transport, int64_t source, std::vector<int64_t> ids,
            double weight) {
    for (int64_t target = 0; target < numRanks; ++target) {
      bool needed = false;
      for (int64_t id : ids)
        needed |= getOwner(id) == target;
      if (transport == Transport::all_gather)
        needed = true;
      if (!needed || transport == Transport::batched)
        continue;
      // The row goes with all of its weights and ids; one sum comes back.
      there[source][target] += weight * (hidden + topK * (4 + 4));
      back[target][source] += weight * hidden;
    }
  }
};
} // namespace

TEST(Traffic, ExchangesMoveWhatIsCounted) {
  ParallelProperties properties;
  properties.ep.size = CountedExchange::numRanks;
  RouterModel router;
  router.weights = getUniformWeights(CountedExchange::numExperts);
  router.topK = CountedExchange::topK;
  RankLoads loads = getExpectedLoads(
      router, getInitialSlots(properties, CountedExchange::numExperts));
  RowSizes sizes{CountedExchange::hidden, CountedExchange::topK};
  for (Transport transport :
       {Transport::all_gather, Transport::send_receive, Transport::batched}) {
    CountedExchange counted(transport);
    double there[3][3] = {}, back[3][3] = {};
    auto addBytes = [&](auto getShares, double (&bytes)[3][3]) {
      std::vector<Collective> collectives;
      for (size_t rank = 0; rank < 3; ++rank) {
        std::vector<ShareOfCollective> shares =
            getShares(transport, double(CountedExchange::tokens), loads, rank,
                      sizes, CountedExchange::capacity);
        collectives.resize(shares.size());
        for (size_t c = 0; c < shares.size(); ++c)
          collectives[c].shares.push_back(shares[c].share);
      }
      for (const Collective &collective : collectives)
        for (size_t i = 0; i < 3; ++i)
          for (size_t j = 0; j < 3; ++j)
            bytes[i][j] += collective.getBytes(i, j);
    };
    addBytes(getDispatchShares, there);
    addBytes(getCombineShares, back);
    for (size_t i = 0; i < 3; ++i)
      for (size_t j = 0; j < 3; ++j)
        if (i != j) {
          EXPECT_NEAR(there[i][j], counted.there[i][j], 1e-5)
              << name(transport) << " " << i << " to " << j;
          EXPECT_NEAR(back[i][j], counted.back[i][j], 1e-5)
              << name(transport) << " back from " << i << " to " << j;
        }
  }
  EXPECT_TRUE(
      getDispatchShares(Transport::none, 1, loads, 0, sizes, 1).empty());
  EXPECT_TRUE(getCombineShares(Transport::none, 1, loads, 0, sizes, 1).empty());
}
