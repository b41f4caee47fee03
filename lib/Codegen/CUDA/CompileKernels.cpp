//===- CompileKernels.cpp - GPU modules to PTX or machine code ------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moe-mlir/Codegen/CUDA/Lowering.h"

#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/Pass/Pass.h"

namespace moe::codegen::cuda {
#define GEN_PASS_DEF_COMPILEKERNELS
#include "moe-mlir/Codegen/CUDA/Passes.h.inc"
} // namespace moe::codegen::cuda

using namespace mlir;
using namespace moe::codegen::cuda;

namespace {
struct CompileKernels
    : moe::codegen::cuda::impl::CompileKernelsBase<CompileKernels> {
  using CompileKernelsBase::CompileKernelsBase;

  void runOnOperation() override {
    llvm::Expected<Target> target = Target::parse(chip);
    if (!target) {
      getOperation().emitError(llvm::toString(target.takeError()));
      return signalPassFailure();
    }
    if (format != "auto" && format != "cubin" && format != "ptx") {
      getOperation().emitError("expected format 'auto', 'cubin' or 'ptx' but "
                               "got '")
          << format << "'";
      return signalPassFailure();
    }
    for (auto kernels :
         llvm::make_early_inc_range(getOperation().getOps<gpu::GPUModuleOp>()))
      if (failed(compile(kernels, *target)))
        return signalPassFailure();
  }

  LogicalResult compile(gpu::GPUModuleOp kernels, const Target &target) {
    std::string code;
    if (failed(compileToPTX(kernels, target, code)))
      return failure();
    auto kind = gpu::CompilationTarget::Assembly;
    if (format == "cubin" || (format == "auto" && !findPtxas().empty())) {
      llvm::Expected<Cubin> cubin = compileToCubin(code, target);
      if (!cubin)
        return kernels.emitError(llvm::toString(cubin.takeError()));
      code.assign(cubin->code.begin(), cubin->code.end());
      kind = gpu::CompilationTarget::Binary;
    }
    OpBuilder b(kernels);
    auto nvvm = NVVM::NVVMTargetAttr::get(&getContext(), /*optLevel=*/3,
                                          "nvptx64-nvidia-cuda", target.chip,
                                          target.features);
    auto object =
        gpu::ObjectAttr::get(&getContext(), nvvm, kind, b.getStringAttr(code),
                             DictionaryAttr(), gpu::KernelTableAttr());
    gpu::BinaryOp::create(b, kernels.getLoc(), kernels.getName(),
                          /*offloadingHandler=*/Attribute(),
                          b.getArrayAttr({object}));
    kernels.erase();
    return success();
  }
};
} // namespace
