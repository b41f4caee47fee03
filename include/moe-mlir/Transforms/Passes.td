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

def ScheduleVerify
    : InterfacePass<"schedule-verify", "::mlir::FunctionOpInterface"> {
  let summary = "prove a schedule free of races";
  let description = [{
    Runs the happens-before analysis of `HappensBefore.h` on every function that
    issues work and fails with both places of each unordered conflict. It shares
    no code with the passes that place events, and works on anybody's `schedule`
    IR.
  }];
}

#endif // MOE_MLIR_TRANSFORMS_PASSES_TD
