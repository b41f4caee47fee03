//===- Processes.cpp - Processes that are ranks ---------------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Processes.h"

#include "moe-mlir/Support/Format.h"

#include <algorithm>
#include <arpa/inet.h>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <spawn.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

using namespace moe;
using namespace moe::run;
using namespace moe::tools;

extern char **environ;

static constexpr char launchedVariable[] = "MOE_RUN_LAUNCHED";

bool moe::tools::isRankProcess() {
  const char *const variables[][2] = {
      {"RANK", "WORLD_SIZE"},
      {"OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"},
      {"SLURM_PROCID", "SLURM_NTASKS"}};
  for (auto [rank, size] : variables)
    if (std::getenv(rank) && std::getenv(size))
      return true;
  return false;
}

Status moe::tools::readProcess(const Descriptor &descriptor,
                               moert_process_options &options) {
  // Ranks of this program end with it.
  if (std::getenv(launchedVariable))
    prctl(PR_SET_PDEATHSIG, SIGTERM);
  if (moert_process_options_from_environment(&options) != MOERT_SUCCESS)
    return badInput(moert_last_error(nullptr));
  if (options.num_ranks != descriptor.numRanks)
    return badInput(
        format("expected %lld processes, one for each rank that '%s' was "
               "compiled for, but %d were started",
               static_cast<long long>(descriptor.numRanks),
               descriptor.name.c_str(), options.num_ranks));
  return {};
}

/// The ranks of this machine, as the launcher tells; 0 where it does not. srun
/// may give each of them a GPU of its own to see.
static int findLocalSize() {
  for (const char *name : {"LOCAL_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_SIZE"})
    if (const char *value = std::getenv(name))
      return std::atoi(value);
  const char *tasks = std::getenv("SLURM_STEP_TASKS_PER_NODE");
  return tasks && !std::getenv("CUDA_VISIBLE_DEVICES") ? std::atoi(tasks) : 0;
}

std::string moe::tools::shareGPUs(const moert_process_options &process,
                                  int devices) {
  const int local = findLocalSize();
  if (local <= devices)
    return "processes, each with a GPU";
  setenv("NCCL_HOSTID",
         ("moe-run-rank-" + std::to_string(process.rank)).c_str(),
         /*overwrite=*/0);
  setenv("NCCL_SOCKET_IFNAME", "lo", /*overwrite=*/0);
  return format("processes, %d on %d GPU%s: they talk by sockets, which says "
                "nothing of speed",
                local, devices, devices == 1 ? "" : "s");
}

//===----------------------------------------------------------------------===//
// Starting them
//===----------------------------------------------------------------------===//

namespace {
class Children {
public:
  ~Children() { end(SIGKILL); }

  Status start(char **arguments, const std::vector<std::string> &variables);
  /// Without `graceMs`, the others have their own time limits.
  Status wait(std::optional<int64_t> graceMs);

private:
  /// To those that still run.
  void end(int signal);

  std::vector<pid_t> running; // 0 once it has ended.
};
} // namespace

void Children::end(int signal) {
  for (pid_t child : running)
    if (child)
      kill(child, signal);
  if (signal != SIGKILL)
    return;
  for (pid_t &child : running)
    if (child && waitpid(std::exchange(child, 0), nullptr, 0) < 0)
      continue;
}

Status Children::start(char **arguments,
                       const std::vector<std::string> &variables) {
  std::vector<char *> all;
  for (const std::string &variable : variables)
    all.push_back(const_cast<char *>(variable.c_str()));
  for (char **variable = environ; *variable; ++variable) {
    std::string name(*variable, std::strcspn(*variable, "=") + 1);
    bool isNew = false;
    for (const std::string &given : variables)
      isNew |= given.compare(0, name.size(), name) == 0;
    if (!isNew)
      all.push_back(*variable);
  }
  all.push_back(nullptr);
  pid_t child = 0;
  if (int failure = posix_spawn(&child, "/proc/self/exe", nullptr, nullptr,
                                arguments, all.data()))
    return failed(std::string("cannot start a rank: ") +
                  std::strerror(failure));
  running.push_back(child);
  return {};
}

Status Children::wait(std::optional<int64_t> graceMs) {
  using Clock = std::chrono::steady_clock;
  std::optional<Clock::time_point> deadline;
  int code = 0;
  std::string text;
  while (true) {
    int status = 0;
    pid_t ended = waitpid(-1, &status, WNOHANG);
    if (ended < 0 && errno == ECHILD)
      break;
    if (ended <= 0) {
      if (deadline && Clock::now() > *deadline) {
        end(SIGKILL);
        break;
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
      continue;
    }
    auto child = std::find(running.begin(), running.end(), ended);
    if (child == running.end())
      continue;
    *child = 0;
    // Whoever goes on without a lost rank says how that went.
    if (WIFSIGNALED(status) && !graceMs)
      continue;
    const int failure =
        WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
    if (failure == 0 || code != 0)
      continue;
    code = failure;
    if (WIFSIGNALED(status))
      text = format("rank %d was ended by signal %d (%s)",
                    int(child - running.begin()), WTERMSIG(status),
                    strsignal(WTERMSIG(status)));
    // The others notice by themselves, and say what they know.
    if (graceMs)
      deadline = Clock::now() + std::chrono::milliseconds(*graceMs);
  }
  if (code == 0)
    return {};
  // The rank has said what went wrong.
  return code == 2 ? badInput(text) : failed(text);
}

/// A port of this machine that is free now.
static int findFreePort() {
  int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  auto *place = reinterpret_cast<sockaddr *>(&address);
  int port = 0;
  if (listener >= 0 && bind(listener, place, size) == 0 &&
      getsockname(listener, place, &size) == 0)
    port = ntohs(address.sin_port);
  if (listener >= 0)
    close(listener);
  return port;
}

Status moe::tools::launchRanks(char **arguments, int64_t ranks,
                               std::optional<int64_t> graceMs) {
  const int port = findFreePort();
  if (port == 0)
    return failed("cannot find a free port for the ranks");
  Children children;
  for (int64_t rank = 0; rank < ranks; ++rank)
    MOE_TRY(children.start(
        arguments,
        {"RANK=" + std::to_string(rank), std::string(launchedVariable) + "=1",
         "WORLD_SIZE=" + std::to_string(ranks),
         "LOCAL_RANK=" + std::to_string(rank),
         "LOCAL_WORLD_SIZE=" + std::to_string(ranks),
         "MOERT_RENDEZVOUS=127.0.0.1:" + std::to_string(port)}));
  return children.wait(graceMs);
}
