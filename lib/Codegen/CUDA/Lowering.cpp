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
#include "mlir/IR/Threading.h"
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
#include "llvm/Support/Path.h"
#include "llvm/Support/Process.h"
#include "llvm/Support/Program.h"
#include "llvm/Support/TargetSelect.h"
#include "llvm/Support/raw_ostream.h"
#include "llvm/Target/TargetMachine.h"
#include "llvm/TargetParser/Triple.h"
#include <sys/personality.h>

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

void moe::codegen::cuda::buildKernelLoweringPipeline(OpPassManager &pm) {
  // Kernel by kernel, for threads to share the work.
  OpPassManager &kernels = pm.nest<gpu::GPUModuleOp>().nest<LLVM::LLVMFuncOp>();
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

/// Compiles kernels, which have nothing in common with others that another
/// thread could meet in.
static llvm::Expected<std::string> emitPTX(gpu::GPUModuleOp kernels,
                                           const Target &target) {
  llvm::Expected<std::unique_ptr<llvm::TargetMachine>> machine =
      createMachine(target);
  if (!machine)
    return machine.takeError();
  llvm::LLVMContext context;
  std::unique_ptr<llvm::Module> module =
      translateModuleToLLVMIR(kernels, context);
  if (!module)
    return llvm::createStringError("cannot be translated to LLVM IR");
  module->setTargetTriple((*machine)->getTargetTriple());
  module->setDataLayout((*machine)->createDataLayout());
  moe::codegen::optimize(*module, **machine);
  llvm::SmallVector<char, 0> code;
  llvm::raw_svector_ostream stream(code);
  llvm::legacy::PassManager emitter;
  if ((*machine)->addPassesToEmitFile(emitter, stream, nullptr,
                                      llvm::CodeGenFileType::AssemblyFile))
    return llvm::createStringError("no PTX for architecture " + target.chip);
  emitter.run(*module);
  return std::string(code.begin(), code.end());
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
    parts.emplace_back(cast<gpu::GPUModuleOp>(kernels->cloneWithoutRegions()));
    OpBuilder b =
        OpBuilder::atBlockBegin(&parts.back()->getBodyRegion().emplaceBlock());
    size_t number = 0;
    for (Operation &op : *kernels.getBody())
      if (!isa<LLVM::LLVMFuncOp>(op) || partOf[number++] == part)
        b.clone(op);
  }
  return parts;
}

/// The text of all parts as one: the head once, and declarations once.
static std::string joinPTX(ArrayRef<std::string> parts) {
  std::string joined;
  llvm::StringSet<> once;
  for (StringRef part : parts)
    for (StringRef line : llvm::split(part, '\n'))
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
  SmallVector<OwningOpRef<gpu::GPUModuleOp>> parts = splitKernels(kernels);
  std::vector<std::string> texts(parts.size());
  auto compile = [&](size_t part) -> LogicalResult {
    llvm::Expected<std::string> text = emitPTX(*parts[part], target);
    if (!text)
      return kernels.emitError(llvm::toString(text.takeError()));
    texts[part] = std::move(*text);
    return success();
  };
  if (failed(failableParallelForEachN(kernels.getContext(), 0, parts.size(),
                                      compile)))
    return failure();
  ptx = joinPTX(texts);
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

namespace {
/// While it lives, programs that this thread starts get their memory at the
/// same addresses each time: ptxas 13.0 allocates registers by what its
/// addresses are. Where a container forbids this, cubins differ from one
/// compilation to another.
class SameAddresses {
public:
  SameAddresses() : before(personality(0xffffffff)) {
    if (before != -1)
      personality(static_cast<unsigned long>(before) | ADDR_NO_RANDOMIZE);
  }
  ~SameAddresses() {
    if (before != -1)
      personality(static_cast<unsigned long>(before));
  }
  SameAddresses(const SameAddresses &) = delete;
  SameAddresses &operator=(const SameAddresses &) = delete;

private:
  const int before;
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
  SameAddresses same;
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
