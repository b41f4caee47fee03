//===- OrderedBarrier.h - Warpgroups one after the other --------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_LIB_CODEGEN_CUDA_ORDEREDBARRIER_H
#define MOE_MLIR_LIB_CODEGEN_CUDA_ORDEREDBARRIER_H

#include "KernelBuilder.h"

namespace moe::codegen::cuda {

/// Groups of threads of a block pass one by one, again and again in the order
/// of their numbers (CUTLASS has it as OrderedSequenceBarrier). The mbarrier of
/// a group completes when the group before it has passed.
class OrderedBarrier {
public:
  /// `offset` is where getBytes(groups) bytes of dynamic shared memory begin.
  OrderedBarrier(KernelBuilder &k, int64_t offset, int64_t groups)
      : k(k), groups(groups),
        barriers(k.dynamicShared(offset, {groups}, k.getI64Type())) {}
  static int64_t getBytes(int64_t groups) { return groups * 8; }

  /// Makes the barriers, for groups of `threads`. For one thread, before a
  /// barrier of the block.
  void init(int64_t threads);
  /// Waits until it is the group's turn; `parity` is that of the number of
  /// turns that it had before.
  void wait(Expr group, Expr parity);
  /// Lets the next group pass; for all threads of the group, whose accesses to
  /// shared memory come before those of the next.
  void arrive(Expr group);

private:
  Expr barrier(Expr group) { return k.address(barriers, {group}); }

  KernelBuilder &k;
  int64_t groups;
  Array barriers; ///< [groups] i64.
};

} // namespace moe::codegen::cuda

#endif // MOE_MLIR_LIB_CODEGEN_CUDA_ORDEREDBARRIER_H
