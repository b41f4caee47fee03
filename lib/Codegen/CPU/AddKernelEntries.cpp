//===- AddKernelEntries.cpp - What the runtime calls of a kernel ----------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moe-mlir/Codegen/CPU/CPU.h"
#include "moe-mlir/Codegen/CPU/Lowering.h"

#include "mlir/Conversion/LLVMCommon/MemRefBuilder.h"
#include "mlir/Conversion/LLVMCommon/TypeConverter.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"

namespace moe::codegen::cpu {
#define GEN_PASS_DEF_ADDKERNELENTRIES
#include "moe-mlir/Codegen/CPU/Passes.h.inc"
} // namespace moe::codegen::cpu

using namespace mlir;
using namespace moe::codegen;
using namespace moe::codegen::cpu;

//===----------------------------------------------------------------------===//
// The array of arguments
//===----------------------------------------------------------------------===//

static constexpr int64_t kSlotBytes = 8;

int64_t moe::codegen::cpu::countArgumentSlots(ArrayRef<MemRefType> types) {
  int64_t slots = 0;
  for (MemRefType type : types)
    slots += 1 + type.getNumDynamicDims();
  return slots;
}

static Value createSlotAddress(OpBuilder &builder, Location loc, Value array,
                               int64_t slot) {
  return LLVM::GEPOp::create(builder, loc, array.getType(),
                             builder.getI64Type(), array,
                             ArrayRef<LLVM::GEPArg>{static_cast<int32_t>(slot)},
                             LLVM::GEPNoWrapFlags::inbounds);
}

PackedArguments moe::codegen::cpu::packArguments(OpBuilder &builder,
                                                 Location loc,
                                                 ArrayRef<MemRefType> types,
                                                 ValueRange descriptors,
                                                 ValueRange scalars) {
  int64_t slots = countArgumentSlots(types) + scalars.size();
  auto function = builder.getInsertionBlock()
                      ->getParent()
                      ->getParentOfType<FunctionOpInterface>();
  Value array;
  {
    OpBuilder::InsertionGuard guard(builder);
    builder.setInsertionPointToStart(&function.getFunctionBody().front());
    Value count = LLVM::ConstantOp::create(builder, loc, builder.getI64Type(),
                                           std::max<int64_t>(slots, 1));
    array = LLVM::AllocaOp::create(
        builder, loc, LLVM::LLVMPointerType::get(builder.getContext()),
        builder.getI64Type(), count, kSlotBytes);
  }
  int64_t slot = 0;
  auto store = [&](Value value) {
    LLVM::StoreOp::create(builder, loc, value,
                          createSlotAddress(builder, loc, array, slot++),
                          kSlotBytes);
  };
  for (auto [type, value] : llvm::zip_equal(types, descriptors)) {
    MemRefDescriptor descriptor(value);
    store(descriptor.alignedPtr(builder, loc));
    for (int64_t position = 0; position < type.getRank(); ++position)
      if (type.isDynamicDim(position))
        store(descriptor.size(builder, loc, position));
  }
  for (Value scalar : scalars)
    store(scalar);
  return {array, slots * kSlotBytes};
}

/// Loads the arguments that packArguments stored: memref descriptors, and
/// behind them so many scalars.
static SmallVector<Value>
unpackArguments(ImplicitLocOpBuilder &b, const LLVMTypeConverter &converter,
                Value array, ArrayRef<MemRefType> types, size_t numScalars) {
  Location loc = b.getLoc();
  int64_t slot = 0;
  auto load = [&](Type type) -> Value {
    return LLVM::LoadOp::create(
        b, type, createSlotAddress(b, loc, array, slot++), kSlotBytes);
  };
  SmallVector<Value> descriptors;
  for (MemRefType type : types) {
    Value pointer = load(LLVM::LLVMPointerType::get(b.getContext()));
    auto descriptor =
        MemRefDescriptor::poison(b, loc, converter.convertType(type));
    descriptor.setAllocatedPtr(b, loc, pointer);
    descriptor.setAlignedPtr(b, loc, pointer);
    descriptor.setConstantOffset(b, loc, 0);
    SmallVector<Value> sizes;
    for (int64_t size : type.getShape())
      sizes.push_back(
          ShapedType::isDynamic(size)
              ? load(b.getI64Type())
              : LLVM::ConstantOp::create(b, b.getI64Type(), size).getResult());
    Value stride = LLVM::ConstantOp::create(b, b.getI64Type(), 1);
    for (int64_t position = type.getRank() - 1; position >= 0; --position) {
      descriptor.setSize(b, loc, position, sizes[position]);
      descriptor.setStride(b, loc, position, stride);
      stride = LLVM::MulOp::create(b, stride, sizes[position]);
    }
    descriptors.push_back(descriptor);
  }
  for (size_t i = 0; i < numScalars; ++i)
    descriptors.push_back(load(b.getI64Type()));
  return descriptors;
}

//===----------------------------------------------------------------------===//
// The pass
//===----------------------------------------------------------------------===//

namespace {
struct AddKernelEntries
    : moe::codegen::cpu::impl::AddKernelEntriesBase<AddKernelEntries> {
  using AddKernelEntriesBase::AddKernelEntriesBase;

  void runOnOperation() override {
    if (!cpu.empty()) {
      llvm::Expected<Target> parsed = Target::parse(cpu);
      if (!parsed) {
        getOperation().emitError(llvm::toString(parsed.takeError()));
        return signalPassFailure();
      }
      target = std::move(*parsed);
    }
    LLVMTypeConverter converter(&getContext());
    SmallVector<func::FuncOp> kernels;
    for (auto function : getOperation().getOps<func::FuncOp>())
      if (function->hasAttr(kKernelAttrName))
        kernels.push_back(function);
    for (func::FuncOp kernel : kernels)
      if (failed(addEntry(kernel, converter)))
        return signalPassFailure();
  }

private:
  LogicalResult addEntry(func::FuncOp kernel,
                         const LLVMTypeConverter &converter);
  void setTarget(Operation *function);

  std::optional<Target> target;
};
} // namespace

LogicalResult AddKernelEntries::addEntry(func::FuncOp kernel,
                                         const LLVMTypeConverter &converter) {
  ArrayRef<Type> inputs = kernel.getFunctionType().getInputs();
  if (inputs.empty() || !inputs.front().isIndex() || kernel.getNumResults())
    return kernel.emitError("expected a kernel of type (index, memrefs..., "
                            "indices...) -> () but got ")
           << kernel.getFunctionType();
  SmallVector<MemRefType> types;
  ArrayRef<Type> arguments = inputs.drop_front();
  ArrayRef<Type> scalars = arguments.take_back(
      std::distance(arguments.rbegin(),
                    llvm::find_if_not(llvm::reverse(arguments), [](Type type) {
                      return type.isIndex();
                    })));
  for (Type input : arguments.drop_back(scalars.size())) {
    auto type = dyn_cast<MemRefType>(input);
    if (!type || !type.getLayout().isIdentity())
      return kernel.emitError("expected kernel arguments that are memrefs of "
                              "identity layout but got ")
             << input;
    types.push_back(type);
  }

  std::string name = kernel.getName().str();
  kernel.setName(name + "_body");
  kernel.setPrivate();
  kernel->removeAttr(kKernelAttrName);
  MLIRContext *context = &getContext();
  kernel->setAttr("llvm.linkage",
                  LLVM::LinkageAttr::get(context, LLVM::Linkage::Internal));

  ImplicitLocOpBuilder b(kernel.getLoc(), context);
  b.setInsertionPointAfter(kernel);
  auto pointer = LLVM::LLVMPointerType::get(context);
  auto entry = LLVM::LLVMFuncOp::create(
      b, name,
      LLVM::LLVMFunctionType::get(LLVM::LLVMVoidType::get(context),
                                  {pointer, b.getI64Type()}));
  entry->setAttr(kKernelAttrName, b.getUnitAttr());
  setTarget(entry);
  setTarget(kernel);

  Block *block = entry.addEntryBlock(b);
  b.setInsertionPointToStart(block);
  SmallVector<Value> given = unpackArguments(
      b, converter, block->getArgument(0), types, scalars.size());
  given.insert(given.begin(), block->getArgument(1));
  SmallVector<Value> operands;
  for (auto [type, value] : llvm::zip_equal(inputs, given))
    operands.push_back(
        UnrealizedConversionCastOp::create(b, type, value).getResult(0));
  func::CallOp::create(b, kernel, operands);
  LLVM::ReturnOp::create(b, ValueRange());
  return success();
}

/// Sets what LLVM compiles the function for. Kernel bodies are still in the
/// func dialect; its conversion carries these attributes over.
void AddKernelEntries::setTarget(Operation *function) {
  MLIRContext *context = &getContext();
  StringRef prefix = isa<func::FuncOp>(function) ? "llvm." : "";
  if (!target)
    return;
  function->setAttr((prefix + "target_cpu").str(),
                    StringAttr::get(context, target->cpu));
  if (!target->features.empty())
    function->setAttr((prefix + "target_features").str(),
                      LLVM::TargetFeaturesAttr::get(context, target->features));
}
