//===- Epilogue.h - From sums to the output ---------------------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_LIB_CODEGEN_CUDA_EPILOGUE_H
#define MOE_MLIR_LIB_CODEGEN_CUDA_EPILOGUE_H

#include "EpilogueOp.h"
#include "TensorCore.h"
#include "TileScheduler.h"

#include <array>

namespace moe::codegen::cuda {

/// Finishes and stores what one consumer warpgroup has of a tile. An output of
/// two bytes an element goes through shared memory, so that whole lines are
/// written.
class Epilogue {
public:
  Epilogue(KernelBuilder &k, const GemmTile &shape, TensorCore &core,
           const EpilogueOp &op, const Buffer &output)
      : k(k), shape(shape), core(core), op(op), output(output),
        consumer(consumerWarpgroup(k)) {}

  void store(const OutputTile &tile, const Fragment &sums);

private:
  using Layout = FragmentLayout;
  /// A thread's results in a block: [h][b], see FragmentLayout.
  using Results = std::array<std::array<Expr, 2>, 2>;
  /// What the elements of a row have in common, a scale, or those of a column,
  /// a bias.
  struct LineValues {
    Expr scale;
    llvm::SmallVector<Expr, 2> bias;
  };
  class StagedPanel;

  LineValues loadLine(const OutputTile &tile, Axis axis, Expr place);
  /// Calls `take` with the results of each block of a part.
  void finishBlocks(const OutputTile &tile, const Fragment &sums,
                    const Layout &layout, const Layout::Part &part,
                    llvm::function_ref<void(int64_t, const Results &)> take);

  void storeDirectly(const OutputTile &tile, const Fragment &sums,
                     const Layout &layout);
  void storeStaged(const OutputTile &tile, const Fragment &sums,
                   const Layout &layout, Expr thread);
  void stage(StagedPanel &panel, const OutputTile &tile, const Fragment &sums,
             const Layout &layout, const Layout::Part &part);
  void writeOut(StagedPanel &panel, const OutputTile &tile,
                const Layout &layout, const Layout::Part &part);

  KernelBuilder &k;
  const GemmTile &shape;
  TensorCore &core;
  const EpilogueOp &op;
  const Buffer &output;
  Expr consumer; ///< The number of the warpgroup.
};

} // namespace moe::codegen::cuda

#endif // MOE_MLIR_LIB_CODEGEN_CUDA_EPILOGUE_H
