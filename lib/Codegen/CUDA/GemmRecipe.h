//===- GemmRecipe.h - Which tiles a GEMM is computed with -------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// What was measured about GEMMs, as tables (GemmRecipes.def). What fits into a
// chip at all: GemmTile.h.
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_LIB_CODEGEN_CUDA_GEMMRECIPE_H
#define MOE_MLIR_LIB_CODEGEN_CUDA_GEMMRECIPE_H

#include "GemmOperands.h"
#include "GemmTile.h"
#include "WeightFormat.h"

#include <limits>

namespace moe::codegen::cuda {

/// Kinds of GEMMs, each of which has its tiles.
enum class GemmKind {
  Dense,          ///< One matrix of weights.
  Experts,        ///< One for the rows of each expert.
  GatheredExperts ///< The same, whose rows are scattered.
};

/// What activations are made of, for tables.
enum class ActivationKind {
  Half ///< bf16 or f16.
};

/// A bound that all numbers of rows are within.
inline constexpr int64_t kAllRows = std::numeric_limits<int64_t>::max();

/// A row of the table of tiles: what it is for, and up to which number of rows
/// (with experts: of the average one) it is used. Of dense GEMMs all tiles are
/// for all rows, and an estimate decides between them.
struct GemmRecipe {
  llvm::StringLiteral chip;
  WeightKind weights;
  ActivationKind activations;
  GemmKind kind;
  int64_t mostRows;
  GemmTile tile;
  llvm::StringLiteral measured; ///< Where and when.
};
llvm::ArrayRef<GemmRecipe> getGemmRecipes();

/// What decides about tiles.
struct GemmShape {
  WeightKind weights;
  ActivationKind activations;
  GemmKind kind;
  int64_t columns; ///< Rows of weights (of one expert).
  int64_t depth;   ///< K.
  bool isStaged;   ///< Outputs of two bytes an element; see Epilogue.
  /// tileM beside whose sums the epilogue has the registers that it needs.
  int64_t mostTileRows;
};

/// A tile, and the number of rows (with experts: of the average one) up to
/// which it is used.
struct GemmChoice {
  int64_t mostRows;
  GemmTile tile;
};

/// The tiles of a GEMM, for few to many rows; the last is for all that are
/// left. Empty if the table has none.
llvm::SmallVector<GemmChoice> chooseGemmTiles(const Target &target,
                                              const GemmShape &shape);

/// The same of operands that tensor cores and TMA can compute; nothing of
/// others: of formats that no row is for, rows that are no multiple of 16
/// bytes, or an epilogue that leaves no registers for sums.
std::optional<GemmShape> getGemmShape(const Target &target,
                                      const GemmOperands &operands);

/// Rows up to which weights are streamed past few rows (SkinnyGemm.h), on the
/// host: before tensor cores take over, or else CUDA cores.
Expr getMostSkinnyRows(ExprBuilder &host, const Target &target,
                       const GemmOperands &operands, bool beforeTensorCores);

} // namespace moe::codegen::cuda

#endif // MOE_MLIR_LIB_CODEGEN_CUDA_GEMMRECIPE_H
