//===- TensorBuilder.h - Sizes and buffers of phases ------------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_LIB_TRANSFORMS_TENSORBUILDER_H
#define MOE_MLIR_LIB_TRANSFORMS_TENSORBUILDER_H

#include "moe-mlir/Dialect/MoE/IR/MoE.h"

#include "mlir/Dialect/Utils/StaticValueUtils.h"

namespace moe {

/// Makes what phases work on: sizes, which fold as far as they are static, new
/// buffers, rows of tensors, and rows from other ranks.
class TensorBuilder {
public:
  TensorBuilder(mlir::OpBuilder &builder, mlir::Location loc)
      : b(builder), loc(loc) {}

protected:
  using OpFoldResult = mlir::OpFoldResult;
  using StringRef = llvm::StringRef;
  using Value = mlir::Value;

  /// The location, with the name that IR printed with names of locations gives
  /// the value.
  mlir::Location getNamedLoc(StringRef name) {
    return mlir::NameLoc::get(b.getStringAttr(name), loc);
  }

  OpFoldResult constant(int64_t value) { return b.getIndexAttr(value); }
  OpFoldResult dim(Value tensor, int64_t index, StringRef name = "dim");
  template <typename ArithOp>
  OpFoldResult compute(StringRef name, OpFoldResult lhs, OpFoldResult rhs,
                       int64_t (*fold)(int64_t, int64_t));
  OpFoldResult multiply(StringRef name, OpFoldResult lhs, OpFoldResult rhs);
  OpFoldResult add(StringRef name, OpFoldResult lhs, OpFoldResult rhs);

  /// A new buffer, which printed IR calls `name` once it is one.
  Value alloc(StringRef name, mlir::Type elementType,
              llvm::ArrayRef<OpFoldResult> sizes);
  /// The rows of a matrix from `first` on.
  Value takeRows(StringRef name, Value matrix, OpFoldResult first,
                 OpFoldResult rows);
  /// The matrix with `count` rows in place of its own from `first` on. Sizes of
  /// rows that are taken and replaced are one value, which shows that they lie
  /// where they belong.
  Value replaceRows(Value rows, Value matrix, OpFoldResult first,
                    OpFoldResult count);
  Value gather(StringRef name, Value x, OpFoldResult rows,
               schedule::CommunicatorAttr communicator);
  Value reduceScatter(StringRef name, Value x, OpFoldResult rows,
                      schedule::CommunicatorAttr communicator);
  /// `x` exchanged into `init`.
  Value collective(schedule::CollectiveKind kind, StringRef label,
                   schedule::CommunicatorAttr communicator, Value x,
                   Value init);

  mlir::OpBuilder &b;
  mlir::Location loc;
};

template <typename ArithOp>
mlir::OpFoldResult TensorBuilder::compute(StringRef name, OpFoldResult lhs,
                                          OpFoldResult rhs,
                                          int64_t (*fold)(int64_t, int64_t)) {
  std::optional<int64_t> left = mlir::getConstantIntValue(lhs);
  std::optional<int64_t> right = mlir::getConstantIntValue(rhs);
  if (left && right)
    return constant(fold(*left, *right));
  return ArithOp::create(b, getNamedLoc(name),
                         mlir::getValueOrCreateConstantIndexOp(b, loc, lhs),
                         mlir::getValueOrCreateConstantIndexOp(b, loc, rhs))
      .getResult();
}

} // namespace moe

#endif // MOE_MLIR_LIB_TRANSFORMS_TENSORBUILDER_H
