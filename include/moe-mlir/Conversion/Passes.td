//===- Passes.td - From schedules to runtime calls ---------*- tablegen -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_CONVERSION_PASSES_TD
#define MOE_MLIR_CONVERSION_PASSES_TD

include "mlir/Pass/PassBase.td"

def LowerToKernels : Pass<"moe-lower-to-kernels", "::mlir::ModuleOp"> {
  let summary = "turn each phase into launches of generated kernels";
  let description = [{
    Inside every `schedule.run`, replaces a phase of a layer by
    `schedule.launch`es of kernels that the target's generator emits into the
    module. Equal kernels are emitted once. Every launch declares the buffers
    that it reads and writes; scratch becomes a `memref.alloc` at the entry of
    the function, which `--schedule-plan-workspace` turns into a slot.

    On target cuda, a merge sums the experts' rows itself where it alone needs
    the sums (`FuseCombine.cpp` says when): the run of the `moe.combine` goes,
    and so does the buffer between the two.

    ```mlir
    schedule.run on(compute) label("combine") {
      moe.combine ins(%rows, %pairs) weights(%weights) outs(%sums)
    }
    schedule.run on(compute) after(%done) label("merge") {
      moe.merge ins(%sums) shared(%shared) outs(%y)
    }
    ```

    becomes

    ```mlir
    schedule.run on(compute) after(%done) label("merge") {
      schedule.launch @kernels::@combine_merge grid(%blocks) label("combine+merge")
          reads(%rows, %pairs, %weights, %shared) writes(%y)
    }
    ```

    With target cuda, `moe.gemm_tiles` on a phase or on the function replaces the
    tiles that would be chosen for matrix products:

    ```mlir
    func.func @layer(...) attributes {moe.gemm_tiles = {experts.up =
      #moe.gemm_tile<rows = 64, row_step = 32, weights = 256, stages = 4, consumers = 2>}}
    ```

    What the target cannot run is an error that names the phase and what it
    needs.
  }];
  let options = [
    Option<"target", "target", "std::string", "\"cpu\"",
           "the target: cpu or cuda">,
    Option<"cpu", "cpu", "std::string", "\"host\"",
           "the instruction set of target cpu: host, or LLVM's name of a CPU">,
    Option<"chip", "chip", "std::string", "\"sm_90a\"",
           "the architecture of target cuda">
  ];
  let dependentDialects = [
    "::mlir::arith::ArithDialect", "::mlir::func::FuncDialect",
    "::mlir::gpu::GPUDialect", "::mlir::linalg::LinalgDialect",
    "::mlir::LLVM::LLVMDialect", "::mlir::math::MathDialect",
    "::mlir::memref::MemRefDialect", "::mlir::NVVM::NVVMDialect",
    "::mlir::scf::SCFDialect",
    "::mlir::vector::VectorDialect", "::moe::schedule::ScheduleDialect"
  ];
}

def ConvertScheduleToRuntime
    : Pass<"convert-schedule-to-runtime", "::mlir::ModuleOp"> {
  let summary = "turn schedules into calls of the runtime";
  let description = [{
    For every scheduled function `@name`, makes the artefact's interface:

    - `@<name>_run(call) -> status`: checks the call against the function's
      signature, takes buffers from its tensors and workspace, and issues the
      schedule through the functions of `moert/RuntimeFunctions.def`;
    - `@<name>_workspace_size(tokens, tokens of all ranks)`;
    - the signature as constant data, and, where the module holds one scheduled
      function, the symbol `moert_artefact` with the text of the module's
      attribute `moe.descriptor`.

    The kernels must have their entries already (`--moe-cpu-add-kernel-entries`).
    What is left is standard MLIR on its way to LLVM.
  }];
  let dependentDialects = [
    "::mlir::arith::ArithDialect", "::mlir::cf::ControlFlowDialect",
    "::mlir::func::FuncDialect", "::mlir::LLVM::LLVMDialect",
    "::mlir::memref::MemRefDialect"
  ];
}

#endif // MOE_MLIR_CONVERSION_PASSES_TD
