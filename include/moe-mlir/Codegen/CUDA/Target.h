//===- Target.h - The GPU that kernels are generated for --------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_CODEGEN_CUDA_TARGET_H
#define MOE_MLIR_CODEGEN_CUDA_TARGET_H

#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/StringRef.h"
#include "llvm/Support/Error.h"

namespace moe::codegen::cuda {

/// The architecture that is meant where none is named.
inline constexpr llvm::StringLiteral kDefaultChip = "sm_90a";

/// Families of tensor-core instructions that large tiles are multiplied with.
enum class TensorCoreKind {
  Wgmma ///< wgmma.mma_async: sums in registers, operands in shared memory.
};

/// What kernels may rely on and what was learned about an architecture: a row
/// of the table in Target.cpp.
struct Chip {
  /// As NVIDIA names it, and the PTX features that LLVM is told of.
  llvm::StringLiteral chip, features;
  /// Multiprocessors of the GPU that grids are made for: a persistent kernel
  /// runs so many blocks. Any other number is right, too.
  int64_t multiprocessors;
  /// Dynamic shared memory that one block may have, in bytes.
  int64_t sharedBytes;
  /// Registers of a multiprocessor, the most of one thread, and the unit in
  /// which warpgroups may hand them to each other (setmaxnreg).
  int64_t registers, threadRegisters, registerUnit;

  TensorCoreKind tensorCore;
  int64_t mmaColumns; ///< The largest N of one product.
  bool hasTMA, hasClusters;

  /// Registers of a producer's thread, as ptxas needs them: if TMA copies
  /// everything, and if it copies rows itself and holds their places.
  int64_t tmaRegisters, copyingRegisters;
  /// Of a consumer's thread, beside its sums, for addresses and the epilogue.
  int64_t consumerRegisters;

  /// For estimates of dense products: multiply-adds of two-byte floats that a
  /// multiprocessor does in a cycle, bytes that L2 sends it, and cycles to fill
  /// the stages and store one tile.
  double productsPerCycle, l2BytesPerCycle, cyclesPerTile;
};

/// All chips that there are kernels for.
llvm::ArrayRef<Chip> getChips();

/// The chip that kernels are generated for.
struct Target : Chip {
  Target();
  explicit Target(const Chip &chip) : Chip(chip) {}

  /// Finds a chip by its name. Others are an error until their kernels are
  /// there.
  static llvm::Expected<Target> parse(llvm::StringRef chip);
};

} // namespace moe::codegen::cuda

#endif // MOE_MLIR_CODEGEN_CUDA_TARGET_H
