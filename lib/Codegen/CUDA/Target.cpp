//===- Target.cpp - The GPU that kernels are generated for ----------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moe-mlir/Codegen/CUDA/Target.h"

using namespace moe::codegen::cuda;

llvm::Expected<Target> Target::parse(llvm::StringRef chip) {
  Target target;
  if (chip != target.chip)
    return llvm::createStringError("expected GPU architecture 'sm_90a' but got "
                                   "'" +
                                   chip + "'");
  return target;
}
