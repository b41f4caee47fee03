//===- WeightFormat.h - How weights meet tensor cores -----------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_LIB_CODEGEN_CUDA_WEIGHTFORMAT_H
#define MOE_MLIR_LIB_CODEGEN_CUDA_WEIGHTFORMAT_H

#include "TensorCore.h"

namespace moe::codegen::cuda {

/// How weights are stored, for tables.
enum class WeightKind {
  Plain ///< Elements of the activations' type: bf16 or f16.
};

/// What becomes of a stage's weights: operands that tensor cores take, and sums
/// in f32. A format that is not multiplied as it is stored decodes the stage
/// before its products are issued; one with scales along K multiplies each
/// stage into sums of its own, waits for them, and adds them, scaled, to the
/// tile's.
class WeightFormat {
public:
  virtual ~WeightFormat() = default;

  virtual WeightKind getKind() const = 0;
  /// Adds the products of one stage to the sums, or starts them.
  virtual Fragment accumulate(TensorCore &core, const GemmStage &stage,
                              const Fragment &sums, bool isFirst) const = 0;

  /// The format of weights beside activations of these types, or null if tensor
  /// cores take none such.
  static const WeightFormat *find(mlir::Type activations, mlir::Type weights);
};

} // namespace moe::codegen::cuda

#endif // MOE_MLIR_LIB_CODEGEN_CUDA_WEIGHTFORMAT_H
