//===- MbarrierRing.cpp - Stages between a producer and consumers ---------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "MbarrierRing.h"

#include "mlir/Dialect/LLVMIR/NVVMDialect.h"

using namespace mlir;

namespace moe::codegen::cuda {

MbarrierRing::MbarrierRing(KernelBuilder &k, int64_t offset, int64_t stages,
                           int64_t cluster)
    : k(k), stages(stages), cluster(cluster),
      barriers(k.dynamicShared(offset, {2, stages}, k.getI64Type())) {}

void MbarrierRing::init(int64_t fullArrivals, int64_t readers) {
  for (int64_t stage = 0; stage < stages; ++stage) {
    NVVM::MBarrierInitOp::create(k, full(k.i32(stage)), k.i32(fullArrivals),
                                 Value());
    NVVM::MBarrierInitOp::create(k, empty(k.i32(stage)),
                                 k.i32(readers * cluster), Value());
  }
  NVVM::FenceMbarrierInitOp::create(k);
}

RingPosition MbarrierRing::begin() { return {k.i32(0), k.i32(0)}; }

RingPosition MbarrierRing::next(const RingPosition &position) {
  Expr next = position.stage + 1;
  Expr isPassed = next == stages;
  return {k.select(isPassed, k.i32(0), next),
          k.select(isPassed, position.parity ^ 1, position.parity)};
}

void emitWait(KernelBuilder &k, Expr barrier, Expr parity) {
  // The hardware may let the thread sleep for so many nanoseconds before it
  // looks again.
  constexpr int64_t kSuspendHint = 10'000'000;
  NVVM::MBarrierTryWaitParityOp::create(k, barrier, parity,
                                        k.i32(kSuspendHint));
}

void MbarrierRing::waitFull(const RingPosition &position) {
  emitWait(k, full(position.stage), position.parity);
}

void MbarrierRing::waitEmpty(const RingPosition &position) {
  // A new barrier is taken for one whose phase of parity 1 is over.
  emitWait(k, empty(position.stage), position.parity ^ 1);
}

void MbarrierRing::arrive(Expr stage) {
  NVVM::MBarrierArriveOp::create(k, k.getI64Type(), full(stage), Value());
}

void MbarrierRing::release(Expr stage) {
  if (cluster == 1) {
    k.ifThen(k.lane() == 0, [&] {
      NVVM::MBarrierArriveOp::create(k, k.getI64Type(), empty(stage), Value());
    });
    return;
  }
  auto clusterPointer = LLVM::LLVMPointerType::get(
      k.getContext(),
      static_cast<unsigned>(NVVM::NVVMMemorySpace::SharedCluster));
  // A lane for each block, the first for its own.
  k.ifThen(k.lane() < cluster, [&] {
    Expr block = (k.block() + k.lane()) % cluster;
    Value barrier =
        NVVM::MapaOp::create(k, clusterPointer, empty(stage), block);
    // Released to the block: a wider scope would be a fence of all memory, and
    // what was read needs none.
    NVVM::MBarrierArriveOp::create(k, Type(), barrier, Value());
  });
}

} // namespace moe::codegen::cuda
