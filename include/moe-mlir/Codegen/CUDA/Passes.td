//===- Passes.td - Passes that compile CUDA kernels --------*- tablegen -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_CODEGEN_CUDA_PASSES
#define MOE_MLIR_CODEGEN_CUDA_PASSES

include "mlir/Pass/PassBase.td"

def CompileKernels : Pass<"moe-cuda-compile-kernels", "::mlir::ModuleOp"> {
  let summary = "Compile GPU kernels to PTX or machine code";
  let description = [{
    Replaces each `gpu.module` of kernels in the LLVM and NVVM dialects by a
    `gpu.binary` of the same name with one object:

    ```mlir
    gpu.binary @kernels [#gpu.object<#nvvm.target<chip = "sm_90a">, bin = "...">]
    ```

    Unlike `gpu-module-to-binary`, a missing ptxas is no error, since the driver
    compiles PTX too.
  }];
  let options = [
    Option<"chip", "chip", "std::string", "\"sm_90a\"",
           "the architecture of the GPU">,
    Option<"format", "format", "std::string", "\"auto\"",
           "cubin, ptx, or auto: cubin where ptxas is found">
  ];
  let dependentDialects = [
    "::mlir::gpu::GPUDialect", "::mlir::NVVM::NVVMDialect"
  ];
}

#endif // MOE_MLIR_CODEGEN_CUDA_PASSES
