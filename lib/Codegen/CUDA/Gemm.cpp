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
#include "moe-mlir/Dialect/MoE/IR/MoE.h"

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

/// The product with tiles that the user gave.
static LogicalResult emitGivenTiles(const Emission &emission, StringRef stem,
                                    StringRef label,
                                    const GemmOperands &operands,
                                    GemmTileAttr given) {
  auto fail = [&](const Twine &problem) {
    return emitError(emission.loc)
           << "'" << label << "' cannot use " << given << ": " << problem;
  };
  GemmTile tile{given.getRows(),
                given.getRowStep() ? given.getRowStep() : given.getRows(),
                given.getWeights(),
                given.getStages(),
                given.getConsumers(),
                given.getSwapped(),
                given.getResidentBlocks(),
                given.getCluster()};
  if (!hasTensorCorePath(operands))
    return fail("expected a product on tensor cores (two-byte floats, rows of "
                "a multiple of 16 bytes, a short activation) but this one is "
                "computed on CUDA cores");
  // Tiles of an expert's last rows would reach into the next one's.
  if (operands.expertOffsets && !tile.swapped)
    return fail("expected swapped = true for experts but got false");
  if (std::string problem = tile.findProblem(emission.target); !problem.empty())
    return fail(problem);
  launchGemm(emission, stem, label, operands, tile);
  return success();
}

LogicalResult emitGemm(const Emission &emission, StringRef stem,
                       StringRef label, const GemmOperands &operands) {
  if (emission.gemmTiles)
    if (auto tile = emission.gemmTiles.getAs<GemmTileAttr>(label))
      return emitGivenTiles(emission, stem, label, operands, tile);
  auto emitTiles = [&] {
    if (hasTensorCorePath(operands))
      return launchTensorCoreGemm(emission, stem, label, operands);
    launchSimtGemm(emission, (stem + "_simt").str(), label, operands);
  };
  if (!hasFewRowsPath(operands)) {
    emitTiles();
    return success();
  }
  ExprBuilder host = gridBuilder(emission);
  Expr isFew = dimOf(host, operands.y, 0) <= getMostFewRows(host, operands);
  ifOnHost(
      emission, isFew,
      [&] { launchFewRows(emission, (stem + "_few").str(), label, operands); },
      emitTiles);
  return success();
}

} // namespace moe::codegen::cuda
