//===- RuntimeInterface.h - Runtime functions and data in IR ----*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Declarations of what `moert/RuntimeFunctions.def` lists, and the constant
// data of `moert/moert.h`, both in the LLVM dialect.
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_LIB_CONVERSION_RUNTIMEINTERFACE_H
#define MOE_MLIR_LIB_CONVERSION_RUNTIMEINTERFACE_H

#include "RuntimeStructs.h"

#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/BuiltinTypes.h"
#include "llvm/ADT/SetVector.h"

namespace moe {

/// A tensor of an artefact's interface. Dimensions are those of CallAxes.
struct InterfaceTensor {
  std::string name;
  mlir::Type elementType;
  llvm::SmallVector<int64_t> dims;
};

/// Emits calls and data of the runtime's C ABI into one module.
class RuntimeInterface {
public:
  explicit RuntimeInterface(mlir::ModuleOp module);

  /// Calls the runtime function `name` (declared on first use). Returns its
  /// result, or null where it has none.
  mlir::Value call(mlir::OpBuilder &b, mlir::Location loc, llvm::StringRef name,
                   mlir::ValueRange arguments);

  /// The address of a constant string, zero-terminated.
  mlir::Value getString(mlir::OpBuilder &b, mlir::Location loc,
                        llvm::StringRef text);

  /// Emits the `moert_signature` of a function as constant `symbol`.
  /// `deviceType` is DLPack's; `maxTokens` is -1 without a bound; `exchange` is
  /// the symbol of a `moert_exchange`, or empty; `axes` are those of CallAxes.
  void emitSignature(mlir::Location loc, llvm::StringRef symbol,
                     llvm::StringRef name, int32_t deviceType,
                     llvm::ArrayRef<InterfaceTensor> inputs,
                     llvm::ArrayRef<InterfaceTensor> outputs, int64_t maxTokens,
                     int64_t numRanks, llvm::StringRef workspaceSize,
                     llvm::StringRef exchange,
                     llvm::ArrayRef<mlir::StringAttr> axes);

  /// The address of the `moert_gpu_module` that holds all GPU kernels.
  mlir::Value getGPUModule(mlir::OpBuilder &b, mlir::Location loc);

  /// The number of a kernel in that module.
  int32_t getKernelIndex(mlir::SymbolRefAttr kernel);

  /// Emits the `moert_gpu_module` from the `gpu.binary` of the kernels that
  /// were asked for, and erases that. Nothing to do where none were.
  llvm::LogicalResult emitGPUModule();

  /// Emits the exported `moert_artefact`.
  void emitArtefact(mlir::Location loc, llvm::StringRef name,
                    llvm::StringRef descriptor, llvm::StringRef run,
                    llvm::StringRef workspaceSize);

  /// The address of a constant or function.
  mlir::Value address(mlir::OpBuilder &b, mlir::Location loc,
                      llvm::StringRef symbol);
  /// Emits a constant with the value that `value` builds.
  mlir::LLVM::GlobalOp
  emitConstant(mlir::Location loc, llvm::StringRef symbol, mlir::Type type,
               mlir::LLVM::Linkage linkage,
               llvm::function_ref<mlir::Value(mlir::OpBuilder &)> value);
  /// Emits a constant of the runtime's struct `Struct`, with the fields that
  /// `fill` sets.
  template <typename Struct>
  void emitStruct(
      mlir::Location loc, llvm::StringRef symbol, mlir::LLVM::Linkage linkage,
      llvm::function_ref<void(mlir::OpBuilder &, StructValue<Struct> &)> fill) {
    emitConstant(loc, symbol, Struct::getType(module.getContext()), linkage,
                 [&](mlir::OpBuilder &b) {
                   StructValue<Struct> value(b, loc);
                   fill(b, value);
                   return value.get();
                 });
  }
  /// Emits a private array of numbers.
  void emitNumbers(mlir::Location loc, llvm::StringRef symbol,
                   mlir::Type element, llvm::ArrayRef<int64_t> numbers);

private:
  /// The address of an array of strings, emitted as `symbol`; null without any.
  mlir::Value emitStrings(mlir::OpBuilder &b, mlir::Location loc,
                          llvm::StringRef symbol,
                          llvm::ArrayRef<mlir::StringAttr> texts);
  mlir::Value emitTensors(mlir::OpBuilder &b, mlir::Location loc,
                          llvm::StringRef symbol,
                          llvm::ArrayRef<InterfaceTensor> tensors);

  mlir::ModuleOp module;
  mlir::LLVM::LLVMPointerType ptr;
  llvm::StringMap<std::string> strings;
  /// The kernels of the `moert_gpu_module`, in order.
  llvm::SetVector<mlir::SymbolRefAttr> kernels;
};

/// An array value from its elements.
mlir::Value aggregate(mlir::OpBuilder &b, mlir::Location loc, mlir::Type type,
                      llvm::ArrayRef<mlir::Value> elements);

/// A constant of the LLVM dialect with so many bits.
mlir::Value constant(mlir::OpBuilder &b, mlir::Location loc, unsigned bits,
                     int64_t value);

/// DLPack's code of an element type.
uint8_t getDLPackTypeCode(mlir::Type type);

} // namespace moe

#endif // MOE_MLIR_LIB_CONVERSION_RUNTIMEINTERFACE_H
