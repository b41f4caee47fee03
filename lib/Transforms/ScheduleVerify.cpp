//===- ScheduleVerify.cpp - Prove a schedule free of races ----------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moe-mlir/Dialect/Schedule/Analysis/HappensBefore.h"
#include "moe-mlir/Transforms/Passes.h"

#include "mlir/IR/Threading.h"
#include <atomic>

namespace moe {
#define GEN_PASS_DEF_SCHEDULEVERIFY
#include "moe-mlir/Transforms/Passes.h.inc"
} // namespace moe

using namespace mlir;

namespace {
struct ScheduleVerify : moe::impl::ScheduleVerifyBase<ScheduleVerify> {
  void runOnOperation() override {
    markAllAnalysesPreserved();
    SmallVector<FunctionOpInterface> functions;
    getOperation()->walk([&](FunctionOpInterface function) {
      if (moe::schedule::HappensBefore::issuesWork(function))
        functions.push_back(function);
    });
    // All functions are verified, even after one has failed.
    std::atomic<bool> failed = false;
    parallelForEach(
        &getContext(), functions, [&](FunctionOpInterface function) {
          moe::schedule::HappensBefore order(function);
          for (const moe::schedule::Finding &finding : order.getFindings()) {
            finding.emit();
            failed = true;
          }
        });
    if (failed)
      signalPassFailure();
  }
};
} // namespace
