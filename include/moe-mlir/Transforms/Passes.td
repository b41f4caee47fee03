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

#endif // MOE_MLIR_TRANSFORMS_PASSES_TD
