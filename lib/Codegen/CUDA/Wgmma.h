//===- Wgmma.h - Products of a warpgroup on tensor cores --------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// D [64, N] f32 += A [64, K] * B [N, K]^T by the 128 threads of a warpgroup. A
// and B are panels in shared memory: rows of 128 bytes (64 elements), one after
// the other, with the 128-byte swizzle, aligned to 1024 bytes.
//
// Thread t of the warpgroup holds, for each block j of eight columns, the four
// elements D[16 * (t / 32) + (t % 32) / 4 + 8 * h][8 * j + 2 * (t % 4) + b] for
// h and b from 0 to 1.
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_LIB_CODEGEN_CUDA_WGMMA_H
#define MOE_MLIR_LIB_CODEGEN_CUDA_WGMMA_H

#include "KernelBuilder.h"

namespace moe::codegen::cuda {

/// Threads of a warpgroup.
inline constexpr int64_t kWarpgroup = 128;
/// Rows of A in one product.
inline constexpr int64_t kWgmmaRows = 64;
/// Bytes of a row of a panel: the width of the swizzle.
inline constexpr int64_t kPanelRowBytes = 128;
/// The swizzle moves the 16-byte chunks of a row within it: chunk c of row r
/// lies at place c xor (r mod 8).
inline constexpr int64_t kChunkBytes = 16;

/// The accumulator of one warpgroup. Between products it is one value, an LLVM
/// struct of the thread's N / 2 floats, for ptxas serializes the products of
/// accumulators that are taken apart.
class WgmmaAccumulator {
public:
  /// A and B hold `element`: bf16 or f16.
  WgmmaAccumulator(KernelBuilder &k, mlir::Type element, int64_t columns);

  mlir::Type getType() const { return type; }
  /// What the first product of a sum, which ignores it, takes.
  Expr undefined();

  /// Issues the product of 64 elements of K. `a` and `b` are addresses (i32) in
  /// shared memory. The first product of a sum starts from zero.
  Expr multiply(Expr accumulator, Expr a, Expr b, bool isFirst);

  /// Element (h, b) of column block j; see above.
  static Expr get(KernelBuilder &k, Expr accumulator, int64_t j, int64_t h,
                  int64_t b);

private:
  KernelBuilder &k;
  mlir::Type element;
  int64_t columns;
  mlir::Type type;
};

} // namespace moe::codegen::cuda

#endif // MOE_MLIR_LIB_CODEGEN_CUDA_WGMMA_H
