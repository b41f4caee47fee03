//===- Print.h - Schedules as pictures and data -----------------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_DIALECT_SCHEDULE_ANALYSIS_PRINT_H
#define MOE_MLIR_DIALECT_SCHEDULE_ANALYSIS_PRINT_H

#include "moe-mlir/Dialect/Schedule/IR/Schedule.h"

#include "mlir/Interfaces/FunctionInterfaces.h"
#include "llvm/Support/JSON.h"

namespace moe::schedule {

/// Prints the runs and marks of a function in Graphviz's language: a column per
/// stream, solid edges for program order, dashed edges for events.
void printDot(mlir::FunctionOpInterface function, llvm::raw_ostream &os);

/// The same as data:
///
/// {"function": name, "streams": [name, ...],
///  "buffers": [{"id": 0, "kind": text,      input, inout, output, slot, ...
///               "name": text,               as printed IR calls it
///               "type": text or null}, ...],
///  "steps": [{"id": 0, "kind": "run" or "mark", "stream": name,
///             "label": text or null,
///             "ops": [op name, ...],        what the run's body holds
///             "path": [text, ...],          the branches and loops around it
///             "follows": [id, ...],         program order on the stream
///             "waits": [id, ...],           events
///             "reads": [buffer id, ...],
///             "writes": [buffer id, ...]}, ...]}
///
/// A step that follows a branch follows the last step of each arm.
llvm::json::Value toJson(mlir::FunctionOpInterface function);

} // namespace moe::schedule

#endif // MOE_MLIR_DIALECT_SCHEDULE_ANALYSIS_PRINT_H
