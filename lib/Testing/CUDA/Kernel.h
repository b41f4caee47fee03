//===- Kernel.h - Kernels as instructions of warps --------------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A kernel is flattened into a list of instructions, so that a warp can stop at
// any of them and go on later. A value is a number of rows of registers, one
// for each of its elements; a row has 64 bits for each of 32 lanes, of which
// those above the element's width are zero.
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_TESTING_CUDA_KERNEL_H
#define MOE_MLIR_TESTING_CUDA_KERNEL_H

#include "Machine.h"

#include "llvm/ADT/DenseMap.h"
#include <deque>
#include <functional>

namespace moe::codegen::cuda::test {

constexpr unsigned kLanes = 32;
constexpr uint32_t kAllLanes = 0xFFFFFFFF;
/// Where the shared memory that a launch sizes begins. What is static lies
/// before.
constexpr uint32_t kDynamicShared = 24 * 1024;

/// Calls `body` for each lane of a mask.
template <typename Body> void forEachLane(uint32_t mask, Body body) {
  for (unsigned lane = 0; lane < kLanes; ++lane)
    if (mask >> lane & 1)
      body(lane);
}

/// A value's rows.
struct Slot {
  uint32_t row = 0, count = 0;
};

/// What became of an instruction.
enum class Step {
  Next,  ///< It is done.
  Jump,  ///< It said where to go on.
  Wait,  ///< Not yet; the warp comes back to it.
  End,   ///< The kernel is done.
  Fault, ///< Something is wrong; the block knows what.
};

struct Warp;
struct Instruction;
using Handler = Step (*)(Warp &, const Instruction &);

struct Instruction {
  Handler run = nullptr;
  mlir::Operation *op = nullptr;
  std::vector<Slot> in, out;
  /// Bits of an element of the first operand, and of the first result.
  unsigned inBits = 0, outBits = 0;
  /// What the handler needs of attributes.
  int64_t detail = 0, more = 0;
  /// Of control flow: where to go.
  size_t target = 0;
};

struct Kernel {
  mlir::LLVM::LLVMFuncOp function;
  std::vector<Instruction> code;
  std::vector<Slot> arguments;
  uint32_t rows = 0;
  /// Rows that are the same for all lanes, and never written again.
  std::vector<std::pair<uint32_t, uint64_t>> constants;
  /// Objects in shared memory; what a launch sizes has no bytes here.
  std::vector<SharedMemory::Object> shared;
  std::string error;

  static std::unique_ptr<Kernel> create(mlir::LLVM::LLVMFuncOp function);
};

/// Finds the handler of an op that is no control flow, and sets what it needs;
/// null if there is none.
Handler findArithmetic(mlir::Operation *op, Instruction &instruction);
Handler findMemoryAccess(mlir::Operation *op, Instruction &instruction);
Handler findWarpOperation(mlir::Operation *op, Instruction &instruction);
Handler findSynchronization(mlir::Operation *op, Instruction &instruction);
Handler findTensorCoreOperation(mlir::Operation *op, Instruction &instruction);

/// Bits of a scalar or of an element, 64 for pointers and index.
unsigned getElementBits(mlir::Type type);

struct Cluster;

struct ThreadBlock {
  Cluster *cluster = nullptr;
  int64_t number = 0;
  unsigned rank = 0; ///< In the cluster.
  std::unique_ptr<SharedMemory> shared;
  std::vector<Warp> warps;

  /// Barriers that threads of the block meet at.
  struct Barrier {
    int64_t expected = 0, arrived = 0;
    uint64_t generation = 0;
  };
  std::map<uint64_t, Barrier> barriers;
};

/// Blocks that run together, and what they share.
struct Cluster {
  const Kernel *kernel = nullptr;
  LaunchShape shape;
  llvm::ArrayRef<TensorMap> maps;
  GlobalMemory *memory = nullptr;
  std::vector<ThreadBlock> blocks;
  /// Copies under way, the oldest first. Each hands back what went wrong.
  std::deque<std::function<std::string()>> copies;
  int64_t arrived = 0;
  uint64_t generation = 0;
  std::string error;
};

struct Warp {
  ThreadBlock *block = nullptr;
  unsigned number = 0;
  std::vector<uint64_t> registers;
  uint32_t mask = kAllLanes;
  llvm::SmallVector<uint32_t> masks; ///< Of the control flow around.
  size_t place = 0;
  bool isAtEnd = false;
  /// Whether it has arrived at what it waits for, and at which generation.
  bool hasArrived = false;
  uint64_t generation = 0;
  bool hasAwaitedPrevious = false;
  uint64_t clusterGeneration = 0;
  /// Copies of cp.async and groups of wgmma.
  int64_t committed = 0, finished = 0;
  /// The group that a value of wgmma comes from, by its first row.
  llvm::DenseMap<uint32_t, int64_t> groupOf;
  /// What the groups read, by number.
  std::vector<std::pair<int64_t, SharedMemory::Range>> reads;

  uint64_t *row(uint32_t number) { return &registers[size_t(number) * kLanes]; }
  uint64_t *row(const Slot &slot, unsigned element = 0) {
    return row(slot.row + element);
  }
  SharedMemory &shared() { return *block->shared; }
  GlobalMemory &global() { return *block->cluster->memory; }

  /// Says what is wrong with an instruction, of a lane or (-1) of the warp.
  Step fail(const Instruction &instruction, int lane, const std::string &what);
  /// Whether all lanes are there, for what a whole warp does.
  bool isWhole() const { return mask == kAllLanes; }
};

} // namespace moe::codegen::cuda::test

#endif // MOE_MLIR_TESTING_CUDA_KERNEL_H
