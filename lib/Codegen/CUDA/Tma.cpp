//===- Tma.cpp - Boxes of tensors in shared memory ------------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Tma.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"

using namespace mlir;

namespace moe::codegen::cuda {

void emitTmaLoad(KernelBuilder &k, const Buffer &tiles,
                 ArrayRef<Expr> coordinates, Expr destination, Expr barrier,
                 int64_t cluster) {
  // The instruction writes to the shared memory of a cluster, of which a
  // block's own is a part.
  auto clusterPointer = LLVM::LLVMPointerType::get(
      k.getContext(),
      static_cast<unsigned>(NVVM::NVVMMemorySpace::SharedCluster));
  Value target = LLVM::AddrSpaceCastOp::create(k, clusterPointer, destination);
  SmallVector<Value> innermostFirst(coordinates.rbegin(), coordinates.rend());
  Value receivers;
  if (cluster > 1)
    receivers = arith::ConstantIntOp::create(k, (1 << cluster) - 1, 16);
  NVVM::CpAsyncBulkTensorGlobalToSharedClusterOp::create(
      k, target, k.tensorMap(tiles), innermostFirst, barrier,
      /*im2colOffsets=*/ValueRange(), receivers,
      /*l2CacheHint=*/Value(), NVVM::TMALoadMode::TILE, /*isCTAOnly=*/false,
      NVVM::CTAGroupKindAttr(),
      /*predicate=*/Value());
}

} // namespace moe::codegen::cuda
