//===- RuntimeInterface.cpp - Runtime functions and data in IR ------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "RuntimeInterface.h"

#include "moert/moert.h"

#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"

using namespace mlir;
using namespace moe;

RuntimeInterface::RuntimeInterface(ModuleOp module)
    : module(module), ptr(LLVM::LLVMPointerType::get(module.getContext())) {}

//===----------------------------------------------------------------------===//
// Functions
//===----------------------------------------------------------------------===//

/// The function type that RuntimeFunctions.def states for `name`.
static LLVM::LLVMFunctionType getFunctionType(MLIRContext *context,
                                              StringRef name) {
  Type ptr = LLVM::LLVMPointerType::get(context);
  Type i32 = IntegerType::get(context, 32);
  Type i64 = IntegerType::get(context, 64);
  Type status = i32, none = LLVM::LLVMVoidType::get(context);
#define MOERT_FUNCTION(NAME, RESULT, PARAMETERS)                               \
  if (name == #NAME) {                                                         \
    auto list = [](auto... types) { return SmallVector<Type>{types...}; };     \
    return LLVM::LLVMFunctionType::get(RESULT, list PARAMETERS);               \
  }
#include "moert/RuntimeFunctions.def"
  llvm_unreachable("no such runtime function");
}

Value RuntimeInterface::call(OpBuilder &b, Location loc, StringRef name,
                             ValueRange arguments) {
  auto function = module.lookupSymbol<LLVM::LLVMFuncOp>(name);
  if (!function) {
    OpBuilder top = OpBuilder::atBlockBegin(module.getBody());
    function = LLVM::LLVMFuncOp::create(
        top, loc, name, getFunctionType(module.getContext(), name));
  }
  auto call = LLVM::CallOp::create(b, loc, function, arguments);
  return call.getNumResults() ? call.getResult() : Value();
}

//===----------------------------------------------------------------------===//
// Data
//===----------------------------------------------------------------------===//

LLVM::GlobalOp
RuntimeInterface::emitConstant(Location loc, StringRef symbol, Type type,
                               LLVM::Linkage linkage,
                               function_ref<Value(OpBuilder &)> value) {
  OpBuilder top = OpBuilder::atBlockEnd(module.getBody());
  auto global = LLVM::GlobalOp::create(top, loc, type, /*isConstant=*/true,
                                       linkage, symbol, Attribute());
  OpBuilder inside(module.getContext());
  inside.createBlock(&global.getInitializerRegion());
  Value result = value(inside);
  LLVM::ReturnOp::create(inside, loc, result);
  return global;
}

Value RuntimeInterface::address(OpBuilder &b, Location loc, StringRef symbol) {
  return LLVM::AddressOfOp::create(b, loc, ptr, symbol);
}

Value RuntimeInterface::getString(OpBuilder &b, Location loc, StringRef text) {
  std::string &symbol = strings[text];
  if (symbol.empty()) {
    symbol = "moe_string_" + std::to_string(strings.size());
    std::string terminated = text.str() + '\0';
    OpBuilder top = OpBuilder::atBlockEnd(module.getBody());
    auto type = LLVM::LLVMArrayType::get(top.getI8Type(), terminated.size());
    LLVM::GlobalOp::create(top, loc, type, /*isConstant=*/true,
                           LLVM::Linkage::Private, symbol,
                           top.getStringAttr(terminated));
  }
  return address(b, loc, symbol);
}

Value moe::aggregate(OpBuilder &b, Location loc, Type type,
                     ArrayRef<Value> elements) {
  Value result = LLVM::UndefOp::create(b, loc, type);
  for (auto [index, element] : llvm::enumerate(elements))
    result = LLVM::InsertValueOp::create(b, loc, result, element,
                                         static_cast<int64_t>(index));
  return result;
}

Value moe::constant(OpBuilder &b, Location loc, unsigned bits, int64_t value) {
  Type type = b.getIntegerType(bits);
  return LLVM::ConstantOp::create(b, loc, type, b.getIntegerAttr(type, value));
}

void RuntimeInterface::emitNumbers(Location loc, StringRef symbol, Type element,
                                   ArrayRef<int64_t> numbers) {
  auto type = LLVM::LLVMArrayType::get(element, numbers.size());
  emitConstant(loc, symbol, type, LLVM::Linkage::Private, [&](OpBuilder &b) {
    SmallVector<Value> values;
    for (int64_t number : numbers)
      values.push_back(
          constant(b, loc, element.getIntOrFloatBitWidth(), number));
    return aggregate(b, loc, type, values);
  });
}

uint8_t moe::getDLPackTypeCode(Type type) {
  if (type.isBF16())
    return kDLBfloat;
  return isa<FloatType>(type) ? kDLFloat : kDLInt;
}

Value RuntimeInterface::emitTensors(OpBuilder &b, Location loc,
                                    StringRef symbol,
                                    ArrayRef<InterfaceTensor> tensors) {
  using abi::moert_tensor_signature;
  auto array = LLVM::LLVMArrayType::get(
      moert_tensor_signature::getType(module.getContext()), tensors.size());
  SmallVector<std::string> dims;
  for (auto [index, tensor] : llvm::enumerate(tensors)) {
    dims.push_back((symbol + "_dims_" + Twine(index)).str());
    emitNumbers(loc, dims.back(), b.getI64Type(), tensor.dims);
  }
  emitConstant(
      loc, symbol, array, LLVM::Linkage::Private, [&](OpBuilder &inside) {
        SmallVector<Value> values;
        for (auto [tensor, dim] : llvm::zip_equal(tensors, dims)) {
          Type element = tensor.elementType;
          values.push_back(
              StructValue<moert_tensor_signature>(inside, loc)
                  .set(moert_tensor_signature::name,
                       getString(inside, loc, tensor.name))
                  .set(moert_tensor_signature::dtype_code,
                       getDLPackTypeCode(element))
                  .set(moert_tensor_signature::dtype_bits,
                       element.getIntOrFloatBitWidth())
                  .set(moert_tensor_signature::dtype_lanes, 1)
                  .set(moert_tensor_signature::rank, tensor.dims.size())
                  .set(moert_tensor_signature::dims, address(inside, loc, dim))
                  .get());
        }
        return aggregate(inside, loc, array, values);
      });
  return address(b, loc, symbol);
}

Value RuntimeInterface::emitStrings(OpBuilder &b, Location loc,
                                    StringRef symbol,
                                    ArrayRef<StringAttr> texts) {
  if (texts.empty())
    return LLVM::ZeroOp::create(b, loc, ptr);
  auto type = LLVM::LLVMArrayType::get(ptr, texts.size());
  emitConstant(loc, symbol, type, LLVM::Linkage::Private, [&](OpBuilder &b) {
    SmallVector<Value> values;
    for (StringAttr text : texts)
      values.push_back(getString(b, loc, text));
    return aggregate(b, loc, type, values);
  });
  return address(b, loc, symbol);
}

void RuntimeInterface::emitSignature(
    Location loc, StringRef symbol, StringRef name, int32_t deviceType,
    ArrayRef<InterfaceTensor> inputs, ArrayRef<InterfaceTensor> outputs,
    int64_t maxTokens, int64_t numRanks, StringRef workspaceSize,
    StringRef exchange, ArrayRef<StringAttr> axes) {
  using abi::moert_signature;
  emitStruct<moert_signature>(
      loc, symbol, LLVM::Linkage::Private,
      [&](OpBuilder &b, StructValue<moert_signature> &signature) {
        signature.set(moert_signature::abi, MOERT_ABI_VERSION)
            .set(moert_signature::device_type, deviceType)
            .set(moert_signature::name, getString(b, loc, name))
            .set(moert_signature::num_inputs, inputs.size())
            .set(moert_signature::inputs,
                 emitTensors(b, loc, (symbol + "_inputs").str(), inputs))
            .set(moert_signature::num_outputs, outputs.size())
            .set(moert_signature::outputs,
                 emitTensors(b, loc, (symbol + "_outputs").str(), outputs))
            .set(moert_signature::max_tokens, maxTokens)
            .set(moert_signature::num_ranks, numRanks)
            .set(moert_signature::workspace_size,
                 address(b, loc, workspaceSize));
        if (exchange.empty())
          signature.setNull(moert_signature::exchange);
        else
          signature.set(moert_signature::exchange, address(b, loc, exchange));
        signature.set(moert_signature::num_axes, axes.size())
            .set(moert_signature::axes,
                 emitStrings(b, loc, (symbol + "_axes").str(), axes));
      });
}

void RuntimeInterface::emitArtefact(Location loc, StringRef name,
                                    StringRef descriptor, StringRef run,
                                    StringRef workspaceSize) {
  using abi::moert_artefact;
  emitStruct<moert_artefact>(
      loc, "moert_artefact", LLVM::Linkage::External,
      [&](OpBuilder &b, StructValue<moert_artefact> &artefact) {
        artefact.set(moert_artefact::abi, MOERT_ABI_VERSION)
            .set(moert_artefact::name, getString(b, loc, name))
            .set(moert_artefact::descriptor, getString(b, loc, descriptor))
            .set(moert_artefact::run, address(b, loc, run))
            .set(moert_artefact::workspace_size,
                 address(b, loc, workspaceSize));
      });
}

//===----------------------------------------------------------------------===//
// GPU kernels
//===----------------------------------------------------------------------===//

static constexpr StringLiteral kGPUModuleSymbol = "moe_gpu_module";

Value RuntimeInterface::getGPUModule(OpBuilder &b, Location loc) {
  return address(b, loc, kGPUModuleSymbol);
}

int32_t RuntimeInterface::getKernelIndex(SymbolRefAttr kernel) {
  kernels.insert(kernel);
  return llvm::find(kernels, kernel) - kernels.begin();
}

LogicalResult RuntimeInterface::emitGPUModule() {
  if (kernels.empty())
    return success();
  StringAttr root = kernels.front().getRootReference();
  for (SymbolRefAttr kernel : kernels)
    if (kernel.getRootReference() != root)
      return module.emitError("expected all kernels in one GPU module but got ")
             << kernels.front() << " and " << kernel;
  auto binary = module.lookupSymbol<gpu::BinaryOp>(root);
  if (!binary || binary.getObjects().size() != 1)
    return module.emitError("expected the GPU kernels of @")
           << root.getValue() << " as one 'gpu.binary' with one object";
  auto object = cast<gpu::ObjectAttr>(binary.getObjects()[0]);
  auto target = dyn_cast<NVVM::NVVMTargetAttr>(object.getTarget());
  if (!target)
    return binary.emitError("expected an object of an NVVM target but got ")
           << object.getTarget();

  Location loc = binary.getLoc();
  // The image; PTX ends with a zero.
  std::string image = object.getObject().getValue().str();
  image.push_back('\0');
  std::string imageSymbol = (kGPUModuleSymbol + "_image").str();
  OpBuilder top = OpBuilder::atBlockEnd(module.getBody());
  LLVM::GlobalOp::create(
      top, loc, LLVM::LLVMArrayType::get(top.getI8Type(), image.size()),
      /*isConstant=*/true, LLVM::Linkage::Private, imageSymbol,
      top.getStringAttr(image), /*alignment=*/64);

  auto namesType = LLVM::LLVMArrayType::get(ptr, kernels.size());
  std::string namesSymbol = (kGPUModuleSymbol + "_kernels").str();
  emitConstant(loc, namesSymbol, namesType, LLVM::Linkage::Private,
               [&](OpBuilder &b) {
                 SmallVector<Value> names;
                 for (SymbolRefAttr kernel : kernels)
                   names.push_back(
                       getString(b, loc, kernel.getLeafReference().getValue()));
                 return aggregate(b, loc, namesType, names);
               });

  using abi::moert_gpu_module;
  emitStruct<moert_gpu_module>(
      loc, kGPUModuleSymbol, LLVM::Linkage::Private,
      [&](OpBuilder &b, StructValue<moert_gpu_module> &gpu) {
        gpu.set(moert_gpu_module::abi, MOERT_ABI_VERSION)
            .set(moert_gpu_module::num_kernels, kernels.size())
            .set(moert_gpu_module::kernel_names, address(b, loc, namesSymbol))
            .set(moert_gpu_module::chip, getString(b, loc, target.getChip()))
            .set(moert_gpu_module::image, address(b, loc, imageSymbol))
            .set(moert_gpu_module::image_bytes, image.size() - 1);
      });
  binary.erase();
  return success();
}
