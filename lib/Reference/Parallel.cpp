//===- Parallel.cpp - Loops over threads ----------------------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moe-mlir/Reference/Parallel.h"
#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

using namespace moe;

struct ThreadPool::Implementation {
  std::vector<std::thread> workers;
  std::mutex mutex;
  std::condition_variable start, done;
  // Guarded by the mutex.
  uint64_t generation = 0;
  size_t working = 0;
  bool stopping = false;
  const std::function<void(int64_t)> *body = nullptr;
  int64_t count = 0;

  std::atomic<int64_t> next{0};

  void runLoop(const std::function<void(int64_t)> &loop, int64_t end) {
    for (int64_t i = next.fetch_add(1); i < end; i = next.fetch_add(1))
      loop(i);
  }

  void work() {
    uint64_t seen = 0;
    std::unique_lock<std::mutex> lock(mutex);
    while (true) {
      start.wait(lock, [&] { return stopping || generation != seen; });
      if (stopping)
        return;
      seen = generation;
      const auto *loop = body;
      int64_t end = count;
      lock.unlock();
      runLoop(*loop, end);
      lock.lock();
      if (--working == 0)
        done.notify_one();
    }
  }
};

ThreadPool::ThreadPool(unsigned numThreads)
    : implementation(std::make_unique<Implementation>()) {
  if (numThreads == 0)
    numThreads = std::max(1u, std::thread::hardware_concurrency());
  try {
    for (unsigned i = 1; i < numThreads; ++i)
      implementation->workers.emplace_back([this] { implementation->work(); });
  } catch (const std::system_error &) {
    // The system grants no more threads; those that there are do the work.
  }
}

ThreadPool::~ThreadPool() {
  {
    std::lock_guard<std::mutex> lock(implementation->mutex);
    implementation->stopping = true;
  }
  implementation->start.notify_all();
  for (std::thread &worker : implementation->workers)
    worker.join();
}

unsigned ThreadPool::size() const {
  return static_cast<unsigned>(implementation->workers.size()) + 1;
}

void ThreadPool::forEach(int64_t count,
                         const std::function<void(int64_t)> &body) {
  Implementation &pool = *implementation;
  if (count <= 1 || pool.workers.empty()) {
    for (int64_t i = 0; i < count; ++i)
      body(i);
    return;
  }
  {
    std::lock_guard<std::mutex> lock(pool.mutex);
    pool.body = &body;
    pool.count = count;
    pool.next.store(0);
    pool.working = pool.workers.size();
    ++pool.generation;
  }
  pool.start.notify_all();
  pool.runLoop(body, count);
  std::unique_lock<std::mutex> lock(pool.mutex);
  pool.done.wait(lock, [&] { return pool.working == 0; });
}
