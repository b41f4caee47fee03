//===- Launch.h - Kernels and what launches them ----------------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A kernel is written as a `Launch`: first which buffers it takes, then its
// body, which runs unless the module has an equal kernel already.
//
//   Launch launch(emission, "scale", "my.scale");
//   Buffer x = launch.read(operands.x), y = launch.write(operands.y);
//   launch.setThreads(kThreads);
//   launch.setKey(factor);
//   launch.emit(grid, [&](KernelBuilder &k) {
//     k.awaitInputs();
//     Expr i = k.block() * kThreads + k.thread();
//     k.ifThen(i < k.dim(y, 0), [&] { k.store(k.load(x, i) * factor, y, i); });
//   });
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_LIB_CODEGEN_CUDA_LAUNCH_H
#define MOE_MLIR_LIB_CODEGEN_CUDA_LAUNCH_H

#include "../KernelKey.h"
#include "KernelBuilder.h"
#include "moe-mlir/Codegen/CUDA/CUDA.h"
#include "moe-mlir/Dialect/Schedule/IR/Schedule.h"

namespace moe::codegen::cuda {

/// One launch of a kernel in the making: operands, then body.
class Launch {
public:
  /// `stem` names the kernel, `label` is what traces and errors show.
  Launch(const Emission &emission, llvm::StringRef stem, llvm::StringRef label)
      : emission(emission), stem(stem), label(label) {}

  /// Adds a buffer that the kernel takes by address. A null value is an absent
  /// operand and gives a null buffer. A buffer may be added more than once.
  Buffer read(mlir::Value buffer);
  Buffer write(mlir::Value buffer);
  /// Adds a buffer that the kernel takes as a tensor map
  /// (`#schedule.tensor_map`).
  Buffer readTiles(mlir::Value buffer, llvm::ArrayRef<int64_t> box,
                   int64_t swizzle);
  Buffer writeTiles(mlir::Value buffer, llvm::ArrayRef<int64_t> box,
                    int64_t swizzle);

  /// Adds a value of index type.
  Scalar take(mlir::Value scalar);

  /// Threads per block.
  void setThreads(int64_t count) { threads = count; }
  /// Bytes of dynamic shared memory per block.
  void setSharedBytes(int64_t bytes) { sharedBytes = bytes; }
  /// Blocks per cluster.
  void setCluster(int64_t blocks) { cluster = blocks; }
  /// Blocks that one multiprocessor must be able to run at once, which bounds
  /// the registers of a thread.
  void setResidentBlocks(int64_t blocks) { residentBlocks = blocks; }
  /// Everything but operand types and the above that the body depends on.
  template <typename... Ts> void setKey(const Ts &...values) {
    key = describeParameters(values...);
  }

  /// Emits the kernel through `body`, unless an equal one is there, and the
  /// launch of `grid` blocks (of index type).
  void emit(mlir::Value grid, llvm::function_ref<void(KernelBuilder &)> body);

private:
  struct Parameter {
    enum Kind { Address, Extent, Scalar, TensorMap } kind = Address;
    bool isWrite = false;
    int64_t operand = 0; ///< Among reads, writes or scalars.
    int64_t dim = 0;     ///< Of an extent.
    llvm::SmallVector<int64_t> box = {};
    int64_t swizzle = 0;
  };
  Buffer add(mlir::Value buffer, bool isWrite, Parameter parameter);
  mlir::Attribute toAttribute(const Parameter &parameter) const;
  std::string getKernelName(schedule::GPULaunchAttr shape) const;
  mlir::LLVM::LLVMFuncOp createKernel(mlir::OpBuilder &builder,
                                      llvm::StringRef name) const;

  const Emission &emission;
  llvm::StringRef stem, label;
  llvm::SmallVector<mlir::Value> reads, writes, scalars;
  llvm::SmallVector<Parameter> parameters;
  int64_t threads = kWarpSize, sharedBytes = 0, cluster = 1, residentBlocks = 0;
  /// For each operand whether it is there, since types alone may not tell.
  std::string presence;
  std::string key;
};

/// The memref type of a value.
mlir::MemRefType getMemRefType(mlir::Value value);

/// Elements of rows of `columns` elements that one load or store may take: as
/// many of 16, 8, 4 or 2 bytes as divide the row, or one.
unsigned getVectorWidth(int64_t columns, mlir::Type element);
/// The width that suits all of these buffers.
unsigned getVectorWidth(llvm::ArrayRef<mlir::Value> buffers);

/// Builders of the host's code, for values of index type: of grids, and of the
/// sizes of temporaries.
ExprBuilder gridBuilder(const Emission &emission);
ExprBuilder scratchBuilder(const Emission &emission);
/// The extent of a dimension on the host.
Expr dimOf(ExprBuilder &host, mlir::Value buffer, int64_t position);

/// Emits code at `emission.builder` that decides on the host; no more than one
/// side if the condition is a constant.
void ifOnHost(const Emission &emission, Expr condition,
              llvm::function_ref<void()> then,
              llvm::function_ref<void()> otherwise);

/// Allocates a temporary of these sizes, made with the builder of temporaries.
mlir::Value allocateScratch(llvm::ArrayRef<Expr> sizes, mlir::Type element);
/// Allocates a temporary of as many rows as `rows` has, with `columns` columns.
mlir::Value allocateScratch(const Emission &emission, mlir::Value rows,
                            int64_t columns, mlir::Type element);

} // namespace moe::codegen::cuda

#endif // MOE_MLIR_LIB_CODEGEN_CUDA_LAUNCH_H
