//===- PairSort.h - Sorting pairs of token and expert -----------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_LIB_CODEGEN_CUDA_PAIRSORT_H
#define MOE_MLIR_LIB_CODEGEN_CUDA_PAIRSORT_H

#include "Launch.h"

namespace moe::codegen::cuda {

/// A sort of the pairs of tokens and their choices by a key, stable in (token,
/// slot) order, into rows. K is the number of keys; pairs whose key is not
/// below it, read as unsigned, are left out.
struct PairSort {
  /// [T, k] i32, and optionally [N] i32: the key of a pair is ids[t, j], or
  /// with a map expertMap[ids[t, j]].
  mlir::Value ids, expertMap = {};

  // What is written; one of the first two.

  mlir::Value offsets = {};    ///< [K + 1] i32: the first row of each key.
  mlir::Value counts = {};     ///< [K] i32: the rows of each key.
  mlir::Value sourceRows = {}; ///< [R] i32: the token of each row.
  mlir::Value pairRows = {};   ///< [T, k] i32: the row of each pair, or -1.

  /// 0: the rows of a key begin where those of the one before end, and
  /// `sourceRows` is -1 behind the last. Otherwise key i begins at row
  /// i * capacity, and source rows that no pair takes keep what they are.
  int64_t capacity = 0;
  /// [T, k] and [R, 1] f32: what a pair brings to its row. Optional.
  mlir::Value weights = {}, rowWeights = {};
};

/// Emits the launches of a sort; `stem` begins the names of the kernels.
void emitPairSort(const Emission &emission, llvm::StringRef stem,
                  llvm::StringRef label, const PairSort &sort);

} // namespace moe::codegen::cuda

#endif // MOE_MLIR_LIB_CODEGEN_CUDA_PAIRSORT_H
