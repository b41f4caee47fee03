//===- BlockQueue.cpp - One launch's blocks, shared by threads ------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "BlockQueue.h"

#include "HelperPool.h"

#include <algorithm>

using namespace moert;

void BlockQueue::run(Kernel newKernel, const void *newArguments,
                     int64_t newGrid) {
  if (newGrid <= 1 || helpers.size() == 0) {
    for (int64_t block = 0; block < newGrid; ++block)
      newKernel(newArguments, block);
    return;
  }

  kernel = newKernel;
  arguments = newArguments;
  grid = newGrid;
  numThreads = helpers.size() + 1;
  nextBlock.store(0, std::memory_order_relaxed);
  door.store(open);
  helpers.wake(newGrid - 1);
  runBlocks();
  // Whoever claimed the last block has closed the door or is still inside.
  visitorsLeft.await([this] { return door.load() == 0; });
}

void BlockQueue::help() {
  uint32_t seen = door.load();
  do {
    if (!(seen & open))
      return;
  } while (!door.compare_exchange_weak(seen, seen + 1));
  runBlocks();
  if (door.fetch_sub(1) == 1)
    visitorsLeft.notifyAll();
}

void BlockQueue::runBlocks() {
  // Large chunks first keep thousands of tiny blocks cheap, small ones last
  // keep the threads' finishing times together.
  constexpr int64_t chunksPerThread = 4;
  int64_t begin = nextBlock.load(std::memory_order_relaxed);
  while (begin < grid) {
    int64_t chunk =
        std::max<int64_t>(1, (grid - begin) / (chunksPerThread * numThreads));
    int64_t end = begin + chunk;
    // A failure loads the next block anew.
    if (!nextBlock.compare_exchange_weak(begin, end, std::memory_order_relaxed))
      continue;
    if (end == grid)
      door.fetch_and(~open);
    for (int64_t block = begin; block < end; ++block)
      kernel(arguments, block);
    begin = nextBlock.load(std::memory_order_relaxed);
  }
}
