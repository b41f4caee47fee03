//===- ExpertLoad.cpp - How often each expert was chosen ------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Emitters.h"
#include "KernelBuilder.h"

using namespace mlir;
using namespace moe;
using namespace moe::codegen;
using namespace moe::codegen::cpu;

/// One block, as in the dispatch plan: a few nanoseconds for each choice.
static void emitCount(KernelBuilder &k, Value ids, Value load) {
  Value zero = k.index(0), one = k.index(1);
  Value numExperts = k.dim(load, 0);
  k.forEach(zero, numExperts, 1,
            [&](Value expert) { k.storeIndex(zero, load, expert); });
  k.forEach(zero, k.dim(ids, 0), 1, [&](Value t) {
    k.forEach(zero, k.dim(ids, 1), 1, [&](Value j) {
      // Negative ids are large when read as unsigned.
      Value id = k.loadIndex(ids, {t, j});
      k.ifThen(k.compare(arith::CmpIPredicate::ult, id, numExperts), [&] {
        k.storeIndex(k.add(k.loadIndex(load, id), one), load, id);
      });
    });
  });
}

LogicalResult moe::codegen::cpu::emitExpertLoad(ExpertLoadOp op,
                                                const Emission &emission) {
  func::FuncOp kernel = getOrEmitKernel(
      emission, "expert_load", op.getIds(), op.getInit(), "",
      [](KernelBuilder &k, Value, ValueRange reads, ValueRange writes) {
        emitCount(k, reads[0], writes[0]);
      });
  // Without tokens, too: all loads are zero then.
  Value grid = gridBuilder(emission).index(1);
  emitLaunches(emission,
               {{kernel, "expert load", {op.getIds()}, {op.getInit()}, grid}});
  return success();
}
