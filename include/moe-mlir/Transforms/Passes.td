//===- Passes.td - From layers to verified schedules -------*- tablegen -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_TRANSFORMS_PASSES_TD
#define MOE_MLIR_TRANSFORMS_PASSES_TD

include "mlir/Pass/PassBase.td"

def ScheduleVerify : Pass<"schedule-verify"> {
  let summary = "prove a schedule free of races";
  let description = [{
    Runs the happens-before analysis of `HappensBefore.h` on every function that
    issues work, and fails with both places of everything that it finds:
    conflicting work that no event orders, a missing fork or join, reads of what
    nothing has written, writes that nothing reads, writes to inputs, and
    collectives whose order may differ between ranks. It shares no code with the
    passes that place events, and works on anybody's `schedule` IR.

    It runs on any op: on a function, or on all functions of a module.
  }];
}

def PlanWorkspace : Pass<"schedule-plan-workspace", "::mlir::ModuleOp"> {
  let summary = "put temporaries into slots of a workspace of the caller's";
  let description = [{
    Every `memref.alloc` of a function that issues work becomes a slice of one
    workspace, which the function gets as its last argument, and the size of
    which it gets as attribute `schedule.workspace_size`. A function without
    allocations stays as it is.

    Sizes are bounded by a linear form of the tokens of this rank (dimension 0
    of the argument with `schedule.tokens`, or else of the first buffer whose
    dimension 0 is dynamic) and of all ranks (`schedule.total_tokens`), through
    index arithmetic; dimensions of other arguments need `schedule.max_shape`.

    Slots are placed largest first at the lowest offset that fits. Two overlap
    only if the happens-before analysis orders their lives on every path.

    ```mlir
    // before
    func.func @f(%x: memref<?x64xf32>) {
      %t = memref.dim %x, %c0 : memref<?x64xf32>
      %h = memref.alloc(%t) : memref<?x64xf32>
      ...
    // after
    func.func @f(%x: memref<?x64xf32>, %ws: memref<?xi8> {schedule.workspace})
        attributes {schedule.workspace_size = affine_map<(t, n) -> (t * 256)>} {
      %t = memref.dim %x, %c0 : memref<?x64xf32>
      %n = schedule.total_tokens : index
      %w = schedule.workspace %ws(%t, %n) slots [
        #schedule.slot<"hidden", offset = (t, n) -> (0),
                                 size = (t, n) -> (t * 256)>] : memref<?xi8>
      %h = schedule.slice %w["hidden"](%t) : memref<?x64xf32>
      ...
    ```
  }];
  let dependentDialects = ["::mlir::arith::ArithDialect",
                           "::mlir::memref::MemRefDialect",
                           "::moe::schedule::ScheduleDialect"];
}

#endif // MOE_MLIR_TRANSFORMS_PASSES_TD
