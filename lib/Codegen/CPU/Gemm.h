//===- Gemm.h - Tiles of the GEMM kernels -----------------------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_LIB_CODEGEN_CPU_GEMM_H
#define MOE_MLIR_LIB_CODEGEN_CPU_GEMM_H

#include "KernelBuilder.h"

#include <functional>

namespace moe::codegen::cpu {

/// Rows that one block of a dense GEMM takes. Weights are read from memory once
/// for so many rows, which keeps a core busy for longer than the read takes.
inline constexpr int64_t kPanelRows = 64;

/// Columns that one block takes, of `columns` in all (may be dynamic), so that
/// its tiles of `matrices` weights with rows of `length` elements stay in the
/// second-level cache while rows pass by.
int64_t chooseTileColumns(const Target &target, int64_t columns, int64_t length,
                          mlir::Type element, int64_t matrices);

/// Rows [begin, end) times tiles of weights.
struct RowPanel {
  mlir::Value begin, end;
  /// Of the rows.
  mlir::Type element;
  /// The operand of row m: memref<Kxdt>.
  std::function<mlir::Value(mlir::Value)> row;
  /// One or two tiles: memref<NxKxdt>, contiguous along K.
  llvm::SmallVector<mlir::Value> tiles;
  /// The most that N can be.
  int64_t maxColumns;
};

/// Computes the panel a few rows at a time and calls `finish(m, sums)` for each
/// row, with one memref<Nxf32> per tile.
void emitRowPanel(
    KernelBuilder &k, const RowPanel &panel,
    llvm::function_ref<void(mlir::Value, mlir::ValueRange)> finish);

/// Rows [first, first + count) of weights [N, K] or, with `expert`, [E, N, K].
mlir::Value weightTile(KernelBuilder &k, mlir::Value weights,
                       mlir::Value expert, mlir::Value first,
                       mlir::Value count);

/// The column tile of a block: columns [first, first + count).
struct ColumnTile {
  mlir::Value first, count;
};
/// Tile `position` of `columns` columns, `width` each but for the last.
ColumnTile columnTile(KernelBuilder &k, mlir::Value position,
                      mlir::Value columns, int64_t width);

/// What a dense GEMM does with a finished row: `columns` are its columns, and
/// `arguments` the kernel's reads and then writes.
using FinishRow = llvm::function_ref<void(
    KernelBuilder &k, mlir::Value row, const ColumnTile &columns,
    mlir::ValueRange sums, mlir::ValueRange reads, mlir::ValueRange writes)>;

/// One launch of a dense GEMM: reads[0] [T, K] times reads[1], in blocks of
/// rows and columns. `columns` is the number of columns of the result, `tiles`
/// says which rows of reads[1] a column tile needs.
Launch
launchDense(const Emission &emission, llvm::StringRef stem,
            llvm::StringRef label, mlir::ValueRange reads,
            mlir::ValueRange writes, llvm::StringRef parameters,
            int64_t matrices,
            llvm::function_ref<llvm::SmallVector<mlir::Value>(
                KernelBuilder &, mlir::Value weights, const ColumnTile &)>
                tiles,
            FinishRow finish);

/// One launch of y = x * weight^T (+ bias): x [T, K], weight [N, K], bias [N],
/// y [T, N].
Launch launchLinear(const Emission &emission, llvm::StringRef label,
                    mlir::Value x, mlir::Value weight, mlir::Value bias,
                    mlir::Value y);

} // namespace moe::codegen::cpu

#endif // MOE_MLIR_LIB_CODEGEN_CPU_GEMM_H
