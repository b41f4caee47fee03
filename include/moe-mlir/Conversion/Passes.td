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

def MoEFusePhases : Pass<"moe-fuse-phases", "::mlir::func::FuncOp"> {
  let summary = "make one op of phases that one kernel of the target computes";
  let description = [{
    Where the target has a kernel for several phases, and the schedule lets them
    stand together, they become a `moe.fused` in the run of the last one, and
    what one handed to the other is no buffer any longer.

    One fusion is known: a merge sums the experts' rows itself where it alone
    needs the sums. Target cuda has a kernel for it, target cpu has not.

    Before:

    ```mlir
    schedule.run on(compute) label("combine") {
      moe.combine ins(%rows, %pairs ...) weights(%weights ...) outs(%sums ...)
    }
    schedule.run on(compute) after(%done) label("merge") {
      moe.merge ins(%sums ...) shared(%shared ...) outs(%y ...)
    }
    ```

    After:

    ```mlir
    schedule.run on(compute) after(%done) label("merge") {
      moe.fused {
      ^bb0(%sums: memref<?x64xf32>):
        moe.combine ins(%rows, %pairs ...) weights(%weights ...) outs(%sums ...)
        moe.merge ins(%sums ...) shared(%shared ...) outs(%y ...)
      }
    }
    ```
  }];
  let options = [
    Option<"target", "target", "std::string", "::moe::CompileOptions().target",
           "the target: cpu or cuda">
  ];
}

def MoEGenerateKernels : Pass<"moe-generate-kernels", "::mlir::ModuleOp"> {
  let summary = "turn each phase into launches of generated kernels";
  let description = [{
    Inside every `schedule.run`, replaces a phase, or a step of one, by
    `schedule.launch`es of kernels that the target's table has for it
    (`lib/Codegen/*/Kernels.cpp`). Equal kernels are emitted once. Every launch
    declares the buffers that it reads and writes; scratch becomes a
    `memref.alloc` at the entry of the function, which
    `--schedule-plan-workspace` turns into a slot.

    Before:

    ```mlir
    schedule.run on(compute) label("gate") {
      moe.gate ins(%x, %w ...) outs(%logits ...)
    }
    ```

    After:

    ```mlir
    schedule.run on(compute) label("gate") {
      schedule.launch @moe_gate grid(%blocks) label("gate") reads(%x, %w ...) writes(%logits ...)
    }
    ```

    With target cuda, `moe.gemm_tiles` on a phase or on the function replaces the
    tiles that would be chosen for matrix products:

    ```mlir
    func.func @layer(...) attributes {moe.gemm_tiles = {experts.up =
      #moe.gemm_tile<rows = 64, row_step = 32, weights = 256, stages = 4, consumers = 2>}}
    ```

    What the target cannot run is an error that names the phase and what it
    needs. Phases that need other ranks are steps already
    (`--moe-lower-exchanges`).
  }];
  let options = [
    Option<"target", "target", "std::string", "::moe::CompileOptions().target",
           "the target: cpu or cuda">,
    Option<"cpu", "cpu", "std::string", "::moe::CompileOptions().cpu",
           "the instruction set of target cpu: host, or LLVM's name of a CPU">,
    Option<"chip", "chip", "std::string", "::moe::CompileOptions().chip",
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
    - the signature as constant data, with the ranks of `schedule.grid`, its
      communicators and the bound of `schedule.max_num_tokens`, and, where the module holds one scheduled
      function, the symbol `moert_artefact` with the text of the module's
      attribute `schedule.descriptor`.

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
