//===- EntryBuilder.h - The entry function of an artefact -------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_LIB_CONVERSION_ENTRYBUILDER_H
#define MOE_MLIR_LIB_CONVERSION_ENTRYBUILDER_H

#include "CollectiveTable.h"
#include "RuntimeInterface.h"
#include "RuntimeStructs.h"
#include "moe-mlir/Conversion/CallAxes.h"

#include "mlir/Conversion/LLVMCommon/TypeConverter.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"

namespace moe {

/// Turns a scheduled function into the entry that the runtime calls.
class EntryBuilder {
public:
  EntryBuilder(mlir::func::FuncOp function, RuntimeInterface &runtime)
      : function(function), axes(function), runtime(runtime),
        loc(function.getLoc()), converter(function.getContext()), b(function),
        ptr(mlir::LLVM::LLVMPointerType::get(function.getContext())) {}

  llvm::LogicalResult build(int64_t maxTokens, int64_t numRanks);
  std::string runName() { return (function.getName() + "_run").str(); }
  std::string sizeName() {
    return (function.getName() + "_workspace_size").str();
  }

private:
  bool runsOnGPU();
  llvm::LogicalResult collectInterface();
  void emitWorkspaceSize();
  mlir::Value makeBuffer(mlir::MemRefType type, mlir::Value pointer,
                         llvm::ArrayRef<mlir::Value> sizes);
  mlir::Value takeTensor(mlir::MemRefType type, mlir::Value tensors,
                         int64_t index);
  mlir::Value constantI32(int64_t value) {
    return mlir::LLVM::ConstantOp::create(b, loc, b.getI32Type(), value);
  }
  mlir::Value constantI64(int64_t value) {
    return mlir::LLVM::ConstantOp::create(b, loc, b.getI64Type(), value);
  }
  int64_t getStreamNumber(schedule::StreamAttr stream);
  llvm::LogicalResult convert(mlir::Operation *op);
  void convertRun(schedule::RunOp run);
  llvm::SmallVector<mlir::Value> getDescriptors(mlir::ValueRange buffers);
  void convertCollective(schedule::CollectiveOp collective, mlir::Value stream);
  mlir::Value getGrid(schedule::LaunchOp launch);
  void convertLaunch(schedule::LaunchOp launch, mlir::Value stream,
                     llvm::StringRef label);
  mlir::Value storeArray(mlir::Type element, mlir::ValueRange values);
  void convertGPULaunch(schedule::LaunchOp launch, mlir::Value stream,
                        llvm::StringRef label);
  void convertSlice(schedule::SliceOp slice);
  void convertRows(schedule::RowsOp rows);
  void convertCallValue(mlir::Operation *op);

  mlir::func::FuncOp function;
  CallAxes axes;
  RuntimeInterface &runtime;
  mlir::Location loc;
  mlir::LLVMTypeConverter converter;
  mlir::OpBuilder b;
  mlir::Type ptr;
  mlir::Value call;
  llvm::SmallVector<InterfaceTensor> inputs, outputs;
  CollectiveTable collectives;
};

} // namespace moe

#endif // MOE_MLIR_LIB_CONVERSION_ENTRYBUILDER_H
