//===- Gemm.cpp - Which kernel computes a GEMM ----------------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Activation.h"
#include "GemmKernel.h"
#include "GemmRecipe.h"
#include "SkinnyGemm.h"

using namespace mlir;

namespace moe::codegen::cuda {

std::string describe(const GemmOperands &operands) {
  return describeParameters(
      operands.sigmoidOfScale,
      operands.activation ? codegen::describe(operands.activation) : "");
}

/// The launch with tiles that the user gave.
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
  if (!getGemmShape(emission.target, operands))
    return fail("expected a product on tensor cores (two-byte floats, rows of "
                "a multiple of 16 bytes, a short activation) but this one is "
                "computed on CUDA cores");
  // Tiles of an expert's last rows would reach into the next one's.
  if (operands.expertOffsets && !tile.swapAB)
    return fail("expected swapped = true for experts but got false");
  if (std::string problem = tile.findProblem(emission.target); !problem.empty())
    return fail(problem);
  launchGemm(emission, stem, label, operands, tile);
  return success();
}

/// Launches of the chosen tiles, of which the host takes one by the number of
/// rows.
static void launchChoice(const Emission &emission, StringRef stem,
                         StringRef label, const GemmOperands &operands,
                         ArrayRef<GemmChoice> choices) {
  if (choices.size() == 1)
    return launchGemm(emission, stem, label, operands, choices[0].tile);
  ExprBuilder host = gridBuilder(emission);
  Expr most = host.index(choices[0].mostRows);
  if (operands.expertOffsets)
    most = most * dimOf(host, operands.weights, 0);
  ifOnHost(
      emission, dimOf(host, operands.y, 0) <= most,
      [&] { launchGemm(emission, stem, label, operands, choices[0].tile); },
      [&] {
        launchChoice(emission, stem, label, operands, choices.drop_front());
      });
}

LogicalResult emitGemm(const Emission &emission, StringRef stem,
                       StringRef label, const GemmOperands &operands) {
  if (emission.gemmTiles)
    if (auto tile = emission.gemmTiles.getAs<GemmTileAttr>(label))
      return emitGivenTiles(emission, stem, label, operands, tile);
  SmallVector<GemmChoice> tiles;
  if (auto shape = getGemmShape(emission.target, operands))
    tiles = chooseGemmTiles(emission.target, *shape);
  auto emitTiles = [&] {
    if (!tiles.empty())
      return launchChoice(emission, stem, label, operands, tiles);
    launchSimtGemm(emission, (stem + "_simt").str(), label, operands);
  };
  if (!hasSkinnyPath(operands)) {
    emitTiles();
    return success();
  }
  ExprBuilder host = gridBuilder(emission);
  Expr most =
      getMostSkinnyRows(host, emission.target, operands, !tiles.empty());
  ifOnHost(
      emission, dimOf(host, operands.y, 0) <= most,
      [&] {
        launchSkinnyGemm(emission, (stem + "_few").str(), label, operands);
      },
      emitTiles);
  return success();
}

} // namespace moe::codegen::cuda
