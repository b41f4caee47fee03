//===- MachineModel.cpp - Machines of the cost model ----------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "MachineJson.h"
#include "moe-mlir/Policy/Cluster.h"

#include <cmath>
#include <cstdio>
#include <fstream>

using namespace moe::policy;

MachineModel moe::policy::getH200Machine() {
  MachineModel machine;
  machine.name = "h200";
  machine.memoryBandwidth = 4.62e12;
  machine.flops = 780e12;
  machine.coldRead = 2.5e-6;
  machine.launchGap = 0.7e-6;
  // A fork and a join together add 0.2 to 0.5 us.
  machine.eventCost = 0.25e-6;
  // Chosen so that the gains of a second stream are as measured: 1 to 20 % at
  // T = 1, and -1 to 5 % from 8 tokens on.
  machine.streamOverlap = 0.5;
  machine.mixOverlap = 0.2;
  machine.streamContention = 0.01;
  // Not measured: NVLink 4 carries 450 GB/s per direction.
  machine.linkBandwidth = 450e9;
  machine.linkLatency = 10e-6;
  return machine;
}

MachineModel moe::policy::getCpuMachine() {
  // Orders of magnitude of a small host, to be replaced by calibration: a
  // stream is a thread, so a launch or an event is a wake-up.
  MachineModel machine;
  machine.name = "cpu";
  machine.memoryBandwidth = 20e9;
  machine.flops = 100e9;
  machine.coldRead = 0.2e-6;
  machine.launchGap = 5e-6;
  machine.eventCost = 10e-6;
  machine.streamOverlap = 0.5;
  machine.mixOverlap = 0.2;
  machine.streamContention = 0.01;
  machine.linkBandwidth = 10e9;
  machine.linkLatency = 20e-6;
  return machine;
}

MachineModel moe::policy::getDefaultMachine(std::string_view platform) {
  return platform.substr(0, 4) == "cuda" ? getH200Machine() : getCpuMachine();
}

using Member = NumberMember<MachineModel>;

static constexpr Member members[] = {
    {"memory_bandwidth", &MachineModel::memoryBandwidth, true, HUGE_VAL},
    {"flops", &MachineModel::flops, true, HUGE_VAL},
    {"cold_read", &MachineModel::coldRead, false, HUGE_VAL},
    {"launch_gap", &MachineModel::launchGap, false, HUGE_VAL},
    {"event_cost", &MachineModel::eventCost, false, HUGE_VAL},
    {"stream_overlap", &MachineModel::streamOverlap, false, 1.0},
    {"mix_overlap", &MachineModel::mixOverlap, false, 1.0},
    {"stream_contention", &MachineModel::streamContention, false, HUGE_VAL},
    {"link_bandwidth", &MachineModel::linkBandwidth, true, HUGE_VAL},
    {"link_latency", &MachineModel::linkLatency, false, HUGE_VAL},
};

std::string moe::policy::writeMachine(const MachineModel &machine) {
  nlohmann::ordered_json json;
  json["name"] = machine.name;
  for (const Member &member : members)
    json[member.key] = machine.*member.value;
  // A name need not be valid UTF-8; what is not is replaced.
  return json.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) +
         "\n";
}

std::optional<MachineModel>
moe::policy::readMachineObject(const nlohmann::json &json, std::string &error) {
  MachineModel machine;
  if (!readName(json, "machine", machine.name, error) ||
      !readNumbers(json, "machine '" + machine.name + "'", members, machine,
                   error) ||
      !checkMembers(json, "machine '" + machine.name + "'",
                    listKeys(members, {"name"}), error))
    return std::nullopt;
  return machine;
}

std::optional<MachineModel> moe::policy::readMachine(std::string_view text,
                                                     std::string &error) {
  std::optional<nlohmann::json> json = parseObject(text, "machine", error);
  if (!json)
    return std::nullopt;
  if (!isCluster(*json))
    return readMachineObject(*json, error);
  std::optional<ClusterModel> cluster = readClusterObject(*json, error);
  if (!cluster)
    return std::nullopt;
  return cluster->getMachineOfRank();
}

bool moe::policy::saveMachine(const MachineModel &machine,
                              const std::string &path, std::string &error) {
  // Written beside and renamed, so that nothing half-written is ever read.
  std::string temporary = path + ".tmp";
  {
    std::ofstream file(temporary);
    file << writeMachine(machine);
    file.close();
    if (!file) {
      error = "cannot write machine file '" + temporary + "'";
      std::remove(temporary.c_str());
      return false;
    }
  }
  if (std::rename(temporary.c_str(), path.c_str()) == 0)
    return true;
  error = "cannot write machine file '" + path + "'";
  std::remove(temporary.c_str());
  return false;
}

std::optional<MachineModel> moe::policy::loadMachine(const std::string &path,
                                                     std::string &error) {
  std::optional<std::string> text = readFile(path, error);
  if (!text)
    return std::nullopt;
  auto machine = readMachine(*text, error);
  if (!machine)
    error = path + ": " + error;
  return machine;
}
