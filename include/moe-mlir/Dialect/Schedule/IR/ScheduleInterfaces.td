//===- ScheduleInterfaces.td - What schedules ask of ops ---*- tablegen -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_DIALECT_SCHEDULE_IR_SCHEDULEINTERFACES_TD
#define MOE_MLIR_DIALECT_SCHEDULE_IR_SCHEDULEINTERFACES_TD

include "mlir/IR/OpBase.td"

def Schedule_CollectiveOpInterface : OpInterface<"CollectiveOpInterface"> {
  let cppNamespace = "::moe::schedule";
  let description = [{
    An op that may exchange data with other ranks. All ranks of a communicator
    must issue its collectives in one order, on every path through the program,
    or they deadlock: the verifier compares what this interface tells.
  }];
  let methods = [
    InterfaceMethod<"The communicator's name; empty where the op exchanges nothing.",
      "::std::string", "getCommunicatorName">,
    InterfaceMethod<[{
      What is exchanged, such as "all_reduce" or "dispatch": two ranks match if
      their sequences of names match.
    }], "::std::string", "getCollectiveName">
  ];
}

#endif // MOE_MLIR_DIALECT_SCHEDULE_IR_SCHEDULEINTERFACES_TD
