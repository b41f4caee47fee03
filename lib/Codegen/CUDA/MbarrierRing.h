//===- MbarrierRing.h - Stages between a producer and consumers -*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_LIB_CODEGEN_CUDA_MBARRIERRING_H
#define MOE_MLIR_LIB_CODEGEN_CUDA_MBARRIERRING_H

#include "KernelBuilder.h"

namespace moe::codegen::cuda {

/// A place in a ring: the stage, and the parity of the number of times that the
/// ring was passed. Producer and consumers each carry their own, all from
/// (0, 0).
struct RingPosition {
  Expr stage, parity;

  auto fields() { return std::tie(stage, parity); }
};

/// Waits until the phase of an mbarrier that has this parity is over.
void emitWait(KernelBuilder &k, Expr barrier, Expr parity);

/// A ring of stages of shared memory. The mbarrier `full` of a stage completes
/// when its data are there, `empty` when the consumers have read them. The
/// blocks of a cluster have a ring each, but write into those of all: a stage
/// is empty when the consumers of every block have read theirs.
class MbarrierRing {
public:
  /// `offset` is where getBytes(stages) bytes of dynamic shared memory begin.
  MbarrierRing(KernelBuilder &k, int64_t offset, int64_t stages,
               int64_t cluster = 1);
  static int64_t getBytes(int64_t stages) { return 2 * stages * kBytes; }

  /// Makes the barriers; `readers` are warps of a block. For one thread, before
  /// a barrier of the block or cluster.
  void init(int64_t fullArrivals, int64_t readers);

  RingPosition begin();
  RingPosition next(const RingPosition &position);

  /// The barrier at which the data of a stage arrive.
  Expr full(Expr stage) { return k.address(barriers, {k.i32(0), stage}); }
  /// Waits until the data of the stage are there.
  void waitFull(const RingPosition &position);
  /// Waits until the stage may be written: in the first pass, not at all.
  void waitEmpty(const RingPosition &position);
  /// Arrives at `full`, without data of TMA.
  void arrive(Expr stage);
  /// Arrives at `empty`: the warp, all of which calls this, has done with the
  /// stage.
  void release(Expr stage);

private:
  static constexpr int64_t kBytes = 8;
  Expr empty(Expr stage) { return k.address(barriers, {k.i32(1), stage}); }

  KernelBuilder &k;
  int64_t stages, cluster;
  Array barriers; ///< [2, stages] i64: full, then empty.
};

} // namespace moe::codegen::cuda

#endif // MOE_MLIR_LIB_CODEGEN_CUDA_MBARRIERRING_H
