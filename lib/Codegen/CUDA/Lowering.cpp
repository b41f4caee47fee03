//===- Lowering.cpp - From CUDA kernels to PTX and machine code -----------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moe-mlir/Codegen/CUDA/Lowering.h"

#include "../Optimize.h"

#include "mlir/Conversion/ArithToLLVM/ArithToLLVM.h"
#include "mlir/Conversion/ControlFlowToLLVM/ControlFlowToLLVM.h"
#include "mlir/Conversion/NVVMToLLVM/NVVMToLLVM.h"
#include "mlir/Conversion/Passes.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/ControlFlow/IR/ControlFlow.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Target/LLVMIR/Dialect/Builtin/BuiltinToLLVMIRTranslation.h"
#include "mlir/Target/LLVMIR/Dialect/GPU/GPUToLLVMIRTranslation.h"
#include "mlir/Target/LLVMIR/Dialect/LLVMIR/LLVMToLLVMIRTranslation.h"
#include "mlir/Target/LLVMIR/Dialect/NVVM/NVVMToLLVMIRTranslation.h"
#include "mlir/Target/LLVMIR/Export.h"
#include "mlir/Transforms/Passes.h"
#include "llvm/IR/LegacyPassManager.h"
#include "llvm/IR/Module.h"
#include "llvm/MC/TargetRegistry.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/FileUtilities.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/Process.h"
#include "llvm/Support/Program.h"
#include "llvm/Support/TargetSelect.h"
#include "llvm/Support/raw_ostream.h"
#include "llvm/Target/TargetMachine.h"
#include "llvm/TargetParser/Triple.h"

using namespace mlir;
using namespace moe::codegen::cuda;

//===----------------------------------------------------------------------===//
// Dialects and passes
//===----------------------------------------------------------------------===//

void moe::codegen::cuda::registerDialects(DialectRegistry &registry) {
  registry.insert<arith::ArithDialect, cf::ControlFlowDialect, gpu::GPUDialect,
                  LLVM::LLVMDialect, memref::MemRefDialect, NVVM::NVVMDialect,
                  scf::SCFDialect>();
  arith::registerConvertArithToLLVMInterface(registry);
  cf::registerConvertControlFlowToLLVMInterface(registry);
  registerConvertNVVMToLLVMInterface(registry);
  registerBuiltinDialectTranslation(registry);
  registerGPUDialectTranslation(registry);
  registerLLVMDialectTranslation(registry);
  registerNVVMDialectTranslation(registry);
}

void moe::codegen::cuda::buildKernelLoweringPipeline(OpPassManager &pm,
                                                     const Target &target) {
  OpPassManager &kernels = pm.nest<gpu::GPUModuleOp>();
  // The generators write address arithmetic again at every access.
  kernels.addPass(createCanonicalizerPass());
  kernels.addPass(createCSEPass());
  kernels.addPass(createSCFToControlFlowPass());
  // Not convert-cf-to-llvm: it refuses to run inside of a gpu.module.
  kernels.addPass(createConvertToLLVMPass());
  kernels.addPass(createReconcileUnrealizedCastsPass());
}

//===----------------------------------------------------------------------===//
// PTX
//===----------------------------------------------------------------------===//

static constexpr llvm::StringLiteral kTriple = "nvptx64-nvidia-cuda";

static llvm::Expected<std::unique_ptr<llvm::TargetMachine>>
createMachine(const Target &target) {
  static const bool registered = [] {
    LLVMInitializeNVPTXTargetInfo();
    LLVMInitializeNVPTXTarget();
    LLVMInitializeNVPTXTargetMC();
    LLVMInitializeNVPTXAsmPrinter();
    return true;
  }();
  (void)registered;
  std::string message;
  llvm::Triple triple(kTriple);
  const llvm::Target *backend =
      llvm::TargetRegistry::lookupTarget(triple, message);
  if (!backend)
    return llvm::createStringError("no code generator for " + kTriple + ": " +
                                   message);
  return std::unique_ptr<llvm::TargetMachine>(backend->createTargetMachine(
      triple, target.chip, target.features, llvm::TargetOptions(), std::nullopt,
      std::nullopt, llvm::CodeGenOptLevel::Aggressive));
}

LogicalResult moe::codegen::cuda::compileToPTX(gpu::GPUModuleOp kernels,
                                               const Target &target,
                                               std::string &ptx) {
  llvm::Expected<std::unique_ptr<llvm::TargetMachine>> machine =
      createMachine(target);
  if (!machine)
    return kernels.emitError(llvm::toString(machine.takeError()));
  llvm::LLVMContext context;
  std::unique_ptr<llvm::Module> module =
      translateModuleToLLVMIR(kernels, context);
  if (!module)
    return kernels.emitError("cannot be translated to LLVM IR");
  module->setTargetTriple((*machine)->getTargetTriple());
  module->setDataLayout((*machine)->createDataLayout());
  moe::codegen::optimize(*module, **machine);

  llvm::SmallVector<char, 0> code;
  llvm::raw_svector_ostream stream(code);
  llvm::legacy::PassManager emitter;
  if ((*machine)->addPassesToEmitFile(emitter, stream, nullptr,
                                      llvm::CodeGenFileType::AssemblyFile))
    return kernels.emitError("no PTX for architecture ") << target.chip;
  emitter.run(*module);
  ptx.assign(code.begin(), code.end());
  return success();
}

//===----------------------------------------------------------------------===//
// Machine code
//===----------------------------------------------------------------------===//

std::string moe::codegen::cuda::findPtxas() {
  if (auto found = llvm::sys::findProgramByName("ptxas"))
    return *found;
  SmallVector<std::string> folders;
  if (std::optional<std::string> home = llvm::sys::Process::GetEnv("CUDA_HOME"))
    folders.push_back(*home + "/bin");
  folders.push_back("/usr/local/cuda/bin");
  SmallVector<StringRef> paths(folders.begin(), folders.end());
  auto found = llvm::sys::findProgramByName("ptxas", paths);
  return found ? *found : std::string();
}

static llvm::Expected<std::string> readFile(StringRef path) {
  auto buffer = llvm::MemoryBuffer::getFile(path);
  if (!buffer)
    return llvm::createStringError(buffer.getError(),
                                   "cannot read '" + path + "'");
  return (*buffer)->getBuffer().str();
}

namespace {
/// A temporary file that is gone at the end of the scope.
struct TemporaryFile {
  SmallString<64> path;
  llvm::FileRemover remover;

  llvm::Error create(StringRef suffix) {
    if (std::error_code error =
            llvm::sys::fs::createTemporaryFile("moe-kernels", suffix, path))
      return llvm::createStringError(error, "cannot create a temporary file");
    remover.setFile(path);
    return llvm::Error::success();
  }
};
} // namespace

llvm::Expected<Cubin> moe::codegen::cuda::compileToCubin(StringRef ptx,
                                                         const Target &target) {
  std::string ptxas = findPtxas();
  if (ptxas.empty())
    return llvm::createStringError("expected ptxas on the PATH, in "
                                   "$CUDA_HOME/bin or in /usr/local/cuda/bin "
                                   "but found none");
  TemporaryFile source, object, log;
  if (llvm::Error error = llvm::joinErrors(
          source.create("ptx"),
          llvm::joinErrors(object.create("cubin"), log.create("log"))))
    return error;
  std::error_code code;
  llvm::raw_fd_ostream stream(source.path, code);
  stream << ptx;
  stream.close();
  if (stream.has_error())
    return llvm::createStringError(stream.error(),
                                   "cannot write '" + source.path + "'");

  // As many kernels at once as there are cores.
  SmallVector<StringRef> arguments{ptxas,       "-arch", target.chip,
                                   "-O3",       "-v",    "--split-compile=0",
                                   source.path, "-o",    object.path};
  std::optional<StringRef> redirects[] = {StringRef(), log.path.str(),
                                          log.path.str()};
  std::string message;
  int status = llvm::sys::ExecuteAndWait(ptxas, arguments, std::nullopt,
                                         redirects, 0, 0, &message);
  llvm::Expected<std::string> messages = readFile(log.path);
  if (!messages)
    return messages.takeError();
  if (status != 0)
    return llvm::createStringError("ptxas failed: " + message + *messages);
  llvm::Expected<std::string> bytes = readFile(object.path);
  if (!bytes)
    return bytes.takeError();
  return Cubin{llvm::SmallVector<char, 0>(bytes->begin(), bytes->end()),
               std::move(*messages)};
}
