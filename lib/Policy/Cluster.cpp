//===- Cluster.cpp - A machine of many GPUs -------------------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moe-mlir/Policy/Cluster.h"

#include "MachineJson.h"

using namespace moe::policy;

MachineModel ClusterModel::getMachineOfRank() const {
  MachineModel machine = gpu;
  if (nodes > 1) {
    machine.linkBandwidth = networkBandwidth;
    machine.linkLatency = networkLatency;
  }
  return machine;
}

static constexpr NumberMember<ClusterModel> networkMembers[] = {
    {"bandwidth", &ClusterModel::networkBandwidth, true, HUGE_VAL},
    {"latency", &ClusterModel::networkLatency, false, HUGE_VAL},
    {"message_gap", &ClusterModel::networkMessageGap, false, HUGE_VAL},
};

static constexpr NumberMember<ClusterModel> clusterMembers[] = {
    {"gpu_memory", &ClusterModel::gpuMemory, true, HUGE_VAL},
};

bool moe::policy::isCluster(const nlohmann::json &json) {
  return json.contains("gpu");
}

static bool readCount(const nlohmann::json &json, const std::string &what,
                      const char *key, int64_t &count, std::string &error) {
  auto found = json.find(key);
  if (found != json.end() && found->is_number_integer() && *found >= 1 &&
      *found <= maxParallelSize) {
    count = found->get<int64_t>();
    return true;
  }
  error = "expected an integer '" + std::string(key) + "' within [1, " +
          std::to_string(maxParallelSize) + "] in " + what + " but got " +
          (found == json.end() ? "none" : found->dump());
  return false;
}

/// The object `key`, or null and `error`.
static const nlohmann::json *getObject(const nlohmann::json &json,
                                       const std::string &what, const char *key,
                                       std::string &error) {
  auto found = json.find(key);
  if (found != json.end() && found->is_object())
    return &*found;
  error = "expected an object '" + std::string(key) + "' in " + what +
          " but got " + (found == json.end() ? "none" : found->dump());
  return nullptr;
}

std::optional<ClusterModel>
moe::policy::readClusterObject(const nlohmann::json &json, std::string &error) {
  ClusterModel cluster;
  if (!readName(json, "machine description", cluster.name, error))
    return std::nullopt;
  const std::string what = "machine description '" + cluster.name + "'";
  const nlohmann::json *gpu = getObject(json, what, "gpu", error);
  if (!gpu)
    return std::nullopt;
  std::optional<MachineModel> machine = readMachineObject(*gpu, error);
  if (!machine) {
    error = "'gpu' of " + what + ": " + error;
    return std::nullopt;
  }
  cluster.gpu = *machine;
  auto note = json.find("note");
  if (note == json.end() || !note->is_string()) {
    error = "expected a string 'note' in " + what +
            " that says where its numbers come from";
    return std::nullopt;
  }
  cluster.note = note->get<std::string>();
  if (!readCount(json, what, "nodes", cluster.nodes, error) ||
      !readCount(json, what, "gpus_per_node", cluster.gpusPerNode, error) ||
      !readNumbers(json, what, clusterMembers, cluster, error))
    return std::nullopt;
  if (cluster.nodes > 1 || json.contains("network")) {
    const nlohmann::json *network = getObject(json, what, "network", error);
    const std::string where = "'network' of " + what;
    if (!network ||
        !readNumbers(*network, where, networkMembers, cluster, error) ||
        !checkMembers(*network, where, listKeys(networkMembers, {}), error))
      return std::nullopt;
  }
  if (!checkMembers(
          json, what,
          listKeys(clusterMembers, {"name", "note", "nodes", "gpus_per_node",
                                    "gpu", "network"}),
          error))
    return std::nullopt;
  return cluster;
}

std::optional<ClusterModel> moe::policy::readCluster(std::string_view text,
                                                     std::string &error) {
  std::optional<nlohmann::json> json =
      parseObject(text, "machine description", error);
  if (!json)
    return std::nullopt;
  return readClusterObject(*json, error);
}

std::optional<ClusterModel> moe::policy::loadCluster(const std::string &path,
                                                     std::string &error) {
  std::optional<std::string> text = readFile(path, error);
  if (!text)
    return std::nullopt;
  std::optional<ClusterModel> cluster = readCluster(*text, error);
  if (!cluster)
    error = path + ": " + error;
  return cluster;
}
