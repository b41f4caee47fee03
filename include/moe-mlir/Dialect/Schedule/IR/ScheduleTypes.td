//===- ScheduleTypes.td - Events and the workspace ---------*- tablegen -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_DIALECT_SCHEDULE_IR_SCHEDULETYPES_TD
#define MOE_MLIR_DIALECT_SCHEDULE_IR_SCHEDULETYPES_TD

include "mlir/IR/AttrTypeBase.td"
include "moe-mlir/Dialect/Schedule/IR/ScheduleDialect.td"

class Schedule_Type<string name, string typeMnemonic>
    : TypeDef<Schedule_Dialect, name> {
  let mnemonic = typeMnemonic;
}

def Schedule_EventType : Schedule_Type<"Event", "event"> {
  let summary = "a point in the work of one stream";
  let description = [{
    An event names all work issued to its stream so far. Waiting for it costs
    the waiting stream, never the host. Events do not cross control flow: each
    arm of a branch joins what it forked.
  }];
}

def Schedule_WorkspaceType : Schedule_Type<"Workspace", "workspace"> {
  let summary = "the caller's workspace, cut into slots";
}

#endif // MOE_MLIR_DIALECT_SCHEDULE_IR_SCHEDULETYPES_TD
