//===- Passes.td - Passes that lower CPU kernels -----------*- tablegen -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_CODEGEN_CPU_PASSES
#define MOE_MLIR_CODEGEN_CPU_PASSES

include "mlir/Pass/PassBase.td"

def LowerRowContractions
    : Pass<"moe-cpu-lower-row-contractions", "mlir::func::FuncOp"> {
  let summary = "Turn the contractions of GEMM kernels into vector code";
  let description = [{
    Rewrites each `linalg.generic` that multiplies a few rows with a tile of
    weights, all contiguous along the summed dimension k:

    ```mlir
    linalg.generic {
        indexing_maps = [(n, k) -> (k), (n, k) -> (k),       // rows
                         (n, k) -> (n, k),                   // weights
                         (n, k) -> (n), (n, k) -> (n)],      // sums
        iterator_types = ["parallel", "reduction"]}
      ins(%row0, %row1, %weights : memref<Kxbf16>, memref<Kxbf16>,
                                   memref<NxKxbf16>)
      outs(%sum0, %sum1 : memref<Nxf32>, memref<Nxf32>) {
        // sum_i += extf(row_i) * extf(weights)
    }
    ```

    into loops over groups of columns whose partial sums stay in registers: one
    vector of sums for each row and column, advanced along k by fused
    multiply-adds. The order in which the products of one sum are added
    depends on k alone.
  }];
  let options = [
    Option<"cpu", "cpu", "std::string", "\"host\"",
           "the instruction set, whose vector registers are used: host, or "
           "LLVM's name of a CPU">,
  ];
  let dependentDialects = [
    "mlir::arith::ArithDialect", "mlir::scf::SCFDialect",
    "mlir::vector::VectorDialect"
  ];
}

def ApproximateMath
    : Pass<"moe-cpu-approximate-math", "mlir::func::FuncOp"> {
  let summary = "Expand math functions into polynomials on vectors";
  let description = [{
    Replaces `math.exp`, `math.log1p`, `math.tanh` and `math.erf` by polynomials
    in fused multiply-adds, so that no element costs a call to libm, and
    conversions from and to bf16 by integer arithmetic that rounds to nearest
    even on every instruction set.
  }];
  let dependentDialects = [
    "mlir::arith::ArithDialect", "mlir::math::MathDialect",
    "mlir::vector::VectorDialect"
  ];
}

def AddKernelEntries : Pass<"moe-cpu-add-kernel-entries", "mlir::ModuleOp"> {
  let summary = "Give kernels the entry that the runtime calls";
  let description = [{
    Renames every kernel `@k` to `@k_body`, makes it private, and adds

    ```mlir
    llvm.func @k(%arguments: !llvm.ptr, %block: i64)
    ```

    which unpacks the arguments (Lowering.h says how they are packed) and calls
    the body.
  }];
  let options = [
    Option<"cpu", "cpu", "std::string", "\"\"",
           "the instruction set that is set on the functions: host, or LLVM's "
           "name of a CPU and features, such as x86-64-v3,-fma; empty: none">,
  ];
  let dependentDialects = [
    "mlir::func::FuncDialect", "mlir::LLVM::LLVMDialect"
  ];
}

#endif // MOE_MLIR_CODEGEN_CPU_PASSES
