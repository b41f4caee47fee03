//===- ClusterTest.cpp - Descriptions of machines -------------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moe-mlir/Policy/Cluster.h"

#include <gtest/gtest.h>

using namespace moe::policy;

static std::string describe(const std::string &members) {
  return R"({"name": "two", "gpu": )" + writeMachine(getH200Machine()) +
         R"(, "note": "made up", "gpu_memory": 1e9, )" + members + "}";
}

static const std::string network =
    R"("network": {"bandwidth": 5e10, "latency": 1e-5, "message_gap": 0})";

TEST(Cluster, Reads) {
  std::string error;
  auto cluster = readCluster(
      describe(R"("nodes": 2, "gpus_per_node": 4, )" + network), error);
  ASSERT_TRUE(cluster) << error;
  EXPECT_EQ(cluster->name, "two");
  EXPECT_EQ(cluster->note, "made up");
  EXPECT_EQ(cluster->getNumGPUs(), 8);
  EXPECT_EQ(cluster->getNode(3), 0);
  EXPECT_EQ(cluster->getNode(4), 1);
  EXPECT_EQ(cluster->gpu.flops, getH200Machine().flops);
  EXPECT_EQ(cluster->networkBandwidth, 5e10);
  // For who knows one link, the network.
  EXPECT_EQ(cluster->getMachineOfRank().linkBandwidth, 5e10);
  EXPECT_EQ(
      readMachine(describe(R"("nodes": 2, "gpus_per_node": 4, )" + network),
                  error)
          ->linkLatency,
      1e-5);
  // One node needs none.
  cluster = readCluster(describe(R"("nodes": 1, "gpus_per_node": 4)"), error);
  ASSERT_TRUE(cluster) << error;
  EXPECT_EQ(cluster->getMachineOfRank().linkBandwidth,
            getH200Machine().linkBandwidth);
}

TEST(Cluster, RefusesWhatCannotBe) {
  struct {
    std::string members;
    const char *error;
  } cases[] = {
      {R"("nodes": 0, "gpus_per_node": 4)",
       "expected an integer 'nodes' within [1, 1048576] in machine description "
       "'two' but got 0"},
      {R"("nodes": 1, "gpus_per_node": 1.5)",
       "expected an integer 'gpus_per_node' within [1, 1048576] in machine "
       "description 'two' but got 1.5"},
      {R"("gpus_per_node": 4)",
       "expected an integer 'nodes' within [1, 1048576] in machine description "
       "'two' but got none"},
      {R"("nodes": 2, "gpus_per_node": 4)",
       "expected an object 'network' in machine description 'two' but got "
       "none"},
      {R"("nodes": 2, "gpus_per_node": 4, "network": {"bandwidth": 0})",
       "expected a positive number 'bandwidth' in 'network' of machine "
       "description 'two' but got 0"},
      {R"("nodes": 2, "gpus_per_node": 4, "network": {"bandwidth": 1, )"
       R"("latency": 1, "message_gap": 1, "switches": 2})",
       "unknown member 'switches' in 'network' of machine description 'two'"},
      {R"("nodes": 1, "gpus_per_node": 4, "racks": 1)",
       "unknown member 'racks' in machine description 'two'"},
  };
  for (const auto &test : cases) {
    std::string error;
    EXPECT_FALSE(readCluster(describe(test.members), error)) << test.members;
    EXPECT_EQ(error, test.error);
  }
  std::string error;
  EXPECT_FALSE(readCluster("[]", error));
  EXPECT_EQ(error, "expected a machine description as one JSON object but got "
                   "array");
  EXPECT_FALSE(readCluster(R"({"name": "x"})", error));
  EXPECT_EQ(error, "expected an object 'gpu' in machine description 'x' but "
                   "got none");
  EXPECT_FALSE(readCluster(R"({"name": "x", "gpu": {"name": "g"}})", error));
  EXPECT_EQ(error, "'gpu' of machine description 'x': expected a positive "
                   "number 'memory_bandwidth' in machine 'g' but got none");
  EXPECT_FALSE(loadCluster("/nowhere/machine.json", error));
  EXPECT_EQ(error, "cannot read machine file '/nowhere/machine.json'");
}

TEST(Cluster, ExamplesAreRead) {
  std::string error;
  for (int64_t nodes : {1, 8, 128}) {
    auto cluster = loadCluster(
        MOE_MACHINES_DIR "/h200-" + std::to_string(nodes) + "x8.json", error);
    ASSERT_TRUE(cluster) << error;
    EXPECT_EQ(cluster->nodes, nodes);
    EXPECT_EQ(cluster->gpusPerNode, 8);
    // The built-in machine is the same GPU.
    EXPECT_EQ(cluster->gpu.memoryBandwidth, getH200Machine().memoryBandwidth);
    EXPECT_EQ(cluster->gpu.flops, getH200Machine().flops);
    EXPECT_EQ(cluster->gpu.linkBandwidth, getH200Machine().linkBandwidth);
  }
}
