//===- GemmEpilogue.h - From sums to the output -----------------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_LIB_CODEGEN_CUDA_GEMMEPILOGUE_H
#define MOE_MLIR_LIB_CODEGEN_CUDA_GEMMEPILOGUE_H

#include "GemmOperands.h"
#include "GemmTile.h"
#include "TileScheduler.h"

#include <array>
#include <functional>

namespace moe::codegen::cuda {

/// What becomes of the sums of an element: scale * sum + bias, and then the
/// activation of gate and up. Null parts are left out.
struct GemmFinish {
  GemmFinish() = default;
  /// Adds to the launch what the operands ask for.
  GemmFinish(Launch &launch, const GemmOperands &operands,
             const Buffer &sourceRows);

  /// The bias of gate and up, or one, of a column of `columns` of the output;
  /// nothing if there is none. A column out of bounds gets that of the last.
  llvm::SmallVector<Expr, 2> loadBias(KernelBuilder &k, Expr expert,
                                      Expr column, int64_t columns) const;
  /// The result of an element whose sums (of gate and up, or one) are `sums`;
  /// `scale` of its row and `bias` of its columns may be absent.
  Expr apply(llvm::SmallVector<Expr, 2> sums, Expr scale,
             llvm::ArrayRef<Expr> bias) const;

  std::function<Expr(KernelBuilder &, Expr row)> scale;
  Buffer bias; ///< [N] or [E, N]: one per row of the weights.
  const ActivationParams *activation = nullptr;

  /// Columns of the output that a tile has.
  int64_t getColumns(const GemmTile &tile) const {
    return isGated() ? tile.getBoxRows() : tile.weights;
  }
  bool isGated() const { return activation && activation->gated; }
};

/// Finishes and stores what one warpgroup has of a tile. An output of two bytes
/// an element goes through shared memory, so that whole lines are written.
class GemmEpilogue {
public:
  /// `consumer` is the number of the warpgroup; the sums are those of a tile of
  /// `height` rows.
  GemmEpilogue(KernelBuilder &k, const GemmTile &shape, int64_t height,
               const GemmFinish &finish, const Buffer &output, Expr consumer);

  /// `sums` are the warpgroup's accumulators.
  void store(const OutputTile &tile, llvm::ArrayRef<Expr> sums);

private:
  /// The sums of 64 rows of the output by some columns or, swapped, of some
  /// rows by 64 columns: blocks of eight along the second side of wgmma.
  struct Fragment {
    int64_t box, first, count; ///< Of the blocks.
  };
  /// A thread's results in a block: [h][b], see Wgmma.h.
  using Results = std::array<std::array<Expr, 2>, 2>;
  class StagedPanel;

  /// What the warpgroup has: all of it, or in parts of one panel each.
  llvm::SmallVector<Fragment> getFragments() const;
  llvm::SmallVector<Fragment> getPanels() const;
  int64_t getPanelRows() const { return shape.swapped ? height : kWgmmaRows; }

  /// Where the thread's results are along the two sides of wgmma.
  Expr alongFirst(int64_t h);
  Expr alongSecond(int64_t j, int64_t b);
  /// Row and column in the tile of an element of block j.
  Expr rowOf(int64_t j, int64_t h, int64_t b);
  Expr columnOf(const Fragment &fragment, int64_t j, int64_t h, int64_t b);
  Expr scaleOf(const OutputTile &tile, Expr row);
  llvm::SmallVector<Expr, 2> biasOf(const OutputTile &tile, Expr column);
  /// Calls `take` with the results of each block of a fragment.
  void finishBlocks(const OutputTile &tile, llvm::ArrayRef<Expr> sums,
                    const Fragment &fragment,
                    llvm::function_ref<void(int64_t, const Results &)> take);

  void storeDirectly(const OutputTile &tile, llvm::ArrayRef<Expr> sums);
  void storeStaged(const OutputTile &tile, llvm::ArrayRef<Expr> sums);
  void stage(StagedPanel &panel, const OutputTile &tile,
             llvm::ArrayRef<Expr> sums, const Fragment &fragment);
  void writeOut(StagedPanel &panel, const OutputTile &tile,
                const Fragment &fragment);

  KernelBuilder &k;
  const GemmTile &shape;
  int64_t height;
  const GemmFinish &finish;
  const Buffer &output;
  Expr consumer;
  Expr thread; ///< In the warpgroup.
};

} // namespace moe::codegen::cuda

#endif // MOE_MLIR_LIB_CODEGEN_CUDA_GEMMEPILOGUE_H
