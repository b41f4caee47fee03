//===- Gemm.cpp - Which kernel computes a GEMM ----------------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Activation.h"
#include "FewRows.h"
#include "GemmKernel.h"

using namespace mlir;

namespace moe::codegen::cuda {

std::string describe(const GemmOperands &operands) {
  return describeParameters(operands.sigmoidOfScale,
                            operands.activation ? describe(*operands.activation)
                                                : "");
}

/// Rows up to which tiles that stream the weights, once for every few rows, are
/// the fastest.
static Expr getMostFewRows(ExprBuilder &host, const GemmOperands &operands) {
  // What takes over on CUDA cores is slower than what does on tensor cores.
  const bool beforeTensorCores = hasTensorCorePath(operands);
  if (!operands.expertOffsets)
    return host.index(beforeTensorCores ? 64 : kMaxFewRows);
  const int64_t ofExpert = beforeTensorCores ? 2 : 4;
  return min(dimOf(host, operands.weights, 0) * ofExpert, kMaxFewRows);
}

void emitGemm(const Emission &emission, StringRef stem, StringRef label,
              const GemmOperands &operands) {
  auto emitTiles = [&] {
    if (hasTensorCorePath(operands))
      return launchTensorCoreGemm(emission, stem, label, operands);
    launchSimtGemm(emission, (stem + "_simt").str(), label, operands);
  };
  if (!hasFewRowsPath(operands))
    return emitTiles();
  ExprBuilder host = gridBuilder(emission);
  Expr isFew = dimOf(host, operands.y, 0) <= getMostFewRows(host, operands);
  ifOnHost(
      emission, isFew,
      [&] { launchFewRows(emission, (stem + "_few").str(), label, operands); },
      emitTiles);
}

} // namespace moe::codegen::cuda
