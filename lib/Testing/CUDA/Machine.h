//===- Machine.h - An emulated GPU ------------------------------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Runs kernels as the generators of Codegen/CUDA emit them (scf, arith, llvm
// and nvvm) on the CPU. A warp steps through the ops with its 32 lanes at once,
// those that are elsewhere masked; the warps of a cluster take turns, so that
// barriers and mbarriers mean something.
//
// Numbers are those of the GPU bit for bit: integers; float32 sums, products,
// quotients, roots and fused multiply-adds (rounded to nearest even, subnormals
// kept, NaN as 0x7fffffff); conversions (to bf16 and f16 to nearest even, NaN
// as 0x7fff). Two things differ: `exp2` and `rcp.approx.ftz` are rounded
// correctly here, by up to 2 and 1 units in the last place on a GPU; and the
// products of tensor cores are added one by one, in the order of K, each sum
// rounded to float32, an order that the hardware leaves open.
//
// Everything that cannot be right is an error that names the op, the block, the
// warp and the lane: see Memory.h, and besides an op that is not known, lanes
// that miss an instruction of the whole warp, memory that is touched before
// `griddepcontrol.wait`, results of wgmma that are read before they are waited
// for, memory that they still read written, and warps that all wait.
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_TESTING_CUDA_MACHINE_H
#define MOE_MLIR_TESTING_CUDA_MACHINE_H

#include "Memory.h"

#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include <memory>
#include <vector>

namespace moe::codegen::cuda::test {

/// In which order things happen that have none. What is right does not depend
/// on it.
enum class EventOrder {
  /// Blocks and warps from the first, each until it waits; copies at once.
  Eager,
  /// From the last, a few ops at a time; copies when every warp waits for one.
  Late
};

/// What TMA knows of a tensor: row-major, the whole buffer.
struct TensorMap {
  uint64_t address = 0;
  std::vector<int64_t> shape, box; ///< Outermost first.
  int64_t elementBytes = 0, swizzle = 0;
};

struct LaunchShape {
  int64_t blocks = 0, threads = 0, sharedBytes = 0, cluster = 1;
  /// Whether memory may be touched after `griddepcontrol.wait` only.
  bool startsEarly = false;
};

struct Kernel;

/// A GPU with its memory.
class Machine {
public:
  explicit Machine(EventOrder order);
  ~Machine();

  GlobalMemory memory;

  /// Runs a kernel. `arguments` are addresses, sizes and scalars, and for a
  /// tensor map the number of the one that is meant. The text of an error, or
  /// nothing.
  std::string launch(mlir::LLVM::LLVMFuncOp function, const LaunchShape &shape,
                     llvm::ArrayRef<uint64_t> arguments,
                     llvm::ArrayRef<TensorMap> maps);

  EventOrder getOrder() const { return order; }

private:
  EventOrder order;
  std::map<mlir::Operation *, std::unique_ptr<Kernel>> kernels;
};

} // namespace moe::codegen::cuda::test

#endif // MOE_MLIR_TESTING_CUDA_MACHINE_H
