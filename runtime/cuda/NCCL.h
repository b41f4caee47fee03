//===- NCCL.h - NCCL, found at run time -------------------------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOERT_CUDA_NCCL_H
#define MOERT_CUDA_NCCL_H

#include "moert/moert.h"

#include <nccl.h>
#include <string>

namespace moert {

/// The functions of NCCL. They are looked up, not linked to: who runs one rank
/// needs none, and in a process of PyTorch it is PyTorch's.
struct NCCL {
#define MOERT_NCCL_FUNCTION(name) decltype(&::nccl##name) name = nullptr;
#include "NCCLFunctions.def"

  /// Loads libnccl.so.2 and finds all functions. Returns an empty text or what
  /// is missing.
  std::string load();
};

} // namespace moert

#endif // MOERT_CUDA_NCCL_H
