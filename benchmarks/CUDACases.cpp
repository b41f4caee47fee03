//===- CUDACases.cpp - Kernels for a machine without LLVM -----------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "CUDACases.h"

#include "moe-mlir/Codegen/CUDA/Lowering.h"
#include "moe-mlir/Dialect/Schedule/IR/Schedule.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/IR/Matchers.h"
#include "mlir/IR/Verifier.h"
#include "mlir/Pass/PassManager.h"
#include "mlir/Transforms/Passes.h"
#include "llvm/ADT/StringSwitch.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/MemoryBuffer.h"

using namespace mlir;
using namespace moe;
using namespace moe::benchmarks;
using namespace moe::codegen::cuda;

//===----------------------------------------------------------------------===//
// Settings
//===----------------------------------------------------------------------===//

Case::Case(StringRef line) {
  SmallVector<StringRef> words;
  line.split(words, ' ', -1, /*KeepEmpty=*/false);
  for (StringRef word : words) {
    auto [key, value] = word.split('=');
    settings[key] = value.str();
  }
}

std::string Case::text(StringRef key, StringRef otherwise) const {
  auto found = settings.find(key);
  return found == settings.end() ? otherwise.str() : found->second;
}

int64_t Case::number(StringRef key, int64_t otherwise) const {
  int64_t value = otherwise;
  StringRef(text(key)).getAsInteger(10, value);
  return value;
}

Type Case::element(MLIRContext *context, StringRef key) const {
  return llvm::StringSwitch<Type>(text(key))
      .Case("f32", Float32Type::get(context))
      .Case("f16", Float16Type::get(context))
      .Case("i32", IntegerType::get(context, 32))
      .Default(BFloat16Type::get(context));
}

llvm::json::Object Case::json() const {
  llvm::json::Object object;
  for (const auto &setting : settings)
    object[setting.first()] = setting.second;
  return object;
}

//===----------------------------------------------------------------------===//
// One case
//===----------------------------------------------------------------------===//

namespace {
/// A case and the function that holds its launches; buffers are its arguments.
struct Emitted {
  Case settings;
  std::vector<Operand> operands;
  func::FuncOp function;
};
} // namespace

static func::FuncOp emitFunction(ModuleOp module, StringRef name,
                                 const Case &settings,
                                 ArrayRef<Operand> operands,
                                 CaseEmitter &emitter) {
  MLIRContext *context = module.getContext();
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
  Target target;
  Emission emission{module, target, function.getLoc(), builder, scratch};
  if (failed(emitter.emit(emission, settings, function.getArguments())))
    return nullptr;
  return function;
}

/// Replaces the extents of the function's arguments by the case's.
static void fixExtents(func::FuncOp function, ArrayRef<Operand> operands) {
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

//===----------------------------------------------------------------------===//
// Description
//===----------------------------------------------------------------------===//

namespace {
/// Describes the launches of a case; scratch joins its buffers.
class Describer {
public:
  explicit Describer(Emitted &emitted) : emitted(emitted) {}

  llvm::json::Object describe();

private:
  llvm::json::Object describe(schedule::LaunchOp launch);
  std::pair<std::string, SmallVector<int64_t>> findBuffer(Value buffer);
  void addBuffer(StringRef name, ArrayRef<int64_t> shape, Type element);

  Emitted &emitted;
  llvm::json::Object buffers;
  SmallVector<Value> scratch;
};
} // namespace

void Describer::addBuffer(StringRef name, ArrayRef<int64_t> shape,
                          Type element) {
  std::string dtype;
  llvm::raw_string_ostream(dtype) << element;
  buffers[name.str()] =
      llvm::json::Object{{"shape", llvm::json::Array(shape)}, {"dtype", dtype}};
}

/// The name of a launch's buffer, and the shape that the launch sees.
std::pair<std::string, SmallVector<int64_t>>
Describer::findBuffer(Value buffer) {
  auto shape = llvm::to_vector(cast<MemRefType>(buffer.getType()).getShape());
  if (auto view = buffer.getDefiningOp<memref::ExpandShapeOp>())
    buffer = view.getSrc();
  if (auto cast = buffer.getDefiningOp<memref::CastOp>())
    buffer = cast.getSource();
  auto argument = dyn_cast<BlockArgument>(buffer);
  SmallVector<int64_t> known;
  std::string name;
  if (argument) {
    const Operand &operand = emitted.operands[argument.getArgNumber()];
    name = operand.name;
    known = operand.shape;
  } else {
    auto type = cast<MemRefType>(buffer.getType());
    if (!llvm::is_contained(scratch, buffer))
      scratch.push_back(buffer);
    auto number = llvm::find(scratch, buffer) - scratch.begin();
    name = ("scratch" + Twine(number)).str();
    known = llvm::to_vector(type.getShape());
    addBuffer(name, known, type.getElementType());
  }
  for (auto [dim, size] : llvm::enumerate(shape))
    if (ShapedType::isDynamic(size))
      size = known[dim];
  return {name, shape};
}

static int64_t getConstant(Value value) {
  APInt constant;
  return matchPattern(value, m_ConstantInt(&constant)) ? constant.getSExtValue()
                                                       : -1;
}

llvm::json::Object Describer::describe(schedule::LaunchOp launch) {
  SmallVector<Value> operands(launch.getReads());
  llvm::append_range(operands, launch.getWrites());
  llvm::json::Array parameters;
  schedule::GPULaunchAttr gpu = *launch.getGpu();
  for (Attribute parameter : gpu.getParameters()) {
    if (auto pointer = dyn_cast<schedule::PointerAttr>(parameter)) {
      parameters.push_back(llvm::json::Object{
          {"buffer", findBuffer(operands[pointer.getOperand()]).first}});
    } else if (auto size = dyn_cast<schedule::SizeAttr>(parameter)) {
      auto shape = findBuffer(operands[size.getOperand()]).second;
      parameters.push_back(
          llvm::json::Object{{"number", shape[size.getDim()]}});
    } else if (auto scalar = dyn_cast<schedule::ScalarAttr>(parameter)) {
      parameters.push_back(llvm::json::Object{
          {"number", getConstant(launch.getScalars()[scalar.getOperand()])}});
    } else {
      auto map = cast<schedule::TensorMapAttr>(parameter);
      auto [name, shape] = findBuffer(operands[map.getOperand()]);
      parameters.push_back(llvm::json::Object{
          {"buffer", name},
          {"shape", llvm::json::Array(ArrayRef<int64_t>(shape))},
          {"box", llvm::json::Array(map.getBox())},
          {"swizzle", map.getSwizzle()}});
    }
  }
  return llvm::json::Object{
      {"kernel", launch.getKernel().getLeafReference().getValue()},
      {"grid", getConstant(launch.getGrid())},
      {"threads", gpu.getThreads()},
      {"shared_bytes", gpu.getSharedBytes()},
      {"cluster", gpu.getCluster()},
      {"parameters", std::move(parameters)}};
}

llvm::json::Object Describer::describe() {
  for (const Operand &operand : emitted.operands)
    addBuffer(operand.name, operand.shape, operand.element);
  llvm::json::Array launches;
  emitted.function.walk(
      [&](schedule::LaunchOp launch) { launches.push_back(describe(launch)); });
  return llvm::json::Object{{"settings", emitted.settings.json()},
                            {"buffers", std::move(buffers)},
                            {"launches", std::move(launches)}};
}

//===----------------------------------------------------------------------===//
// The program
//===----------------------------------------------------------------------===//

static LogicalResult writeFile(const Twine &path, StringRef contents,
                               std::string &error) {
  std::error_code code;
  llvm::raw_fd_ostream stream(path.str(), code);
  if (code) {
    error = ("cannot write '" + path + "': " + code.message()).str();
    return failure();
  }
  stream << contents;
  return success();
}

int moe::benchmarks::compileCases(int argc, char **argv, StringRef tool,
                                  CaseEmitter &emitter) {
  auto fail = [&](const Twine &message) {
    llvm::errs() << tool << ": " << message << '\n';
    return 1;
  };
  if (argc != 2)
    return fail("expected the folder to write to");
  std::string folder = argv[1], error;
  if (std::error_code code = llvm::sys::fs::create_directories(folder))
    return fail("cannot create '" + folder + "': " + code.message());
  DialectRegistry registry;
  registerDialects(registry);
  registry.insert<func::FuncDialect, MoEDialect>();
  MLIRContext context(registry);
  context.loadAllAvailableDialects();
  OwningOpRef<ModuleOp> module = ModuleOp::create(UnknownLoc::get(&context));

  auto input = llvm::MemoryBuffer::getSTDIN();
  if (!input)
    return fail("cannot read standard input");
  SmallVector<StringRef> lines;
  (*input)->getBuffer().split(lines, '\n', -1, /*KeepEmpty=*/false);
  std::vector<Emitted> cases;
  for (auto [index, line] : llvm::enumerate(lines)) {
    Case settings(line);
    std::vector<Operand> operands = emitter.getOperands(&context, settings);
    func::FuncOp function = emitFunction(
        *module, "case" + std::to_string(index), settings, operands, emitter);
    if (!function)
      return fail("no kernels compute '" + line + "'");
    fixExtents(function, operands);
    cases.push_back({settings, operands, function});
  }
  if (failed(verify(*module)))
    return 1;
  PassManager pm(&context);
  pm.addNestedPass<func::FuncOp>(createCanonicalizerPass());
  Target target;
  buildKernelLoweringPipeline(pm);
  if (failed(pm.run(*module)))
    return 1;

  auto kernels = module->lookupSymbol<gpu::GPUModuleOp>(kKernelModuleName);
  std::string ptx;
  if (failed(compileToPTX(kernels, target, ptx)))
    return 1;
  if (failed(writeFile(folder + "/kernels.ptx", ptx, error)))
    return fail(error);
  llvm::Expected<Cubin> cubin = compileToCubin(ptx, target);
  if (!cubin)
    return fail(llvm::toString(cubin.takeError()));
  llvm::errs() << cubin->messages;
  llvm::json::Array descriptions;
  for (Emitted &emitted : cases)
    descriptions.push_back(Describer(emitted).describe());
  std::string text;
  llvm::raw_string_ostream(text) << llvm::json::Value(std::move(descriptions));
  if (failed(writeFile(folder + "/kernels.cubin",
                       StringRef(cubin->code.data(), cubin->code.size()),
                       error)) ||
      failed(writeFile(folder + "/launches.json", text, error)))
    return fail(error);
  return 0;
}
