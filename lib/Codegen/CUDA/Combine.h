//===- Combine.h - Weighted sums of experts' rows ---------------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_LIB_CODEGEN_CUDA_COMBINE_H
#define MOE_MLIR_LIB_CODEGEN_CUDA_COMBINE_H

#include "Launch.h"

namespace moe::codegen::cuda {

/// The rows that a token's experts made, as a kernel sees them that sums them.
class ExpertRows {
public:
  /// Adds the inputs of a combine to those of `launch`.
  ExpertRows(Launch &launch, CombineOp op)
      : rows(launch.read(op.getExpertOut())),
        pairRows(launch.read(op.getPairRows())),
        weights(launch.read(op.getWeights())),
        scale(op.getScale().convertToDouble()) {}

  /// `width` columns of the sum for `token`, in f32.
  Expr sum(KernelBuilder &k, Expr token, Expr column, unsigned width) const;

private:
  Buffer rows, pairRows, weights;
  double scale;
};

} // namespace moe::codegen::cuda

#endif // MOE_MLIR_LIB_CODEGEN_CUDA_COMBINE_H
