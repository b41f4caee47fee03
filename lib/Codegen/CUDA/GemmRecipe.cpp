//===- GemmRecipe.cpp - Which tiles a GEMM is computed with ---------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "GemmRecipe.h"
#include "SkinnyGemm.h"

using namespace mlir;

namespace moe::codegen::cuda {

//===----------------------------------------------------------------------===//
// Tables
//===----------------------------------------------------------------------===//

#define MOE_GEMM_TILE(name, ...) static constexpr GemmTile k##name{__VA_ARGS__};
#include "GemmRecipes.def"

static constexpr GemmRecipe kRecipes[] = {
#define MOE_GEMM_RECIPE(chip, weights, activations, kind, mostRows, tile,      \
                        measured)                                              \
  {chip,                                                                       \
   WeightKind::weights,                                                        \
   ActivationKind::activations,                                                \
   GemmKind::kind,                                                             \
   mostRows,                                                                   \
   k##tile,                                                                    \
   measured},
#include "GemmRecipes.def"
};

ArrayRef<GemmRecipe> getGemmRecipes() { return kRecipes; }

namespace {
/// What takes over from streamed weights.
enum class NextKernel { TensorCores, CUDACores };
struct SkinnyLimit {
  StringLiteral chip;
  GemmKind kind;
  NextKernel next;
  int64_t mostRows;
};

enum class ActivationForm { None, Ungated, Gated };
enum class Presence { No, Yes, Any };
struct EpilogueLimit {
  StringLiteral chip;
  ActivationForm form;
  std::optional<moe::ActivationKind> activation; ///< Null: any.
  Presence scale, bias;
  int64_t tileM;
};
constexpr std::nullopt_t kAnyActivation = std::nullopt;
} // namespace

static constexpr SkinnyLimit kSkinnyLimits[] = {
#define MOE_SKINNY_LIMIT(chip, kind, next, mostRows, measured)                 \
  {chip, GemmKind::kind, NextKernel::next, mostRows},
#include "GemmRecipes.def"
};

static constexpr EpilogueLimit kEpilogueLimits[] = {
#define MOE_EPILOGUE_LIMIT(chip, form, activation, scale, bias, tileM)         \
  {chip, ActivationForm::form, activation, Presence::scale, Presence::bias,    \
   tileM},
#include "GemmRecipes.def"
};

//===----------------------------------------------------------------------===//
// The key
//===----------------------------------------------------------------------===//

/// The highest tile that leaves the epilogue of the operands the registers that
/// it needs, or 0.
static int64_t getMostTileRows(const Target &target,
                               const GemmOperands &operands) {
  ActivationAttr activation = operands.activation;
  ActivationForm form = !activation            ? ActivationForm::None
                        : activation.isGated() ? ActivationForm::Gated
                                               : ActivationForm::Ungated;
  auto isLike = [](Presence presence, Value operand) {
    return presence == Presence::Any ||
           (presence == Presence::Yes) == static_cast<bool>(operand);
  };
  for (const EpilogueLimit &limit : kEpilogueLimits)
    if (limit.chip == target.chip && limit.form == form &&
        (!limit.activation || *limit.activation == activation.getKind()) &&
        isLike(limit.scale, operands.scale) &&
        isLike(limit.bias, operands.bias))
      return limit.tileM;
  return 0;
}

static GemmKind getKind(const GemmOperands &operands) {
  if (!operands.expertOffsets)
    return GemmKind::Dense;
  return operands.sourceRows ? GemmKind::GatheredExperts : GemmKind::Experts;
}

std::optional<GemmShape> getGemmShape(const Target &target,
                                      const GemmOperands &operands) {
  MemRefType x = getMemRefType(operands.x), y = getMemRefType(operands.y);
  MemRefType weights = getMemRefType(operands.weights);
  const WeightFormat *format =
      WeightFormat::find(x.getElementType(), weights.getElementType());
  int64_t mostTileRows = getMostTileRows(target, operands);
  int64_t columns = weights.getDimSize(weights.getRank() - 2);
  if (!format || mostTileRows == 0 || ShapedType::isDynamic(columns))
    return std::nullopt;
  // TMA and the epilogue move chunks.
  for (MemRefType type : {x, weights, y}) {
    int64_t row = type.getShape().back();
    if (ShapedType::isDynamic(row) ||
        row * type.getElementTypeBitWidth() % (8 * kChunkBytes) != 0)
      return std::nullopt;
  }
  return GemmShape{format->getKind(),
                   ActivationKind::Half,
                   getKind(operands),
                   columns,
                   weights.getShape().back(),
                   y.getElementTypeBitWidth() == 16,
                   mostTileRows};
}

//===----------------------------------------------------------------------===//
// The choice
//===----------------------------------------------------------------------===//

/// Cycles that a dense product takes, roughly: every multiprocessor works off
/// its tiles, at the speed of its tensor cores or of what L2 sends it.
static double estimateCycles(const Target &target, const GemmShape &shape,
                             const GemmTile &tile, int64_t rows) {
  // Of two-byte elements.
  constexpr int64_t kStageDepth = kPanelRowBytes / 2;
  int64_t rowTiles = llvm::divideCeil(rows, tile.tileM);
  int64_t height = llvm::alignTo(llvm::divideCeil(rows, rowTiles), tile.stepM);
  int64_t tiles = rowTiles * llvm::divideCeil(shape.columns, tile.tileN);
  double steps = llvm::divideCeil(shape.depth, kStageDepth);
  double products = height * tile.tileN * kStageDepth / target.productsPerCycle;
  double loads =
      (height + tile.tileN) * kPanelRowBytes / target.l2BytesPerCycle;
  double cycles = steps * std::max(products, loads) + target.cyclesPerTile;
  return cycles * llvm::divideCeil(tiles, target.multiprocessors);
}

SmallVector<GemmChoice> chooseGemmTiles(const Target &target,
                                        const GemmShape &shape) {
  SmallVector<GemmChoice> rows, choices;
  for (const GemmRecipe &recipe : kRecipes)
    if (recipe.chip == target.chip && recipe.weights == shape.weights &&
        recipe.activations == shape.activations && recipe.kind == shape.kind)
      rows.push_back({recipe.mostRows, recipe.tile});
  if (rows.empty())
    return {};
  auto add = [&](int64_t mostRows, GemmTile tile) {
    // Without staging, branches for heights cost registers that are not there.
    if (!shape.isStaged)
      tile.stepM = tile.tileM;
    if (!choices.empty() && choices.back().tile == tile)
      choices.back().mostRows = mostRows;
    else
      choices.push_back({mostRows, tile});
  };
  if (shape.kind != GemmKind::Dense) {
    for (auto [mostRows, tile] : rows) {
      tile.tileM = std::min(tile.tileM, shape.mostTileRows);
      add(mostRows, tile);
    }
    return choices;
  }
  for (int64_t numRows :
       {32, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048, 4096}) {
    auto isFaster = [&](const GemmChoice &a, const GemmChoice &b) {
      return estimateCycles(target, shape, a.tile, numRows) <
             estimateCycles(target, shape, b.tile, numRows);
    };
    add(numRows, llvm::min_element(rows, isFaster)->tile);
  }
  add(kAllRows, rows.back().tile);
  return choices;
}

Expr getMostSkinnyRows(ExprBuilder &host, const Target &target,
                       const GemmOperands &operands, bool beforeTensorCores) {
  NextKernel next =
      beforeTensorCores ? NextKernel::TensorCores : NextKernel::CUDACores;
  GemmKind kind = getKind(operands);
  int64_t most = 0;
  for (const SkinnyLimit &limit : kSkinnyLimits)
    if (limit.chip == target.chip && limit.kind == kind && limit.next == next)
      most = limit.mostRows;
  if (kind == GemmKind::Dense)
    return host.index(most);
  return min(dimOf(host, operands.weights, 0) * most, kMostSkinnyRows);
}

} // namespace moe::codegen::cuda
