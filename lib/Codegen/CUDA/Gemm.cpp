//===- Gemm.cpp - Which kernel computes a GEMM ----------------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Activation.h"
#include "GemmKernel.h"

using namespace mlir;

namespace moe::codegen::cuda {

std::string describe(const GemmOperands &operands) {
  return describeParameters(operands.sigmoidOfScale,
                            operands.activation ? describe(*operands.activation)
                                                : "");
}

void emitGemm(const Emission &emission, StringRef stem, StringRef label,
              const GemmOperands &operands) {
  launchSimtGemm(emission, stem, label, operands);
}

} // namespace moe::codegen::cuda
