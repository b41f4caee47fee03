//===- Environment.cpp - What launchers tell a process --------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Environment.h"

#include "../common/Error.h"

#include <charconv>
#include <cstdlib>
#include <cstring>
#include <sstream>

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <unistd.h>

using namespace moert;

static const char *find(const char *name) {
  const char *value = std::getenv(name);
  return value && *value ? value : nullptr;
}

static bool parseNumber(const std::string &text, int64_t &number) {
  auto [end, fault] =
      std::from_chars(text.data(), text.data() + text.size(), number);
  return fault == std::errc() && end == text.data() + text.size();
}

std::string moert::parsePlace(const std::string &place, std::string &host,
                              uint16_t &port) {
  const size_t colon = place.rfind(':');
  int64_t number = 0;
  if (colon == std::string::npos || colon == 0 ||
      !parseNumber(place.substr(colon + 1), number) || number < 1 ||
      number > UINT16_MAX)
    return "the rendezvous is '" + place +
           "', expected host:port with a port of 1 to 65535";
  host = place.substr(0, colon);
  port = uint16_t(number);
  return "";
}

namespace {
/// The variables in which a launcher says who a process is.
struct Launcher {
  const char *name;
  const char *rank, *size, *localRank;
};
} // namespace

static constexpr Launcher launchers[] = {
    {"torchrun", "RANK", "WORLD_SIZE", "LOCAL_RANK"},
    {"mpirun", "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE",
     "OMPI_COMM_WORLD_LOCAL_RANK"},
    {"srun", "SLURM_PROCID", "SLURM_NTASKS", "SLURM_LOCALID"},
};

/// A port that all processes of a job find, from its name. Below the ports that
/// systems give away.
static int64_t portOf(const char *job) {
  uint64_t hash = 14695981039346656037ull; // FNV-1a.
  for (; *job; ++job)
    hash = (hash ^ static_cast<unsigned char>(*job)) * 1099511628211ull;
  return 20000 + int64_t(hash % 10000);
}

/// The first of "a[03-05,09],b": "a03".
static std::string firstNode(const std::string &list) {
  const size_t bracket = list.find_first_of("[,");
  if (bracket == std::string::npos || list[bracket] == ',')
    return list.substr(0, bracket);
  return list.substr(0, bracket) +
         list.substr(bracket + 1,
                     list.find_first_of("-,]", bracket) - bracket - 1);
}

/// Where rank 0 listens; "" where nothing says so.
static std::string findPlace(const Launcher &launcher, int64_t numRanks,
                             std::string &fault) {
  if (const char *place = find("MOERT_RENDEZVOUS"))
    return place;
  const char *host = find("MASTER_ADDR"), *port = find("MASTER_PORT");
  if (host && port) {
    // The launcher listens at that port itself.
    int64_t number = 0;
    if (parseNumber(port, number) && number > 0 && number < UINT16_MAX)
      return std::string(host) + ":" + std::to_string(number + 1);
    fault = std::string("MASTER_PORT is '") + port +
            "', expected a port of 1 to 65534";
    return "";
  }
  if (std::strcmp(launcher.name, "mpirun") == 0) {
    const char *localSize = find("OMPI_COMM_WORLD_LOCAL_SIZE");
    const char *job = find("PMIX_NAMESPACE");
    int64_t here = 0;
    if (job && localSize && parseNumber(localSize, here) && here == numRanks)
      return "127.0.0.1:" + std::to_string(portOf(job));
  }
  if (std::strcmp(launcher.name, "srun") == 0) {
    const char *nodes = find("SLURM_STEP_NODELIST");
    const char *job = find("SLURM_JOB_ID"), *step = find("SLURM_STEP_ID");
    if (nodes && job)
      return firstNode(nodes) + ":" +
             std::to_string(portOf(
                 (std::string(job) + "." + (step ? step : "0")).c_str()));
  }
  return "";
}

std::string moert::readEnvironment(moert_process_options &options) {
  for (const Launcher &launcher : launchers) {
    const char *rank = find(launcher.rank), *size = find(launcher.size);
    if (!rank || !size)
      continue;
    int64_t rankNumber, sizeNumber, localNumber = 0;
    if (!parseNumber(size, sizeNumber) || sizeNumber < 1 ||
        sizeNumber > INT32_MAX)
      return format("%s is '%s', expected a number of ranks", launcher.size,
                    size);
    if (!parseNumber(rank, rankNumber) || rankNumber < 0 ||
        rankNumber >= sizeNumber)
      return format("%s is '%s', expected 0 to %lld", launcher.rank, rank,
                    static_cast<long long>(sizeNumber - 1));
    if (const char *local = find(launcher.localRank))
      if (!parseNumber(local, localNumber) || localNumber < 0 ||
          localNumber >= sizeNumber)
        return format("%s is '%s', expected 0 to %lld", launcher.localRank,
                      local, static_cast<long long>(sizeNumber - 1));
    std::string fault;
    std::string place = findPlace(launcher, sizeNumber, fault);
    if (place.empty() && sizeNumber > 1)
      return fault.empty()
                 ? format("%s has started %lld ranks, but nothing says where "
                          "rank 0 listens: expected MOERT_RENDEZVOUS=host:port",
                          launcher.name, static_cast<long long>(sizeNumber))
                 : fault;
    if (place.empty())
      place = "127.0.0.1:1"; // Nobody else comes.
    if (place.size() >= sizeof(options.rendezvous))
      return "the rendezvous '" + place + "' is too long";
    options.rank = int32_t(rankNumber);
    options.num_ranks = int32_t(sizeNumber);
    options.local_rank = int32_t(localNumber);
    std::strcpy(options.rendezvous, place.c_str());
    return "";
  }
  return "no launcher has started this process: expected the variables RANK, "
         "WORLD_SIZE, MASTER_ADDR and MASTER_PORT of torchrun, or those of "
         "mpirun or srun";
}

/// A port of this machine that is free now, or 0.
static uint16_t findFreePort() {
  int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  socklen_t size = sizeof(address);
  auto *place = reinterpret_cast<sockaddr *>(&address);
  uint16_t port = 0;
  if (listener >= 0 && bind(listener, place, size) == 0 &&
      getsockname(listener, place, &size) == 0)
    port = ntohs(address.sin_port);
  if (listener >= 0)
    close(listener);
  return port;
}

/// Whether NCCL_SOCKET_IFNAME lets NCCL use an interface: prefixes with commas
/// between them, after '=' whole names, after '^' those that are not used.
static bool isChosen(const std::string &interface, std::string list) {
  const bool isExcluding = list[0] == '^';
  if (isExcluding)
    list.erase(0, 1);
  const bool isExact = list[0] == '=';
  if (isExact)
    list.erase(0, 1);
  std::istringstream names(list);
  bool isNamed = false;
  for (std::string name; std::getline(names, name, ',');)
    isNamed |= isExact ? interface == name
                       : interface.compare(0, name.size(), name) == 0;
  return isNamed != isExcluding;
}

std::string moert::findOwnPlace() {
  const char *list = find("NCCL_SOCKET_IFNAME");
  std::string host;
  ifaddrs *all = nullptr;
  if (getifaddrs(&all) != 0)
    return "";
  for (const ifaddrs *one = all; one; one = one->ifa_next) {
    const bool isUp = one->ifa_flags & IFF_UP;
    if (!one->ifa_addr || one->ifa_addr->sa_family != AF_INET || !isUp)
      continue;
    // Of several, loopback is the last choice.
    const bool isLoopback = one->ifa_flags & IFF_LOOPBACK;
    if ((list && !isChosen(one->ifa_name, list)) ||
        (isLoopback && !host.empty()))
      continue;
    char text[INET_ADDRSTRLEN];
    const auto *address = reinterpret_cast<const sockaddr_in *>(one->ifa_addr);
    if (inet_ntop(AF_INET, &address->sin_addr, text, sizeof(text)))
      host = text;
    if (!isLoopback)
      break;
  }
  freeifaddrs(all);
  const uint16_t port = findFreePort();
  return port && !host.empty() ? host + ":" + std::to_string(port) : "";
}
