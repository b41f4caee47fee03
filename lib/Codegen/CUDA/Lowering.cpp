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
#include "llvm/ADT/StringSet.h"
#include "llvm/IR/LegacyPassManager.h"
#include "llvm/IR/Module.h"
#include "llvm/MC/TargetRegistry.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/FileUtilities.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/Parallel.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/Process.h"
#include "llvm/Support/Program.h"
#include "llvm/Support/TargetSelect.h"
#include "llvm/Support/raw_ostream.h"
#include "llvm/Target/TargetMachine.h"
#include "llvm/TargetParser/Triple.h"

#include <atomic>

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

namespace {
/// Some kernels on their way to PTX. Parts have nothing in common that two
/// threads could meet in.
struct Part {
  std::unique_ptr<llvm::LLVMContext> context;
  std::unique_ptr<llvm::TargetMachine> machine;
  std::unique_ptr<llvm::Module> module;
  std::string ptx;
};
} // namespace

static llvm::Expected<Part> translate(gpu::GPUModuleOp kernels,
                                      const Target &target) {
  llvm::Expected<std::unique_ptr<llvm::TargetMachine>> machine =
      createMachine(target);
  if (!machine)
    return machine.takeError();
  Part part{std::make_unique<llvm::LLVMContext>(), std::move(*machine), {}, {}};
  part.module = translateModuleToLLVMIR(kernels, *part.context);
  if (!part.module)
    return llvm::createStringError("cannot be translated to LLVM IR");
  part.module->setTargetTriple(part.machine->getTargetTriple());
  part.module->setDataLayout(part.machine->createDataLayout());
  return part;
}

/// False if there is no PTX for the architecture.
static bool emitPTX(Part &part) {
  moe::codegen::optimize(*part.module, *part.machine);
  llvm::SmallVector<char, 0> code;
  llvm::raw_svector_ostream stream(code);
  llvm::legacy::PassManager emitter;
  if (part.machine->addPassesToEmitFile(emitter, stream, nullptr,
                                        llvm::CodeGenFileType::AssemblyFile))
    return false;
  emitter.run(*part.module);
  part.ptx.assign(code.begin(), code.end());
  return true;
}

/// Copies of the module with a part of the kernels each, of about the same size
/// and in their order. What kernels share is in all of them.
static SmallVector<OwningOpRef<gpu::GPUModuleOp>>
splitKernels(gpu::GPUModuleOp kernels) {
  // More than most machines have cores, and not their number, on which the
  // result would depend.
  constexpr size_t kParts = 4;
  SmallVector<int64_t> sizes;
  for (auto kernel : kernels.getOps<LLVM::LLVMFuncOp>()) {
    int64_t size = 0;
    kernel.walk([&](Operation *) { ++size; });
    sizes.push_back(size);
  }
  // The largest first, each to the part that is the smallest so far.
  SmallVector<size_t> order(llvm::to_vector(llvm::seq(sizes.size())));
  llvm::stable_sort(order,
                    [&](size_t a, size_t b) { return sizes[a] > sizes[b]; });
  SmallVector<int64_t> filled(
      std::min(kParts, std::max<size_t>(1, sizes.size())));
  SmallVector<size_t> partOf(sizes.size());
  for (size_t kernel : order) {
    auto *least = llvm::min_element(filled);
    *least += sizes[kernel];
    partOf[kernel] = least - filled.begin();
  }
  SmallVector<OwningOpRef<gpu::GPUModuleOp>> parts;
  for (size_t part = 0; part < filled.size(); ++part) {
    parts.emplace_back(kernels.clone());
    auto all = llvm::to_vector(parts.back()->getOps<LLVM::LLVMFuncOp>());
    for (auto [number, kernel] : llvm::enumerate(all))
      if (partOf[number] != part)
        kernel.erase();
  }
  return parts;
}

/// The text of all parts as one: the head once, and declarations once.
static std::string joinPTX(ArrayRef<Part> parts) {
  std::string joined;
  llvm::StringSet<> once;
  for (const Part &part : parts)
    for (StringRef line : llvm::split(part.ptx, '\n'))
      if (!(line.starts_with(".version") || line.starts_with(".target") ||
            line.starts_with(".address_size") ||
            line.starts_with("\t.extern") || line.starts_with(".extern") ||
            line.starts_with("//")) ||
          once.insert(line).second)
        (joined += line) += '\n';
  return joined;
}

LogicalResult moe::codegen::cuda::compileToPTX(gpu::GPUModuleOp kernels,
                                               const Target &target,
                                               std::string &ptx) {
  std::vector<Part> parts;
  for (OwningOpRef<gpu::GPUModuleOp> &some : splitKernels(kernels)) {
    llvm::Expected<Part> part = translate(*some, target);
    if (!part)
      return kernels.emitError(llvm::toString(part.takeError()));
    parts.push_back(std::move(*part));
  }
  std::atomic<bool> isEmitted = true;
  llvm::parallelForEach(parts, [&](Part &part) {
    if (!emitPTX(part))
      isEmitted = false;
  });
  if (!isEmitted)
    return kernels.emitError("no PTX for architecture ") << target.chip;
  ptx = joinPTX(parts);
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
