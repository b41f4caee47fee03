//===- Gemm.h - Matrix products in float64 -------------------- -*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef MOE_MLIR_LIB_REFERENCE_GEMM_H
#define MOE_MLIR_LIB_REFERENCE_GEMM_H

#include "moe-mlir/Layer/LayerSpec.h"
#include "moe-mlir/Reference/Parallel.h"

namespace moe::reference {

/// A weight matrix [N, K] inside a tensor: its first element is element
/// `first` of `data`.
struct Weights {
  DType dtype;
  const void *data;
  int64_t first;
};

/// C[m, n] = sum over k of A[m, k] * W[n, k] for A [M, K] and C [M, N], all
/// row-major. With `squareWeights` the sum takes W[n, k]^2. The order of
/// summation depends on K and the machine's vector width only.
void multiply(ThreadPool &pool, int64_t M, int64_t N, int64_t K,
              const double *A, const Weights &W, double *C,
              bool squareWeights = false);

} // namespace moe::reference

#endif // MOE_MLIR_LIB_REFERENCE_GEMM_H
