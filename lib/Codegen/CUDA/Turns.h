//===- Turns.h - Warpgroups that do something one by one --------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_LIB_CODEGEN_CUDA_TURNS_H
#define MOE_MLIR_LIB_CODEGEN_CUDA_TURNS_H

#include "KernelBuilder.h"

namespace moe::codegen::cuda {

/// Groups of threads of a block take turns, again and again in the order of
/// their numbers. The mbarrier of a group completes when the group before it
/// has done with its turn.
class Turns {
public:
  /// `offset` is where getBytes(groups) bytes of dynamic shared memory begin.
  Turns(KernelBuilder &k, int64_t offset, int64_t groups)
      : k(k), groups(groups),
        barriers(k.dynamicShared(offset, {groups}, k.getI64Type())) {}
  static int64_t getBytes(int64_t groups) { return groups * 8; }

  /// Makes the barriers, for groups of `threads`. For one thread, before a
  /// barrier of the block.
  void init(int64_t threads);
  /// Waits for the group's turn; `parity` is that of the number of turns that
  /// it had before.
  void await(Expr group, Expr parity);
  /// Ends the group's turn; for all of its threads, whose accesses to shared
  /// memory come before those of the next group.
  void end(Expr group);

private:
  Expr barrier(Expr group) { return k.address(barriers, {group}); }

  KernelBuilder &k;
  int64_t groups;
  Array barriers; ///< [groups] i64.
};

} // namespace moe::codegen::cuda

#endif // MOE_MLIR_LIB_CODEGEN_CUDA_TURNS_H
