//===- Launch.cpp - Kernels and what launches them ------------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Launch.h"

#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Utils/StaticValueUtils.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/xxhash.h"

using namespace mlir;
using namespace moe;
using namespace moe::codegen::cuda;

/// What the driver wants of a CUtensorMap.
static constexpr int64_t kTensorMapBytes = 128;
static constexpr int64_t kTensorMapAlignment = 64;
/// Bytes; a line of the GPU's caches.
static constexpr int64_t kScratchAlignment = 128;

//===----------------------------------------------------------------------===//
// Launches
//===----------------------------------------------------------------------===//

Buffer Launch::add(Value buffer, bool isWrite, Parameter parameter) {
  presence += buffer ? '1' : '0';
  if (!buffer)
    return {};
  SmallVector<Value> &operands = isWrite ? writes : reads;
  auto place = llvm::find(operands, buffer);
  parameter.isWrite = isWrite;
  parameter.operand = place - operands.begin();
  if (place == operands.end())
    operands.push_back(buffer);
  Buffer result{getMemRefType(buffer),
                static_cast<unsigned>(parameters.size())};
  parameters.push_back(parameter);
  for (int64_t dim = 0, rank = result.type.getRank(); dim < rank; ++dim)
    if (result.type.isDynamicDim(dim))
      parameters.push_back(
          {Parameter::Extent, isWrite, parameter.operand, dim});
  return result;
}

Buffer Launch::read(Value buffer) { return add(buffer, /*isWrite=*/false, {}); }

Buffer Launch::write(Value buffer) { return add(buffer, /*isWrite=*/true, {}); }

Buffer Launch::readTiles(Value buffer, ArrayRef<int64_t> box, int64_t swizzle) {
  return add(
      buffer, /*isWrite=*/false,
      {Parameter::TensorMap, false, 0, 0, llvm::to_vector(box), swizzle});
}

Buffer Launch::writeTiles(Value buffer, ArrayRef<int64_t> box,
                          int64_t swizzle) {
  return add(buffer, /*isWrite=*/true,
             {Parameter::TensorMap, true, 0, 0, llvm::to_vector(box), swizzle});
}

Scalar Launch::take(Value scalar) {
  parameters.push_back({Parameter::Scalar, /*isWrite=*/false,
                        static_cast<int64_t>(scalars.size())});
  scalars.push_back(scalar);
  return {static_cast<unsigned>(parameters.size() - 1)};
}

Attribute Launch::toAttribute(const Parameter &parameter) const {
  MLIRContext *context = emission.loc.getContext();
  // Operands are counted through the reads and then the writes.
  int64_t operand = parameter.operand + (parameter.isWrite ? reads.size() : 0);
  switch (parameter.kind) {
  case Parameter::Address:
    return schedule::PointerAttr::get(context, operand);
  case Parameter::Extent:
    return schedule::SizeAttr::get(context, operand, parameter.dim);
  case Parameter::Scalar:
    return schedule::ScalarAttr::get(context, operand);
  case Parameter::TensorMap:
    return schedule::TensorMapAttr::get(context, operand, parameter.box,
                                        parameter.swizzle);
  }
  llvm_unreachable("unknown parameter");
}

/// Kernels are equal if stem, operand types, shape of the launch, architecture
/// and key are.
std::string Launch::getKernelName(schedule::GPULaunchAttr shape) const {
  std::string text;
  llvm::raw_string_ostream stream(text);
  stream << shape << ';' << residentBlocks << ';' << emission.target.chip << ';'
         << emission.target.features << ';' << presence << ';' << key;
  for (Type type : ValueRange(reads).getTypes())
    stream << ';' << type;
  for (Type type : ValueRange(writes).getTypes())
    stream << ';' << type;
  return llvm::formatv("{0}_{1:x-16}", stem, llvm::xxh3_64bits(text));
}

static gpu::GPUModuleOp getOrCreateKernelModule(const Emission &emission) {
  ModuleOp module = emission.module;
  if (auto known = module.lookupSymbol<gpu::GPUModuleOp>(kKernelModuleName))
    return known;
  auto builder = OpBuilder::atBlockEnd(module.getBody());
  return gpu::GPUModuleOp::create(builder, emission.loc, kKernelModuleName);
}

LLVM::LLVMFuncOp Launch::createKernel(OpBuilder &builder,
                                      StringRef name) const {
  MLIRContext *context = builder.getContext();
  SmallVector<Type> types;
  for (const Parameter &parameter : parameters)
    switch (parameter.kind) {
    case Parameter::Address:
      types.push_back(
          LLVM::LLVMPointerType::get(context, AddressSpace::Global));
      break;
    case Parameter::Extent:
    case Parameter::Scalar:
      types.push_back(builder.getI64Type());
      break;
    case Parameter::TensorMap:
      types.push_back(LLVM::LLVMPointerType::get(context));
      break;
    }
  auto type =
      LLVM::LLVMFunctionType::get(LLVM::LLVMVoidType::get(context), types);
  auto kernel = LLVM::LLVMFuncOp::create(builder, emission.loc, name, type);
  auto set = [&](StringRef attribute, Attribute value) {
    kernel->setAttr(attribute, value);
  };
  set(gpu::GPUDialect::getKernelFuncAttrName(), builder.getUnitAttr());
  set(NVVM::NVVMDialect::getKernelFuncAttrName(), builder.getUnitAttr());
  set(NVVM::NVVMDialect::getReqntidAttrName(),
      builder.getDenseI32ArrayAttr({static_cast<int32_t>(threads), 1, 1}));
  if (cluster > 1)
    set(NVVM::NVVMDialect::getClusterDimAttrName(),
        builder.getDenseI32ArrayAttr({static_cast<int32_t>(cluster), 1, 1}));
  if (residentBlocks)
    set(NVVM::NVVMDialect::getMinctasmAttrName(),
        builder.getI32IntegerAttr(residentBlocks));
  // A tensor map is a `const __grid_constant__ CUtensorMap`: 128 bytes, aligned
  // to 64, whose address in parameter memory TMA takes.
  for (auto [i, parameter] : llvm::enumerate(parameters)) {
    if (parameter.kind != Parameter::TensorMap)
      continue;
    kernel.setArgAttr(i, LLVM::LLVMDialect::getByValAttrName(),
                      TypeAttr::get(LLVM::LLVMArrayType::get(
                          builder.getI8Type(), kTensorMapBytes)));
    kernel.setArgAttr(i, LLVM::LLVMDialect::getAlignAttrName(),
                      builder.getI64IntegerAttr(kTensorMapAlignment));
    kernel.setArgAttr(i, NVVM::NVVMDialect::getGridConstantAttrName(),
                      builder.getUnitAttr());
  }
  return kernel;
}

void Launch::emit(Value grid, function_ref<void(KernelBuilder &)> body) {
  MLIRContext *context = emission.loc.getContext();
  auto attributes = llvm::map_to_vector(
      parameters, [&](const Parameter &p) { return toAttribute(p); });
  auto shape = schedule::GPULaunchAttr::get(
      context, threads, sharedBytes, cluster, /*earlyStart=*/true, attributes);
  std::string name = getKernelName(shape);
  gpu::GPUModuleOp kernels = getOrCreateKernelModule(emission);
  if (!kernels.lookupSymbol(name)) {
    auto builder = OpBuilder::atBlockEnd(kernels.getBody());
    LLVM::LLVMFuncOp kernel = createKernel(builder, name);
    builder.setInsertionPointToStart(kernel.addEntryBlock(builder));
    KernelBuilder k(emission.loc, builder, kernel);
    body(k);
    LLVM::ReturnOp::create(k, ValueRange());
  }
  auto symbol = SymbolRefAttr::get(context, kKernelModuleName,
                                   FlatSymbolRefAttr::get(context, name));
  schedule::LaunchOp::create(emission.builder, emission.loc, symbol, grid,
                             reads, writes, scalars,
                             emission.builder.getStringAttr(label), shape);
}

//===----------------------------------------------------------------------===//
// The host's side
//===----------------------------------------------------------------------===//

MemRefType moe::codegen::cuda::getMemRefType(Value value) {
  return cast<MemRefType>(value.getType());
}

unsigned moe::codegen::cuda::getVectorWidth(int64_t columns, Type element) {
  int64_t width = kVectorBytes * 8 / element.getIntOrFloatBitWidth();
  while (columns % width != 0)
    width /= 2;
  return width;
}

unsigned moe::codegen::cuda::getVectorWidth(ArrayRef<Value> buffers) {
  unsigned width = kVectorBytes;
  for (Value buffer : buffers) {
    MemRefType type = getMemRefType(buffer);
    width = std::min(
        width, getVectorWidth(type.getShape().back(), type.getElementType()));
  }
  return width;
}

ExprBuilder moe::codegen::cuda::gridBuilder(const Emission &emission) {
  return ExprBuilder(emission.loc, emission.builder);
}

ExprBuilder moe::codegen::cuda::scratchBuilder(const Emission &emission) {
  return ExprBuilder(emission.loc, emission.scratch);
}

Expr moe::codegen::cuda::dimOf(ExprBuilder &host, Value buffer,
                               int64_t position) {
  int64_t size = getMemRefType(buffer).getDimSize(position);
  if (!ShapedType::isDynamic(size))
    return host.index(size);
  return host.wrap(memref::DimOp::create(host, buffer, position));
}

void moe::codegen::cuda::ifOnHost(const Emission &emission, Expr condition,
                                  function_ref<void()> then,
                                  function_ref<void()> otherwise) {
  if (std::optional<int64_t> known = getConstantIntValue(Value(condition)))
    return *known ? then() : otherwise();
  auto branch = scf::IfOp::create(emission.builder, emission.loc, condition,
                                  /*withElseRegion=*/true);
  OpBuilder::InsertionGuard guard(emission.builder);
  emission.builder.setInsertionPointToStart(branch.thenBlock());
  then();
  emission.builder.setInsertionPointToStart(branch.elseBlock());
  otherwise();
}

Value moe::codegen::cuda::allocateScratch(ArrayRef<Expr> sizes, Type element) {
  SmallVector<int64_t> shape;
  SmallVector<Value> dynamic;
  for (Expr size : sizes) {
    std::optional<int64_t> known = getConstantIntValue(Value(size));
    shape.push_back(known.value_or(ShapedType::kDynamic));
    if (!known)
      dynamic.push_back(size);
  }
  ExprBuilder &b = sizes.front().getBuilder();
  return memref::AllocOp::create(b, MemRefType::get(shape, element), dynamic,
                                 b.getI64IntegerAttr(kScratchAlignment));
}

Value moe::codegen::cuda::allocateScratch(const Emission &emission, Value rows,
                                          int64_t columns, Type element) {
  ExprBuilder b = scratchBuilder(emission);
  return allocateScratch({dimOf(b, rows, 0), b.index(columns)}, element);
}
