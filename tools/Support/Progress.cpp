//===- Progress.cpp - A line on what takes long ---------------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Support/Progress.h"

#include <chrono>
#include <cstdio>
#include <unistd.h>

using namespace moe::tools;

Progress::Progress(std::string what, bool shared)
    : line(std::move(what) + " ..."),
      terminal(!shared && isatty(STDERR_FILENO)) {
  if (terminal) {
    std::fprintf(stderr, "%s", line.c_str());
    std::fflush(stderr);
    return;
  }
  waiter = std::thread([this] {
    std::unique_lock<std::mutex> lock(mutex);
    if (!finished.wait_for(lock, std::chrono::seconds(2), [&] { return done; }))
      std::fprintf(stderr, "%s\n", line.c_str());
  });
}

Progress::~Progress() {
  if (terminal) {
    // Back to the start of the line, and erase it.
    std::fprintf(stderr, "\r\033[K");
    std::fflush(stderr);
    return;
  }
  {
    std::lock_guard<std::mutex> lock(mutex);
    done = true;
  }
  finished.notify_one();
  waiter.join();
}
