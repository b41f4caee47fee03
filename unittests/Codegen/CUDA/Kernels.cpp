//===- Kernels.cpp - Emits and compiles CUDA kernels in tests -------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Kernels.h"

#include "moe-mlir/Dialect/Schedule/IR/Schedule.h"

#include "mlir/AsmParser/AsmParser.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/IR/Verifier.h"
#include "mlir/Pass/PassManager.h"
#include "llvm/Support/Regex.h"
#include "gtest/gtest.h"

using namespace mlir;
using namespace moe;
using namespace moe::codegen::cuda;
using namespace moe::codegen::cuda::test;

Kernels::Kernels() {
  DialectRegistry registry;
  registerDialects(registry);
  registry.insert<func::FuncDialect, MoEDialect>();
  context.appendDialectRegistry(registry);
  context.loadAllAvailableDialects();
  module = ModuleOp::create(UnknownLoc::get(&context));
}

std::string Kernels::add(const std::vector<std::string> &types,
                         const Phase &phase) {
  SmallVector<Type> operands;
  for (const std::string &type : types)
    operands.push_back(parseType("memref<" + type + ">", &context));
  auto builder = OpBuilder::atBlockEnd(module->getBody());
  Location loc = builder.getUnknownLoc();
  auto function = func::FuncOp::create(builder, loc, "phase",
                                       builder.getFunctionType(operands, {}));
  SymbolTable(*module).insert(function);
  builder.setInsertionPointToStart(function.addEntryBlock());
  auto run = schedule::RunOp::create(builder, loc, Type(),
                                     schedule::StreamAttr::get(&context),
                                     ValueRange(), StringAttr());
  func::ReturnOp::create(builder, loc);
  OpBuilder scratch(run);
  builder.setInsertionPointToStart(&run.getBody().emplaceBlock());

  std::string error;
  ScopedDiagnosticHandler handler(
      &context, [&](Diagnostic &diagnostic) { error += diagnostic.str(); });
  Emission emission{*module, target, loc, builder, scratch};
  LogicalResult result = phase(emission, function.getArguments());
  if (succeeded(result) && failed(verify(*module)))
    error = "the module is invalid: " + error;
  if (failed(result))
    function.erase();
  return error;
}

/// What ptxas says of a kernel that spills, or that serializes wgmma.
static void expectNoComplaints(const std::string &messages) {
  llvm::Regex bad("([1-9][0-9]* bytes spill|warning|C75[0-9][0-9])");
  SmallVector<StringRef> lines;
  StringRef(messages).split(lines, '\n');
  StringRef kernel;
  for (StringRef line : lines) {
    if (line.contains("Compiling entry function"))
      kernel = line;
    EXPECT_FALSE(bad.match(line)) << kernel.str() << "\n" << line.str();
  }
}

void Kernels::compile() {
  PassManager pm(&context);
  buildKernelLoweringPipeline(pm);
  ASSERT_TRUE(succeeded(pm.run(*module)));
  auto kernels = module->lookupSymbol<gpu::GPUModuleOp>(kKernelModuleName);
  ASSERT_TRUE(succeeded(compileToPTX(kernels, target, ptx)));
  EXPECT_TRUE(StringRef(ptx).contains(".target sm_90a"));
  if (findPtxas().empty())
    GTEST_SKIP() << "there is no ptxas; PTX was made but not assembled";
  llvm::Expected<Cubin> cubin = compileToCubin(ptx, target);
  ASSERT_TRUE(static_cast<bool>(cubin)) << llvm::toString(cubin.takeError());
  EXPECT_FALSE(cubin->code.empty());
  expectNoComplaints(cubin->messages);
}

int64_t Kernels::countKernels() {
  auto kernels = module->lookupSymbol<gpu::GPUModuleOp>(kKernelModuleName);
  if (!kernels)
    return 0;
  auto all = kernels.getOps<LLVM::LLVMFuncOp>();
  return std::distance(all.begin(), all.end());
}

int64_t Kernels::countLaunches() {
  int64_t count = 0;
  module->walk([&](schedule::LaunchOp) { ++count; });
  return count;
}

std::string Kernels::getText() {
  std::string text;
  llvm::raw_string_ostream(text) << *module;
  return text;
}
