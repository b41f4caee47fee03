//===- MoEInterfaces.td - What phases have in common -------*- tablegen -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_DIALECT_MOE_IR_MOEINTERFACES_TD
#define MOE_MLIR_DIALECT_MOE_IR_MOEINTERFACES_TD

include "mlir/IR/OpBase.td"

def MoE_PhaseOpInterface : OpInterface<"PhaseOpInterface"> {
  let cppNamespace = "::moe";
  let description = [{
    A phase of a layer: reads its inputs, writes its inits, and runs as a whole
    on one stream.
  }];
  let methods = [
    InterfaceMethod<"The phase's name for schedules and traces, such as \"shared experts\".",
      "::llvm::StringRef", "getPhaseName">
  ];
}

#endif // MOE_MLIR_DIALECT_MOE_IR_MOEINTERFACES_TD
