//===- HelperPool.cpp - Threads that help streams -------------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "HelperPool.h"

#include "BlockQueue.h"

#if defined(__linux__)
#include <pthread.h>
#endif

using namespace moert;

HelperPool::HelperPool(int32_t numHelpers) : numHelpers(numHelpers) {
  threads.reserve(numHelpers);
  try {
    for (int32_t i = 0; i < numHelpers; ++i)
      threads.emplace_back([this] { help(); });
  } catch (...) {
    stop();
    throw;
  }
}

HelperPool::~HelperPool() { stop(); }

void HelperPool::stop() {
  stopping.store(true);
  work.notifyAll();
  for (std::thread &thread : threads)
    thread.join();
}

void HelperPool::add(BlockQueue &queue) {
  int32_t index = numQueues.load();
  queues[index].store(&queue);
  numQueues.store(index + 1);
}

void HelperPool::help() {
  nameThisThread("moert helper");
  BlockQueue *queue = nullptr;
  while (true) {
    work.await([&] { return stopping.load() || (queue = neediest()); });
    if (stopping.load())
      return;
    queue->help();
  }
}

BlockQueue *HelperPool::neediest() const {
  BlockQueue *best = nullptr;
  for (int32_t i = 0, e = numQueues.load(); i < e; ++i) {
    BlockQueue *queue = queues[i].load();
    if (queue->isOpen() &&
        (!best || queue->numVisitors() < best->numVisitors()))
      best = queue;
  }
  return best;
}

void moert::nameThisThread(const char *name) {
#if defined(__linux__)
  pthread_setname_np(pthread_self(), name);
#endif
}
