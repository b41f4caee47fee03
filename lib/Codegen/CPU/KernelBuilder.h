//===- KernelBuilder.h - What CPU kernels are made of -----------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_LIB_CODEGEN_CPU_KERNELBUILDER_H
#define MOE_MLIR_LIB_CODEGEN_CPU_KERNELBUILDER_H

#include "../KernelKey.h"
#include "moe-mlir/Codegen/CPU/CPU.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"

namespace moe::codegen::cpu {

/// Writes the body of one kernel: index arithmetic, and float arithmetic on
/// vectors of f32 whatever the memory holds.
class KernelBuilder : public mlir::ImplicitLocOpBuilder {
public:
  KernelBuilder(mlir::Location loc, mlir::OpBuilder &builder,
                const Target &target)
      : ImplicitLocOpBuilder(loc, builder), target(target) {}

  const Target &getTarget() const { return target; }
  /// f32 values in one vector register.
  unsigned getLanes() const { return target.vectorBits / 32; }

  //===--- Indices and control flow -----------------------------------------===

  mlir::Value index(int64_t value);
  mlir::Value dim(mlir::Value memref, int64_t position);
  mlir::Value add(mlir::Value lhs, mlir::Value rhs);
  mlir::Value sub(mlir::Value lhs, mlir::Value rhs);
  mlir::Value mul(mlir::Value lhs, mlir::Value rhs);
  mlir::Value div(mlir::Value lhs, mlir::Value rhs);
  mlir::Value rem(mlir::Value lhs, mlir::Value rhs);
  mlir::Value ceilDiv(mlir::Value lhs, int64_t rhs);
  mlir::Value minimum(mlir::Value lhs, mlir::Value rhs);
  mlir::Value compare(mlir::arith::CmpIPredicate predicate, mlir::Value lhs,
                      mlir::Value rhs);

  mlir::Value load(mlir::Value memref, mlir::ValueRange indices);
  void store(mlir::Value value, mlir::Value memref, mlir::ValueRange indices);
  /// Loads an i32 as an index.
  mlir::Value loadIndex(mlir::Value memref, mlir::ValueRange indices);
  void storeIndex(mlir::Value index, mlir::Value memref,
                  mlir::ValueRange indices);

  void forEach(mlir::Value begin, mlir::Value end, int64_t step,
               llvm::function_ref<void(mlir::Value)> body);
  void ifThen(mlir::Value condition, llvm::function_ref<void()> body);

  /// Calls `body(i, width)` for chunks [i, i + width) that cover [0, count):
  /// one loop over whole vectors and, where `count` may leave a remainder, one
  /// over vectors of a single element. `body` must treat elements alike.
  void forEachChunk(mlir::Value count,
                    llvm::function_ref<void(mlir::Value, unsigned)> body);

  /// A buffer that one block owns, in the stack frame of the kernel.
  mlir::Value blockLocal(llvm::ArrayRef<int64_t> shape, mlir::Type element);
  /// The same for `size` elements. Emitted here, so not to be called in a loop.
  mlir::Value blockLocal(mlir::Value size, mlir::Type element);

  /// A part of `source` with unit-sized dimensions dropped down to the rank of
  /// `keep`: `keep[d]` tells whether dimension d stays.
  mlir::Value subview(mlir::Value source,
                      llvm::ArrayRef<mlir::OpFoldResult> offsets,
                      llvm::ArrayRef<mlir::OpFoldResult> sizes,
                      llvm::ArrayRef<int64_t> strides,
                      llvm::ArrayRef<bool> keep);
  /// The innermost dimension of `source` at `indices`: a rank-1 view.
  mlir::Value row(mlir::Value source, mlir::ValueRange indices);

  //===--- Vectors of f32 ---------------------------------------------------===

  mlir::VectorType vector(unsigned width);
  mlir::Value constant(double value, unsigned width);
  mlir::Value splat(mlir::Value scalar, unsigned width);
  /// Loads `width` contiguous elements and widens them to f32.
  mlir::Value loadVector(mlir::Value memref, mlir::ValueRange indices,
                         unsigned width);
  /// Rounds to the element type of `memref`, to nearest even, and stores.
  void storeVector(mlir::Value vector, mlir::Value memref,
                   mlir::ValueRange indices);
  /// Loads one element as a scalar f32.
  mlir::Value loadFloat(mlir::Value memref, mlir::ValueRange indices);

  mlir::Value addf(mlir::Value lhs, mlir::Value rhs);
  mlir::Value subf(mlir::Value lhs, mlir::Value rhs);
  mlir::Value mulf(mlir::Value lhs, mlir::Value rhs);
  mlir::Value divf(mlir::Value lhs, mlir::Value rhs);
  mlir::Value fma(mlir::Value a, mlir::Value b, mlir::Value c);
  mlir::Value comparef(mlir::arith::CmpFPredicate predicate, mlir::Value lhs,
                       mlir::Value rhs);
  mlir::Value select(mlir::Value condition, mlir::Value then,
                     mlir::Value otherwise);
  /// A value of the same type as `like`, every element `value`.
  mlir::Value constantLike(double value, mlir::Value like);
  mlir::Value exp(mlir::Value x);
  /// 1 / (1 + exp(-x)), on scalars or vectors.
  mlir::Value sigmoid(mlir::Value x);

private:
  const Target &target;
};

/// One launch of `grid` blocks of a kernel. The kernel's arguments after the
/// block are `reads` and then `writes`; it touches no other memory, and no
/// buffer is in both.
struct Launch {
  mlir::func::FuncOp kernel;
  /// What traces and errors show, such as "experts.up".
  std::string label;
  llvm::SmallVector<mlir::Value> reads;
  llvm::SmallVector<mlir::Value> writes;
  /// Number of blocks, of index type.
  mlir::Value grid;
  /// Of index type; the kernel's last arguments.
  llvm::SmallVector<mlir::Value> scalars = {};
};

/// Emits launches at `emission.builder`, in order.
void emitLaunches(const Emission &emission, llvm::ArrayRef<Launch> launches);

/// The kernel `stem` for these operands, emitted through `body` unless the
/// module has it already. Kernels are equal if stem, operand types, target and
/// `parameters` are.
mlir::func::FuncOp getOrEmitKernel(
    const Emission &emission, llvm::StringRef stem, mlir::ValueRange reads,
    mlir::ValueRange writes, llvm::StringRef parameters,
    llvm::function_ref<void(KernelBuilder &, mlir::Value block,
                            mlir::ValueRange reads, mlir::ValueRange writes)>
        body);

/// The same with scalars, of index type, as the kernel's last arguments.
mlir::func::FuncOp getOrEmitKernel(
    const Emission &emission, llvm::StringRef stem, mlir::ValueRange reads,
    mlir::ValueRange writes, mlir::ValueRange scalars,
    llvm::StringRef parameters,
    llvm::function_ref<void(KernelBuilder &, mlir::Value block,
                            mlir::ValueRange reads, mlir::ValueRange writes,
                            mlir::ValueRange scalars)>
        body);

/// The memref type of a value.
mlir::MemRefType getMemRefType(mlir::Value value);

/// Allocates a temporary of as many rows as `rows` has, with `columns` columns.
mlir::Value allocateScratch(const Emission &emission, mlir::Value rows,
                            int64_t columns, mlir::Type element);

/// A builder for grids at `emission.builder`.
KernelBuilder gridBuilder(const Emission &emission);

} // namespace moe::codegen::cpu

#endif // MOE_MLIR_LIB_CODEGEN_CPU_KERNELBUILDER_H
