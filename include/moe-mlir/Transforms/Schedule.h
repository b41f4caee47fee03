//===- Schedule.h - Choosing and building a schedule ------------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_TRANSFORMS_SCHEDULE_H
#define MOE_MLIR_TRANSFORMS_SCHEDULE_H

#include "moe-mlir/Dialect/MoE/IR/MoE.h"
#include "moe-mlir/Policy/Decision.h"
#include "moe-mlir/Policy/Explain.h"

#include "mlir/Interfaces/FunctionInterfaces.h"

namespace moe {

/// What decides a function's schedule besides the function itself.
struct ScheduleOptions {
  /// Not owned; outlives the call.
  const policy::RuleSet *ruleSet = nullptr;
  policy::KernelTraits kernel;
  policy::Platform platform;
  /// Without costs: they are taken from the layer and the machine.
  policy::DecisionOptions decision;
  /// For rule sets that choose by cost.
  policy::MachineModel machine;
};

/// Puts every phase of a bufferized function into a `schedule.run`, in the
/// order that the policy decides for each layer, with the events that the
/// buffers ask for. Where the number of tokens decides, both schedules are
/// built and chosen between at run time. Records the decisions as attribute
/// `moe.decisions` of the function, and in `moe.layers` the plans of layers
/// whose phases were written by hand.
mlir::LogicalResult scheduleFunction(mlir::FunctionOpInterface function,
                                     const ScheduleOptions &options);

/// An entry of `moe.decisions`.
DecisionAttr
getDecisionAttr(mlir::MLIRContext *context, llvm::StringRef layer,
                const policy::Decision &decision,
                const std::optional<policy::BatchDecision> &batches);

/// The decision that an entry records.
policy::Decision readDecision(DecisionAttr attr);

/// What it records about two batches, where they were asked for.
std::optional<policy::BatchDecision> readBatches(DecisionAttr attr);

/// Everything that can be told about the schedule of a function's first layer,
/// at any level from the schedule to the workspace. `tokens` is the number of
/// rows to explain, where there is one.
mlir::FailureOr<policy::Explanation>
explainFunction(mlir::FunctionOpInterface function,
                std::optional<int64_t> tokens);

} // namespace moe

#endif // MOE_MLIR_TRANSFORMS_SCHEDULE_H
