//===- Wgmma.cpp - Products of a warpgroup on tensor cores ----------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Wgmma.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"

using namespace mlir;

namespace moe::codegen::cuda {

WgmmaAccumulator::WgmmaAccumulator(KernelBuilder &k, Type element,
                                   int64_t columns)
    : k(k), element(element), columns(columns) {
  SmallVector<Type> floats(columns / 2, k.getF32Type());
  type = LLVM::LLVMStructType::getLiteral(k.getContext(), floats);
}

Expr WgmmaAccumulator::undefined() {
  return k.wrap(LLVM::UndefOp::create(k, type));
}

/// The matrix descriptor of a panel (PTX ISA, "Matrix descriptor"): its address
/// and the distance of groups of eight rows, both in units of 16 bytes, and the
/// 128-byte swizzle.
static Expr emitDescriptor(KernelBuilder &k, Expr address) {
  constexpr int64_t kGroupBytes = 8 * kPanelRowBytes;
  constexpr int64_t kLayout =
      int64_t(1) << 16 | (kGroupBytes / 16) << 32 | int64_t(1) << 62;
  Expr field = (address >> 4) & 0x3FFF;
  return k.wrap(arith::ExtUIOp::create(k, k.getI64Type(), field)) | kLayout;
}

Expr WgmmaAccumulator::multiply(Expr accumulator, Expr a, Expr b,
                                bool isFirst) {
  constexpr int64_t kDepth = 16; // Elements of K in one instruction.
  constexpr int64_t kBytes = kDepth * 2;
  auto shape =
      NVVM::MMAShapeAttr::get(k.getContext(), kWgmmaRows, columns, kDepth);
  NVVM::WGMMATypes input =
      element.isBF16() ? NVVM::WGMMATypes::bf16 : NVVM::WGMMATypes::f16;
  Expr aPanel = emitDescriptor(k, a), bPanel = emitDescriptor(k, b);
  for (int64_t byte = 0; byte < kPanelRowBytes; byte += kBytes) {
    // Along a row the address advances as if there were no swizzle.
    int64_t advance = byte / 16;
    auto scale = isFirst && byte == 0 ? NVVM::WGMMAScaleOut::zero
                                      : NVVM::WGMMAScaleOut::one;
    accumulator = k.wrap(NVVM::WgmmaMmaAsyncOp::create(
        k, type, accumulator, aPanel + advance, bPanel + advance, shape, input,
        input, NVVM::WGMMATypes::f32, scale, NVVM::WGMMAScaleIn::one,
        NVVM::WGMMAScaleIn::one, NVVM::MMALayout::row, NVVM::MMALayout::col,
        NVVM::MMAIntOverflowAttr()));
  }
  return accumulator;
}

Expr WgmmaAccumulator::get(KernelBuilder &k, Expr accumulator, int64_t j,
                           int64_t h, int64_t b) {
  return k.wrap(
      LLVM::ExtractValueOp::create(k, accumulator, 4 * j + 2 * h + b));
}

} // namespace moe::codegen::cuda
