//===- Process.cpp - Programs that a tool runs ----------------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Support/Process.h"

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <spawn.h>
#include <sstream>
#include <sys/wait.h>
#include <unistd.h>

using namespace moe;
using namespace moe::tools;

extern char **environ;

std::string moe::tools::findOwnFolder() {
  std::error_code error;
  std::filesystem::path self =
      std::filesystem::read_symlink("/proc/self/exe", error);
  return error ? "" : self.parent_path().string();
}

static bool isExecutable(const std::string &path) {
  std::error_code error;
  return std::filesystem::is_regular_file(path, error) &&
         access(path.c_str(), X_OK) == 0;
}

std::optional<std::string> moe::tools::findProgram(const std::string &name) {
  std::string folder = findOwnFolder();
  if (!folder.empty() && isExecutable(folder + "/" + name))
    return folder + "/" + name;
  const char *path = std::getenv("PATH");
  std::istringstream folders(path ? path : "");
  while (std::getline(folders, folder, ':'))
    if (!folder.empty() && isExecutable(folder + "/" + name))
      return folder + "/" + name;
  return std::nullopt;
}

namespace {
/// Ignores the keyboard's signals while a child has the terminal, as system(3)
/// does: the child ends, and this program lives to remove its files.
class IgnoredSignals {
public:
  IgnoredSignals() {
    struct sigaction ignore = {};
    ignore.sa_handler = SIG_IGN;
    sigaction(SIGINT, &ignore, &interrupt);
    sigaction(SIGQUIT, &ignore, &quit);
  }
  ~IgnoredSignals() {
    sigaction(SIGINT, &interrupt, nullptr);
    sigaction(SIGQUIT, &quit, nullptr);
  }

private:
  struct sigaction interrupt = {}, quit = {};
};
} // namespace

std::optional<int>
moe::tools::runProgram(const std::string &program,
                       const std::vector<std::string> &arguments,
                       bool outputToStderr, std::string &error) {
  std::vector<char *> argv = {const_cast<char *>(program.c_str())};
  for (const std::string &argument : arguments)
    argv.push_back(const_cast<char *>(argument.c_str()));
  argv.push_back(nullptr);

  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  if (outputToStderr)
    posix_spawn_file_actions_adddup2(&actions, STDERR_FILENO, STDOUT_FILENO);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t defaults;
  sigemptyset(&defaults);
  sigaddset(&defaults, SIGINT);
  sigaddset(&defaults, SIGQUIT);
  posix_spawnattr_setsigdefault(&attributes, &defaults);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF);

  IgnoredSignals ignored;
  pid_t child = 0;
  int failure = posix_spawn(&child, program.c_str(), &actions, &attributes,
                            argv.data(), environ);
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&actions);
  if (failure) {
    error = "cannot run '" + program + "': " + std::strerror(failure);
    return std::nullopt;
  }
  int status = 0;
  while (waitpid(child, &status, 0) < 0)
    if (errno != EINTR) {
      error = "cannot wait for '" + program + "': " + std::strerror(errno);
      return std::nullopt;
    }
  return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

TemporaryFolder::~TemporaryFolder() {
  std::error_code ignored;
  if (!path.empty())
    std::filesystem::remove_all(path, ignored);
}

Status TemporaryFolder::create() {
  if (!path.empty())
    return {};
  const char *root = std::getenv("TMPDIR");
  // mkdtemp replaces the six characters at the end.
  std::string pattern =
      (root && *root ? root : "/tmp") + ("/moe-run-" + std::string(6, 'X'));
  if (!mkdtemp(pattern.data()))
    return failed("cannot make a temporary folder '" + pattern +
                  "': " + std::strerror(errno));
  path = pattern;
  return {};
}
