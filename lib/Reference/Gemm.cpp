//===- Gemm.cpp - Matrix products in float64 ------------------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Both operands are contiguous along k, so the kernel is a block of dot
// products with vector accumulators along k. Weights are converted to float64
// in blocks that stay in the second-level cache, once for each block of N.
//
//===----------------------------------------------------------------------===//

#include "Gemm.h"
#include "moe-mlir/Reference/Tensor.h"
#include <algorithm>

using namespace moe;
using namespace moe::reference;

namespace {
constexpr int64_t blockM = 64;
constexpr int64_t blockN = 64;
constexpr int64_t blockK = 512;

/// Dot products of one block: C[m, n] += A[m, :K] . W[n, :K].
using BlockFunction = void (*)(int64_t M, int64_t N, int64_t K, const double *A,
                               int64_t strideA, const double *W,
                               int64_t strideW, double *C, int64_t strideC);

template <int width> struct Vector {
  // Loads need no more alignment than a double has.
  typedef double Unaligned
      __attribute__((vector_size(width * 8), aligned(8), may_alias));
  typedef double Type __attribute__((vector_size(width * 8)));
};

/// `rows` x `columns` dot products at once: each loaded vector is used several
/// times.
template <int width, int rows, int columns>
[[gnu::always_inline]] inline void
tile(int64_t K, const double *A, int64_t strideA, const double *W,
     int64_t strideW, double *C, int64_t strideC) {
  using Unaligned = typename Vector<width>::Unaligned;
  typename Vector<width>::Type sums[rows][columns] = {};
  int64_t k = 0;
  for (; k + width <= K; k += width) {
    typename Vector<width>::Type a[rows];
    for (int i = 0; i < rows; ++i)
      a[i] = *reinterpret_cast<const Unaligned *>(A + i * strideA + k);
    for (int j = 0; j < columns; ++j) {
      typename Vector<width>::Type w =
          *reinterpret_cast<const Unaligned *>(W + j * strideW + k);
      for (int i = 0; i < rows; ++i)
        sums[i][j] += a[i] * w;
    }
  }
  for (int i = 0; i < rows; ++i)
    for (int j = 0; j < columns; ++j) {
      double sum = 0;
      for (int lane = 0; lane < width; ++lane)
        sum += sums[i][j][lane];
      for (int64_t rest = k; rest < K; ++rest)
        sum += A[i * strideA + rest] * W[j * strideW + rest];
      C[i * strideC + j] += sum;
    }
}

template <int width, int rows, int columns>
[[gnu::always_inline]] inline void
block(int64_t M, int64_t N, int64_t K, const double *A, int64_t strideA,
      const double *W, int64_t strideW, double *C, int64_t strideC) {
  int64_t n = 0;
  for (; n + columns <= N; n += columns) {
    int64_t m = 0;
    for (; m + rows <= M; m += rows)
      tile<width, rows, columns>(K, A + m * strideA, strideA, W + n * strideW,
                                 strideW, C + m * strideC + n, strideC);
    for (; m < M; ++m)
      tile<width, 1, columns>(K, A + m * strideA, strideA, W + n * strideW,
                              strideW, C + m * strideC + n, strideC);
  }
  for (; n < N; ++n)
    for (int64_t m = 0; m < M; ++m)
      tile<width, 1, 1>(K, A + m * strideA, strideA, W + n * strideW, strideW,
                        C + m * strideC + n, strideC);
}

void blockPortable(int64_t M, int64_t N, int64_t K, const double *A,
                   int64_t strideA, const double *W, int64_t strideW, double *C,
                   int64_t strideC) {
  block<2, 2, 4>(M, N, K, A, strideA, W, strideW, C, strideC);
}

#if defined(__x86_64__)
[[gnu::target("avx2,fma")]] void blockAVX2(int64_t M, int64_t N, int64_t K,
                                           const double *A, int64_t strideA,
                                           const double *W, int64_t strideW,
                                           double *C, int64_t strideC) {
  block<4, 2, 4>(M, N, K, A, strideA, W, strideW, C, strideC);
}

[[gnu::target("avx512f,avx512dq,avx512vl,fma")]] void
blockAVX512(int64_t M, int64_t N, int64_t K, const double *A, int64_t strideA,
            const double *W, int64_t strideW, double *C, int64_t strideC) {
  block<8, 4, 4>(M, N, K, A, strideA, W, strideW, C, strideC);
}
#endif

BlockFunction chooseBlock() {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
      __builtin_cpu_supports("avx512vl"))
    return blockAVX512;
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
    return blockAVX2;
#endif
  return blockPortable;
}
} // namespace

void reference::multiply(ThreadPool &pool, int64_t M, int64_t N, int64_t K,
                         const double *A, const Weights &W, double *C,
                         bool squareWeights) {
  static const BlockFunction dotBlock = chooseBlock();
  if (M == 0 || N == 0)
    return;
  pool.forEach((N + blockN - 1) / blockN, [&](int64_t task) {
    const int64_t firstN = task * blockN;
    const int64_t countN = std::min(blockN, N - firstN);
    thread_local std::vector<double> weights(blockN * blockK);
    for (int64_t m = 0; m < M; ++m)
      std::fill_n(C + m * N + firstN, countN, 0.0);
    for (int64_t k = 0; k < K; k += blockK) {
      const int64_t countK = std::min(blockK, K - k);
      for (int64_t n = 0; n < countN; ++n) {
        double *row = &weights[n * blockK];
        readAsDouble(W.dtype, W.data, W.first + (firstN + n) * K + k, countK,
                     row);
        if (squareWeights)
          for (int64_t i = 0; i < countK; ++i)
            row[i] *= row[i];
      }
      for (int64_t m = 0; m < M; m += blockM)
        dotBlock(std::min(blockM, M - m), countN, countK, A + m * K + k, K,
                 weights.data(), blockK, C + m * N + firstN, N);
    }
  });
}
