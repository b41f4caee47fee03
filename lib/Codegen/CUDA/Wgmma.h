//===- Wgmma.h - Tensor cores of sm_90a -------------------------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// D [64, N] f32 += A [64, K] * B [N, K]^T by the 128 threads of a warpgroup. A
// and B are panels in shared memory; see GemmStage.h.
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_LIB_CODEGEN_CUDA_WGMMA_H
#define MOE_MLIR_LIB_CODEGEN_CUDA_WGMMA_H

#include "TensorCore.h"

namespace moe::codegen::cuda {

/// wgmma.mma_async. The sums of a product are one value between products, an
/// LLVM struct of the thread's N / 2 floats, for ptxas serializes the products
/// of accumulators that are taken apart (C7510 and on). With swap-AB there is
/// one such value for each box of the weights, else one for all.
class Wgmma : public TensorCore {
public:
  Wgmma(KernelBuilder &k, const GemmTile &tile, int64_t height,
        mlir::Type element);

  Fragment begin() override;
  Fragment issue(const GemmStage &stage, const Fragment &sums,
                 bool isFirst) override;
  void wait(int64_t left) override;
  FragmentLayout getLayout(Expr thread) override;
  Expr getElement(const Fragment &fragment, int64_t box, int64_t j, int64_t h,
                  int64_t b) override;

private:
  /// The products of one panel of A and one of B, whose addresses (i32) these
  /// are.
  Expr multiply(Expr sums, Expr a, Expr b, bool isFirst);

  KernelBuilder &k;
  const GemmTile &tile;
  int64_t height;
  mlir::Type element;
  mlir::Type sumsType;
};

} // namespace moe::codegen::cuda

#endif // MOE_MLIR_LIB_CODEGEN_CUDA_WGMMA_H
