//===- Program.cpp - Runs phases in this process --------------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Testing/CPU/Program.h"

#include "mlir/Conversion/LLVMCommon/MemRefBuilder.h"
#include "mlir/Conversion/LLVMCommon/TypeConverter.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"
#include "llvm/ADT/APFloat.h"
#include "llvm/ExecutionEngine/Orc/AbsoluteSymbols.h"
#include "llvm/ExecutionEngine/Orc/LLJIT.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/TargetParser/Host.h"
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <thread>

using namespace mlir;
using namespace moe::codegen;
using namespace moe::codegen::cpu;
using namespace moe::codegen::cpu::test;

//===----------------------------------------------------------------------===//
// Tensors
//===----------------------------------------------------------------------===//

static constexpr char kPattern = 0x5a;

const char *moe::codegen::cpu::test::name(Element element) {
  switch (element) {
  case Element::F32:
    return "f32";
  case Element::BF16:
    return "bf16";
  case Element::F16:
    return "f16";
  case Element::I32:
    return "i32";
  }
  return "";
}

Tensor::Tensor(Element element, std::vector<int64_t> dims)
    : element(element), shape(std::move(dims)) {
  for (int64_t size : shape)
    count *= size;
  // Unwritten elements are NaN, or an id that no test gives.
  bytes.assign(count * width() + 2 * kGuard, kPattern);
  std::memset(data(), 0xff, count * width());
}

int64_t Tensor::width() const {
  return element == Element::F32 || element == Element::I32 ? 4 : 2;
}

static const llvm::fltSemantics &semantics(Element element) {
  return element == Element::BF16 ? llvm::APFloat::BFloat()
                                  : llvm::APFloat::IEEEhalf();
}

double Tensor::get(int64_t index) const {
  if (element == Element::I32) {
    int32_t value;
    std::memcpy(&value, data() + index * 4, 4);
    return value;
  }
  if (element == Element::F32) {
    float value;
    std::memcpy(&value, data() + index * 4, 4);
    return value;
  }
  uint16_t bits;
  std::memcpy(&bits, data() + index * 2, 2);
  llvm::APFloat value(semantics(element), llvm::APInt(16, bits));
  bool lossy;
  value.convert(llvm::APFloat::IEEEdouble(), llvm::APFloat::rmNearestTiesToEven,
                &lossy);
  return value.convertToDouble();
}

void Tensor::set(int64_t index, double value) {
  if (element == Element::I32) {
    int32_t number = static_cast<int32_t>(value);
    std::memcpy(data() + index * 4, &number, 4);
    return;
  }
  if (element == Element::F32) {
    float number = static_cast<float>(value);
    std::memcpy(data() + index * 4, &number, 4);
    return;
  }
  llvm::APFloat number(value);
  bool lossy;
  number.convert(semantics(element), llvm::APFloat::rmNearestTiesToEven,
                 &lossy);
  auto bits = static_cast<uint16_t>(number.bitcastToAPInt().getZExtValue());
  std::memcpy(data() + index * 2, &bits, 2);
}

Tensor &Tensor::fill(std::mt19937 &random, double deviation) {
  std::normal_distribution<double> normal(0.0, deviation);
  for (int64_t i = 0; i < count; ++i)
    set(i, normal(random));
  return *this;
}

bool Tensor::intact() const {
  auto isPattern = [](char byte) { return byte == kPattern; };
  return std::all_of(bytes.begin(), bytes.begin() + kGuard, isPattern) &&
         std::all_of(bytes.end() - kGuard, bytes.end(), isPattern);
}

bool Tensor::equalRows(int64_t i, const Tensor &other, int64_t j) const {
  int64_t row = shape.back() * width();
  return std::memcmp(data() + i * row, other.data() + j * row, row) == 0;
}

//===----------------------------------------------------------------------===//
// What compiled programs call
//===----------------------------------------------------------------------===//

using Kernel = void (*)(const void *, int64_t);

static LaunchOrder launchOrder;
static std::vector<void *> scratchBlocks;

/// Stands for the runtime: runs all blocks of a launch.
static void runLaunch(Kernel kernel, const void *arguments, int64_t bytes,
                      int64_t grid) {
  // The caller may reuse the array at once; the copy has nothing behind it.
  std::vector<int64_t> copy(bytes / 8);
  std::memcpy(copy.data(), arguments, bytes);
  if (launchOrder == LaunchOrder::Threads) {
    std::atomic<int64_t> next{0};
    auto work = [&] {
      for (int64_t block; (block = next++) < grid;)
        kernel(copy.data(), block);
    };
    std::thread first(work), second(work), third(work);
    first.join();
    second.join();
    third.join();
    return;
  }
  for (int64_t i = 0; i < grid; ++i)
    kernel(copy.data(), launchOrder == LaunchOrder::Forward ? i : grid - 1 - i);
}

static void *allocateScratch(uint64_t bytes) {
  void *memory = std::aligned_alloc(64, (bytes + 127) / 64 * 64);
  std::memset(memory, 0xff, bytes);
  scratchBlocks.push_back(memory);
  return memory;
}

//===----------------------------------------------------------------------===//
// Programs
//===----------------------------------------------------------------------===//

static Type getType(MLIRContext *context, Element element) {
  switch (element) {
  case Element::F32:
    return Float32Type::get(context);
  case Element::BF16:
    return BFloat16Type::get(context);
  case Element::F16:
    return Float16Type::get(context);
  case Element::I32:
    return IntegerType::get(context, 32);
  }
  return {};
}

namespace {
/// A launch, as a call of `stub` until its arguments are in the LLVM dialect.
struct LaunchStub {
  std::string stub, kernel;
  SmallVector<MemRefType> types;
};
} // namespace

/// Replaces a launch by the call of a declared function of its grid, buffers
/// and scalars.
static LaunchStub replaceByStub(ModuleOp module, moe::schedule::LaunchOp launch,
                                int64_t number) {
  OpBuilder builder(launch);
  Location loc = launch.getLoc();
  SmallVector<Value> arguments{launch.getGrid()};
  llvm::append_range(arguments, launch.getReads());
  llvm::append_range(arguments, launch.getWrites());
  LaunchStub stub{"launch" + std::to_string(number),
                  launch.getKernel().getRootReference().str(),
                  {}};
  for (Value value : ArrayRef<Value>(arguments).drop_front())
    stub.types.push_back(cast<MemRefType>(value.getType()));
  llvm::append_range(arguments, launch.getScalars());
  auto type = builder.getFunctionType(ValueRange(arguments).getTypes(), {});
  auto function = func::FuncOp::create(loc, stub.stub, type);
  function.setPrivate();
  module.push_back(function);
  func::CallOp::create(builder, loc, function, arguments);
  launch.erase();
  return stub;
}

/// Gives a stub, now in the LLVM dialect, its body: pack and launch.
static void fillStub(ModuleOp module, const LaunchStub &stub) {
  MLIRContext *context = module.getContext();
  auto function = module.lookupSymbol<LLVM::LLVMFuncOp>(stub.stub);
  ImplicitLocOpBuilder b(function.getLoc(), context);
  Block *entry = function.addEntryBlock(b);
  b.setInsertionPointToStart(entry);
  LLVMTypeConverter converter(context);
  SmallVector<Value> descriptors;
  unsigned next = 1;
  for (MemRefType type : stub.types) {
    unsigned fields = 3 + 2 * type.getRank();
    descriptors.push_back(
        MemRefDescriptor::pack(b, b.getLoc(), converter, type,
                               entry->getArguments().slice(next, fields)));
    next += fields;
  }
  PackedArguments packed =
      packArguments(b, b.getLoc(), stub.types, descriptors,
                    entry->getArguments().drop_front(next));
  auto pointer = LLVM::LLVMPointerType::get(context);
  Value kernel = LLVM::AddressOfOp::create(b, pointer, stub.kernel);
  Value bytes = LLVM::ConstantOp::create(b, b.getI64Type(), packed.bytes);
  LLVM::CallOp::create(
      b, TypeRange(), "run_launch",
      ValueRange{kernel, packed.pointer, bytes, entry->getArgument(0)});
  LLVM::ReturnOp::create(b, ValueRange());
}

Program::Program(const Target &target, std::vector<Operand> operandTypes,
                 Phases phases)
    : operands(std::move(operandTypes)) {
  DialectRegistry registry;
  registerDialects(registry);
  registry.insert<moe::MoEDialect>();
  context.appendDialectRegistry(registry);
  context.loadAllAvailableDialects();
  ImplicitLocOpBuilder b(UnknownLoc::get(&context), &context);
  OwningOpRef<ModuleOp> module = ModuleOp::create(b.getLoc());

  // The program is a kernel too, so that its entry takes packed arguments.
  SmallVector<Type> types{b.getIndexType()};
  for (const Operand &operand : operands) {
    SmallVector<int64_t> shape;
    for (int64_t size : operand.shape)
      shape.push_back(size < 0 ? ShapedType::kDynamic : size);
    types.push_back(MemRefType::get(shape, getType(&context, operand.element)));
  }
  b.setInsertionPointToStart(module->getBody());
  auto program =
      func::FuncOp::create(b, "program", b.getFunctionType(types, {}));
  program->setAttr(kKernelAttrName, b.getUnitAttr());
  b.setInsertionPointToStart(program.addEntryBlock());
  Emission emission{*module, target, b.getLoc(), b, b};
  if (failed(phases(emission, program.getArguments().drop_front())))
    return;
  func::ReturnOp::create(b);
  SmallVector<LaunchStub> stubs;
  for (auto launch : llvm::make_early_inc_range(
           program.getBody().getOps<moe::schedule::LaunchOp>()))
    stubs.push_back(replaceByStub(*module, launch, stubs.size()));
  for (auto function : module->getOps<func::FuncOp>())
    numKernels += function->hasAttr(kKernelAttrName) && function != program;
  llvm::raw_string_ostream(emitted) << *module;

  auto begin = std::chrono::steady_clock::now();
  PassManager pm(&context);
  buildKernelLoweringPipeline(pm, target.getSpec());
  if (failed(pm.run(*module)))
    return;
  b.setInsertionPointToStart(module->getBody());
  auto pointer = LLVM::LLVMPointerType::get(&context);
  LLVM::LLVMFuncOp::create(
      b, "run_launch",
      LLVM::LLVMFunctionType::get(
          LLVM::LLVMVoidType::get(&context),
          {pointer, pointer, b.getI64Type(), b.getI64Type()}));
  for (const LaunchStub &stub : stubs)
    fillStub(*module, stub);
  SmallVector<char> object;
  if (failed(compileToObject(*module, target, object)))
    return;
  seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - begin)
          .count();

  jit = llvm::cantFail(llvm::orc::LLJITBuilder().create());
  auto symbol = [&](auto *address) {
    return llvm::orc::ExecutorSymbolDef(
        llvm::orc::ExecutorAddr::fromPtr(address),
        llvm::JITSymbolFlags::Exported | llvm::JITSymbolFlags::Callable);
  };
  llvm::cantFail(jit->getMainJITDylib().define(llvm::orc::absoluteSymbols(
      {{jit->mangleAndIntern("run_launch"), symbol(&runLaunch)},
       {jit->mangleAndIntern("malloc"), symbol(&allocateScratch)}})));
  llvm::cantFail(jit->addObjectFile(llvm::MemoryBuffer::getMemBufferCopy(
      StringRef(object.data(), object.size()))));
  auto address = jit->lookup("program");
  if (!address) {
    llvm::errs() << llvm::toString(address.takeError()) << "\n";
    return;
  }
  entry = address->toPtr<Kernel>();
}

Program::~Program() = default;

void Program::run(const std::vector<Tensor *> &tensors,
                  LaunchOrder order) const {
  std::vector<int64_t> arguments;
  for (size_t i = 0; i < operands.size(); ++i) {
    arguments.push_back(reinterpret_cast<int64_t>(tensors[i]->data()));
    for (size_t d = 0; d < operands[i].shape.size(); ++d)
      if (operands[i].shape[d] < 0)
        arguments.push_back(tensors[i]->getShape()[d]);
  }
  launchOrder = order;
  entry(arguments.data(), 0);
  for (void *memory : scratchBlocks)
    std::free(memory);
  scratchBlocks.clear();
}

std::vector<Target> moe::codegen::cpu::test::runnableTargets() {
  std::vector<Target> targets{Target::host()};
  llvm::StringMap<bool> features = llvm::sys::getHostCPUFeatures();
  if (features.lookup("avx2") && features.lookup("fma") &&
      targets.front().vectorBits > 256)
    targets.push_back(llvm::cantFail(Target::parse("x86-64-v3")));
  if (llvm::Triple(targets.front().triple).isX86())
    targets.push_back(llvm::cantFail(Target::parse("x86-64-v2")));
  return targets;
}
