//===- Verify.h - Shapes with names, and their diagnostics ------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Verifiers state shapes as the documentation does, [T, H] or [L, 2I, H]. A
// name stands for the first static size that it meets; a dynamic size fits
// every other. Kernels are made for fixed sizes: on buffers these, and sizes
// that are numbers, are static.
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_LIB_DIALECT_MOE_IR_VERIFY_H
#define MOE_MLIR_LIB_DIALECT_MOE_IR_VERIFY_H

#include "moe-mlir/Dialect/MoE/IR/MoE.h"

namespace moe::verifying {

/// A named size, unknown until a static one is met.
struct Size {
  int64_t value = mlir::ShapedType::kDynamic;
  bool isFixed = false;

  bool isKnown() const { return !mlir::ShapedType::isDynamic(value); }
};

/// A size that every kernel is made for.
inline Size fixed() { return {mlir::ShapedType::kDynamic, /*isFixed=*/true}; }

/// One dimension of an expected shape: factor * size + offset, or a constant.
struct Dim {
  Dim(Size &size) : size(&size) {}
  Dim(int64_t constant) : offset(constant) {}

  /// Dynamic where the size is not known.
  int64_t getExpected() const;
  /// True where a buffer has to say the size.
  bool isFixed() const { return !size || size->isFixed; }
  /// Learns the size from a static dimension.
  void learn(int64_t actual) const;

  Size *size = nullptr;
  int64_t factor = 1;
  int64_t offset = 0;
};

inline Dim operator*(int64_t factor, Size &size) {
  Dim dim(size);
  dim.factor = factor;
  return dim;
}
inline Dim operator+(Size &size, int64_t offset) {
  Dim dim(size);
  dim.offset = offset;
  return dim;
}

/// Success where `value` is null or fits `expected`, which has its rank; else
/// an error of the form
/// `expected 'shared_w2' of shape [7168, 2048] but got [7168, 1024]`, or of a
/// buffer `expected 'x' with a static dimension 1 but got 'memref<?x?xf32>'`.
mlir::LogicalResult checkShape(mlir::Operation *op, llvm::StringRef name,
                               mlir::Value value, llvm::ArrayRef<Dim> expected);

/// Success where `value` is null or has that element type.
mlir::LogicalResult checkElementType(mlir::Operation *op, llvm::StringRef name,
                                     mlir::Value value, mlir::Type expected);

/// Success if both values are there or neither is.
mlir::LogicalResult checkTogether(mlir::Operation *op, llvm::StringRef first,
                                  mlir::Value firstValue,
                                  llvm::StringRef second,
                                  mlir::Value secondValue);

/// Success where `value` is at least `least`.
mlir::LogicalResult checkAtLeast(mlir::Operation *op, llvm::StringRef name,
                                 int64_t value, int64_t least);

/// Whether `local` experts can be one rank's share of `physical` ones, which
/// `ranks` share out; dynamic numbers fit.
mlir::LogicalResult checkLocalExperts(mlir::Operation *op, int64_t ranks,
                                      int64_t physical, int64_t local);

/// Whether the router can choose as `routing` says among `numExperts` outputs.
mlir::LogicalResult checkChoice(mlir::Operation *op, RoutingAttr routing,
                                int64_t numExperts);

} // namespace moe::verifying

#endif // MOE_MLIR_LIB_DIALECT_MOE_IR_VERIFY_H
