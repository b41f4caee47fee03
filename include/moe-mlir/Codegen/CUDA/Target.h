//===- Target.h - The GPU that kernels are generated for --------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_CODEGEN_CUDA_TARGET_H
#define MOE_MLIR_CODEGEN_CUDA_TARGET_H

#include "llvm/ADT/StringRef.h"
#include "llvm/Support/Error.h"
#include <string>

namespace moe::codegen::cuda {

/// A GPU architecture as NVIDIA names it, and what kernels may rely on.
struct Target {
  std::string chip = "sm_90a";
  /// PTX features that LLVM is told of; the default chip of the NVVM target is
  /// one that ptxas 13 refuses.
  std::string features = "+ptx86";
  /// Multiprocessors of the GPU that grids are made for: a persistent kernel
  /// runs so many blocks. Any other number is right, too.
  int64_t multiprocessors = 132;
  /// Dynamic shared memory that one block may have, in bytes.
  int64_t sharedBytes = 227 * 1024;

  /// Parses "sm_90a". Others are an error until their kernels are there.
  static llvm::Expected<Target> parse(llvm::StringRef chip);
};

} // namespace moe::codegen::cuda

#endif // MOE_MLIR_CODEGEN_CUDA_TARGET_H
