//===- cuda_gemm.cpp - Tensor-core GEMMs for a machine without LLVM -------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Compiles the GEMMs that standard input names, one a line, to kernels.cubin
// and a description of their launches, launches.json, which cuda_gemm.py runs
// and checks on a GPU:
//
//   cuda_gemm FOLDER <<< 'op=up T=512 K=2048 N=768 E=128 top=8
//   tile=64,32,128,4,1,1,2'
//
// op     dense (y [T, N]), up (gather, gates and ups, activation; y [T * top,
//        N]) or down (y [T * top, N])
// tile   rows, row step, weights, stages, consumers, swapped, resident blocks,
//        and 2 for clusters; without it, what the compiler chooses
// Others: dtype=bf16|f16, out=bf16|f16|f32, act=silu|gelu|relu2|..., gated=0|1,
// interleaved=0|1, bias=0|1, scale=0|1 (of rows).
//
//===----------------------------------------------------------------------===//

#include "../lib/Codegen/CUDA/GemmKernel.h"

#include "moe-mlir/Codegen/CUDA/Lowering.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/IR/Matchers.h"
#include "mlir/IR/Verifier.h"
#include "mlir/Pass/PassManager.h"
#include "mlir/Transforms/Passes.h"
#include "llvm/ADT/StringMap.h"
#include "llvm/ADT/StringSwitch.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/JSON.h"
#include "llvm/Support/MemoryBuffer.h"

using namespace mlir;
using namespace moe;
using namespace moe::codegen;
using namespace moe::codegen::cuda;

namespace {
/// One line of the input.
class Case {
public:
  explicit Case(StringRef line) {
    SmallVector<StringRef> words;
    line.split(words, ' ', -1, /*KeepEmpty=*/false);
    for (StringRef word : words) {
      auto [key, value] = word.split('=');
      settings[key] = value.str();
    }
  }
  std::string text(StringRef key, StringRef otherwise = "") const {
    auto found = settings.find(key);
    return found == settings.end() ? otherwise.str() : found->second;
  }
  int64_t number(StringRef key, int64_t otherwise = 0) const {
    int64_t value = otherwise;
    StringRef(text(key)).getAsInteger(10, value);
    return value;
  }
  llvm::json::Object json() const {
    llvm::json::Object object;
    for (const auto &setting : settings)
      object[setting.first()] = setting.second;
    return object;
  }

private:
  llvm::StringMap<std::string> settings;
};

Type parseElement(MLIRContext *context, StringRef name) {
  if (name == "f32")
    return Float32Type::get(context);
  if (name == "f16")
    return Float16Type::get(context);
  return BFloat16Type::get(context);
}

Activation parseActivation(StringRef name) {
  return llvm::StringSwitch<Activation>(name)
      .Case("gelu", Activation::GELU)
      .Case("gelu_tanh", Activation::GELUTanh)
      .Case("swigluoai", Activation::SwiGLUOAI)
      .Case("relu2", Activation::ReLU2)
      .Default(Activation::SiLU);
}

/// The function of a case: its buffers are arguments, in this order of names.
struct Operand {
  StringRef name;
  SmallVector<int64_t> shape;
  bool isDynamic; ///< The first dimension, for the kernel.
  Type element;
};

/// Emits the case's launch into a function of its own, whose dynamic extents
/// are replaced by the case's numbers afterwards.
func::FuncOp emitCase(ModuleOp module, const Case &settings, StringRef name,
                      SmallVectorImpl<Operand> &operands) {
  MLIRContext *context = module.getContext();
  int64_t tokens = settings.number("T"), depth = settings.number("K");
  int64_t columns = settings.number("N"), experts = settings.number("E");
  int64_t pairs = tokens * settings.number("top", 1);
  std::string op = settings.text("op");
  bool isUp = op == "up", isDense = op == "dense";
  bool hasActivation = isUp || !settings.text("act").empty();
  ActivationParams activation;
  activation.activation = parseActivation(settings.text("act"));
  activation.gated = settings.number("gated", 1);
  activation.interleaved = settings.number("interleaved");
  int64_t weights = columns * (hasActivation && activation.gated ? 2 : 1);

  Type element = parseElement(context, settings.text("dtype"));
  Type result =
      parseElement(context, settings.text("out", settings.text("dtype")));
  Type i32 = IntegerType::get(context, 32), f32 = Float32Type::get(context);
  operands.push_back(
      {"x", {isDense || isUp ? tokens : pairs, depth}, true, element});
  if (isDense)
    operands.push_back({"w", {weights, depth}, false, element});
  else
    operands.push_back({"w", {experts, weights, depth}, false, element});
  operands.push_back({"y", {isDense ? tokens : pairs, columns}, true, result});
  if (!isDense)
    operands.push_back({"offsets", {experts + 1}, false, i32});
  if (isUp)
    operands.push_back({"source", {pairs}, true, i32});
  if (settings.number("bias") && isDense)
    operands.push_back({"bias", {weights}, false, element});
  else if (settings.number("bias"))
    operands.push_back({"bias", {experts, weights}, false, element});
  if (settings.number("scale"))
    operands.push_back({"scale", {operands[0].shape[0], 1}, true, f32});

  SmallVector<Type> types;
  for (const Operand &operand : operands) {
    SmallVector<int64_t> shape = operand.shape;
    if (operand.isDynamic)
      shape[0] = ShapedType::kDynamic;
    types.push_back(MemRefType::get(shape, operand.element));
  }
  auto builder = OpBuilder::atBlockEnd(module.getBody());
  auto function = func::FuncOp::create(builder, builder.getUnknownLoc(), name,
                                       builder.getFunctionType(types, {}));
  builder.setInsertionPointToStart(function.addEntryBlock());
  auto run = schedule::RunOp::create(builder, function.getLoc(), Type(),
                                     schedule::StreamAttr::get(context),
                                     ValueRange(), StringAttr());
  OpBuilder scratch(run);
  func::ReturnOp::create(builder, function.getLoc());
  builder.setInsertionPointToStart(&run.getBody().emplaceBlock());

  GemmOperands gemm;
  for (auto [operand, value] :
       llvm::zip_equal(operands, function.getArguments()))
    *llvm::StringSwitch<Value *>(operand.name)
         .Case("x", &gemm.x)
         .Case("w", &gemm.weights)
         .Case("y", &gemm.y)
         .Case("offsets", &gemm.expertOffsets)
         .Case("source", &gemm.sourceRows)
         .Case("bias", &gemm.bias)
         .Case("scale", &gemm.scale) = value;
  if (hasActivation)
    gemm.activation = &activation;
  Target target;
  Emission emission{module, target, function.getLoc(), builder, scratch};
  std::string text = settings.text("tile");
  if (text.empty()) {
    if (failed(emitGemm(emission, op, op, gemm)))
      llvm::report_fatal_error("a product that no kernel computes");
    return function;
  }
  SmallVector<StringRef> fields;
  StringRef(text).split(fields, ',');
  auto field = [&](size_t i) {
    int64_t value = 0;
    fields[i].getAsInteger(10, value);
    return value;
  };
  launchGemm(emission, op, op, gemm,
             {field(0), field(1), field(2), field(3), field(4), field(5) != 0,
              field(6), fields.size() > 7 ? field(7) : 1});
  return function;
}

/// Replaces the extents of the function's arguments by the case's.
void fixExtents(func::FuncOp function, ArrayRef<Operand> operands) {
  function.walk([&](memref::DimOp dim) {
    auto argument = dyn_cast<BlockArgument>(dim.getSource());
    std::optional<int64_t> position = dim.getConstantIndex();
    if (!argument || !position)
      return;
    OpBuilder b(dim);
    int64_t size = operands[argument.getArgNumber()].shape[*position];
    dim.replaceAllUsesWith(
        arith::ConstantIndexOp::create(b, dim.getLoc(), size).getResult());
    dim.erase();
  });
}

llvm::json::Object describe(schedule::LaunchOp launch,
                            ArrayRef<Operand> operands) {
  SmallVector<Value> buffers(launch.getReads());
  llvm::append_range(buffers, launch.getWrites());
  auto describeBuffer = [&](int64_t number) {
    Value buffer = buffers[number];
    auto shape = llvm::to_vector(getMemRefType(buffer).getShape());
    if (auto view = buffer.getDefiningOp<memref::ExpandShapeOp>())
      buffer = view.getSrc();
    const Operand &operand =
        operands[cast<BlockArgument>(buffer).getArgNumber()];
    for (auto [dim, size] : llvm::enumerate(shape))
      if (ShapedType::isDynamic(size))
        size = operand.shape[dim];
    return std::make_pair(operand.name, shape);
  };
  llvm::json::Array parameters;
  schedule::GPULaunchAttr gpu = *launch.getGpu();
  for (Attribute parameter : gpu.getParameters()) {
    if (auto pointer = dyn_cast<schedule::PointerAttr>(parameter)) {
      parameters.push_back(llvm::json::Object{
          {"buffer", describeBuffer(pointer.getOperand()).first}});
    } else if (auto size = dyn_cast<schedule::SizeAttr>(parameter)) {
      auto shape = describeBuffer(size.getOperand()).second;
      parameters.push_back(llvm::json::Object{{"size", shape[size.getDim()]}});
    } else {
      auto map = cast<schedule::TensorMapAttr>(parameter);
      auto [name, shape] = describeBuffer(map.getOperand());
      parameters.push_back(llvm::json::Object{
          {"buffer", name},
          {"shape", llvm::json::Array(ArrayRef<int64_t>(shape))},
          {"box", llvm::json::Array(map.getBox())},
          {"swizzle", map.getSwizzle()}});
    }
  }
  APInt grid;
  bool isConstant = matchPattern(launch.getGrid(), m_ConstantInt(&grid));
  return llvm::json::Object{
      {"kernel", launch.getKernel().getLeafReference().getValue()},
      {"grid", isConstant ? grid.getSExtValue() : -1},
      {"threads", gpu.getThreads()},
      {"shared_bytes", gpu.getSharedBytes()},
      {"cluster", gpu.getCluster()},
      {"parameters", std::move(parameters)}};
}

int fail(const Twine &message) {
  llvm::errs() << "cuda_gemm: " << message << '\n';
  return 1;
}

int writeFile(const Twine &path, StringRef contents) {
  std::error_code code;
  llvm::raw_fd_ostream stream(path.str(), code);
  if (code)
    return fail("cannot write '" + path + "': " + code.message());
  stream << contents;
  return 0;
}
} // namespace

int main(int argc, char **argv) {
  if (argc != 2)
    return fail("expected the folder to write to");
  std::string folder = argv[1];
  if (std::error_code code = llvm::sys::fs::create_directories(folder))
    return fail("cannot create '" + folder + "': " + code.message());
  DialectRegistry registry;
  registerDialects(registry);
  registry.insert<func::FuncDialect, schedule::ScheduleDialect>();
  MLIRContext context(registry);
  context.loadAllAvailableDialects();
  OwningOpRef<ModuleOp> module = ModuleOp::create(UnknownLoc::get(&context));

  auto input = llvm::MemoryBuffer::getSTDIN();
  if (!input)
    return fail("cannot read standard input");
  SmallVector<StringRef> lines;
  (*input)->getBuffer().split(lines, '\n', -1, /*KeepEmpty=*/false);
  struct Emitted {
    Case settings;
    func::FuncOp function;
    SmallVector<Operand> operands;
  };
  std::vector<Emitted> cases;
  for (auto [index, line] : llvm::enumerate(lines)) {
    Case settings(line);
    SmallVector<Operand> operands;
    func::FuncOp function =
        emitCase(*module, settings, "case" + std::to_string(index), operands);
    fixExtents(function, operands);
    cases.push_back({settings, function, operands});
  }
  if (failed(verify(*module)))
    return 1;
  PassManager pm(&context);
  pm.addNestedPass<func::FuncOp>(createCanonicalizerPass());
  Target target;
  buildKernelLoweringPipeline(pm, target);
  if (failed(pm.run(*module)))
    return 1;

  auto kernels = module->lookupSymbol<gpu::GPUModuleOp>(kKernelModuleName);
  std::string ptx;
  if (failed(compileToPTX(kernels, target, ptx)))
    return 1;
  if (writeFile(folder + "/kernels.ptx", ptx))
    return 1;
  llvm::Expected<Cubin> cubin = compileToCubin(ptx, target);
  if (!cubin)
    return fail(llvm::toString(cubin.takeError()));
  llvm::errs() << cubin->messages;
  if (writeFile(folder + "/kernels.cubin",
                StringRef(cubin->code.data(), cubin->code.size())))
    return 1;

  llvm::json::Array descriptions;
  for (Emitted &emitted : cases) {
    llvm::json::Object buffers;
    for (const Operand &operand : emitted.operands) {
      std::string element;
      llvm::raw_string_ostream(element) << operand.element;
      buffers[operand.name] = llvm::json::Object{
          {"shape", llvm::json::Array(ArrayRef<int64_t>(operand.shape))},
          {"dtype", element}};
    }
    llvm::json::Array launches;
    emitted.function.walk([&](schedule::LaunchOp launch) {
      launches.push_back(describe(launch, emitted.operands));
    });
    descriptions.push_back(
        llvm::json::Object{{"settings", emitted.settings.json()},
                           {"buffers", std::move(buffers)},
                           {"launches", std::move(launches)}});
  }
  std::string text;
  llvm::raw_string_ostream(text) << llvm::json::Value(std::move(descriptions));
  return writeFile(folder + "/launches.json", text);
}
