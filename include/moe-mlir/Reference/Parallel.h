//===- Parallel.h - Loops over threads ------------------------ -*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef MOE_MLIR_REFERENCE_PARALLEL_H
#define MOE_MLIR_REFERENCE_PARALLEL_H

#include <cstdint>
#include <functional>
#include <memory>

namespace moe {

/// Threads that wait for loops. One loop at a time; not for use from several
/// threads at once.
class ThreadPool {
public:
  /// 0: one thread per core. The calling thread is one of them; where the
  /// system grants fewer threads, the pool works with those.
  explicit ThreadPool(unsigned numThreads = 0);
  ~ThreadPool();

  unsigned size() const;

  /// Calls `body(i)` for every i in 0 .. count - 1, in any order, and returns
  /// when all calls have. `body` does not throw.
  void forEach(int64_t count, const std::function<void(int64_t)> &body);

private:
  struct Implementation;
  std::unique_ptr<Implementation> implementation;
};

} // namespace moe

#endif // MOE_MLIR_REFERENCE_PARALLEL_H
