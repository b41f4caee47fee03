//===- Exchanges.h - Phases that exchange rows between ranks ----*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_LIB_CONVERSION_EXCHANGES_H
#define MOE_MLIR_LIB_CONVERSION_EXCHANGES_H

#include "PhaseGenerator.h"
#include "moe-mlir/Dialect/MoE/IR/MoE.h"

#include "llvm/ADT/DenseMap.h"

namespace moe {

/// Replaces phases of several ranks by collectives and kernels of one rank.
/// Without an exchange, a dispatch still has the experts of this rank alone.
class ExchangeLowering {
public:
  using Place = PhaseGenerator::Place;

  explicit ExchangeLowering(PhaseGenerator &generator) : generator(generator) {}

  llvm::LogicalResult dispatch(const Place &place, DispatchOp op);
  /// `op` has an exchange.
  llvm::LogicalResult combine(const Place &place, CombineOp op);
  /// `op` sums over ranks. `operands` are those of the same merge on one rank.
  llvm::LogicalResult merge(const Place &place, MergeOp op,
                            const codegen::MergeOperands &operands);
  llvm::LogicalResult collective(const Place &place, AllReduceOp op);
  llvm::LogicalResult collective(const Place &place, AllGatherOp op);
  llvm::LogicalResult collective(const Place &place, ReduceScatterOp op);

private:
  /// What a combine must know of its dispatch, beside the plan.
  struct Sent {
    /// The rows that came back, and where a token's are among them: [T, k].
    mlir::OpFoldResult rows;
    mlir::Value positions;
    /// With counts: rows to and from each rank.
    mlir::Value sendCounts, receiveCounts;
    /// With fixed capacity: rows for the experts of each rank.
    mlir::DenseI64ArrayAttr blocks;
  };

  llvm::FailureOr<mlir::Value> makeExpertMap(const Place &place, DispatchOp op);
  /// Moves rows, and makes the plan of what came.
  llvm::LogicalResult gatherAll(const Place &place, DispatchOp op);
  llvm::LogicalResult sendByCounts(const Place &place, DispatchOp op);
  llvm::LogicalResult sendBatched(const Place &place, DispatchOp op);
  llvm::LogicalResult plan(const Place &place, DispatchOp op, mlir::Value ids);
  /// `x` in the order of `rows`.
  llvm::FailureOr<mlir::Value> pack(const Place &place, mlir::Value x,
                                    mlir::Value rows);

  PhaseGenerator &generator;
  /// By the buffer of `pair_rows` and the block of the dispatch's run: two arms
  /// have the same buffers.
  llvm::DenseMap<std::pair<mlir::Value, mlir::Block *>, Sent> sent;
};

} // namespace moe

#endif // MOE_MLIR_LIB_CONVERSION_EXCHANGES_H
