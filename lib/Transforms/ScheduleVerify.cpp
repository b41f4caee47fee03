//===- ScheduleVerify.cpp - Prove a schedule free of races ----------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moe-mlir/Transforms/Passes.h"

namespace moe {
#define GEN_PASS_DEF_SCHEDULEVERIFY
#include "moe-mlir/Transforms/Passes.h.inc"
} // namespace moe

using namespace mlir;

namespace {
struct ScheduleVerify : moe::impl::ScheduleVerifyBase<ScheduleVerify> {
  void runOnOperation() override {}
};
} // namespace
