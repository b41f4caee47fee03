//===- Wgmma.cpp - Tensor cores of sm_90a ---------------------------------===//
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

Wgmma::Wgmma(KernelBuilder &k, const GemmTile &tile, int64_t height,
             Type element)
    : k(k), tile(tile), height(height), element(element) {
  SmallVector<Type> floats(tile.getMmaN(height) / 2, k.getF32Type());
  sumsType = LLVM::LLVMStructType::getLiteral(k.getContext(), floats);
}

Fragment Wgmma::begin() {
  // Not zeros: ptxas serializes products whose sums something else wrote.
  Expr undefined = k.wrap(LLVM::UndefOp::create(k, sumsType));
  return {Exprs(tile.getAccumulators(), undefined)};
}

Fragment Wgmma::issue(const GemmStage &stage, const Fragment &sums,
                      bool isFirst) {
  auto address = [&](Expr panel, Expr row) {
    Expr base = k.wrap(LLVM::PtrToIntOp::create(k, k.getI32Type(), panel));
    return base + row * kPanelRowBytes;
  };
  // A warpgroup has 64 lines of the operand along M and all of the other.
  Expr own = consumerWarpgroup(k) * kMmaM, all = k.i32(0);
  Expr rows = address(stage.rows(), tile.swapAB ? all : own);
  NVVM::WgmmaFenceAlignedOp::create(k);
  Fragment results;
  for (auto [box, sum] : llvm::enumerate(sums.sums)) {
    Expr weights = address(stage.weights(box), tile.swapAB ? own : all);
    results.sums.push_back(tile.swapAB ? multiply(sum, weights, rows, isFirst)
                                       : multiply(sum, rows, weights, isFirst));
  }
  NVVM::WgmmaGroupSyncAlignedOp::create(k);
  return results;
}

void Wgmma::wait(int64_t left) { NVVM::WgmmaWaitGroupSyncOp::create(k, left); }

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

Expr Wgmma::multiply(Expr sums, Expr a, Expr b, bool isFirst) {
  // An instruction takes 32 bytes of each row.
  constexpr int64_t kBytes = 32;
  int64_t depth = kBytes * 8 / element.getIntOrFloatBitWidth();
  auto shape = NVVM::MMAShapeAttr::get(k.getContext(), kMmaM,
                                       tile.getMmaN(height), depth);
  NVVM::WGMMATypes input =
      element.isBF16() ? NVVM::WGMMATypes::bf16 : NVVM::WGMMATypes::f16;
  Expr aPanel = emitDescriptor(k, a), bPanel = emitDescriptor(k, b);
  for (int64_t byte = 0; byte < kPanelRowBytes; byte += kBytes) {
    // Along a row the address advances as if there were no swizzle.
    int64_t advance = byte / 16;
    auto scale = isFirst && byte == 0 ? NVVM::WGMMAScaleOut::zero
                                      : NVVM::WGMMAScaleOut::one;
    sums = k.wrap(NVVM::WgmmaMmaAsyncOp::create(
        k, sumsType, sums, aPanel + advance, bPanel + advance, shape, input,
        input, NVVM::WGMMATypes::f32, scale, NVVM::WGMMAScaleIn::one,
        NVVM::WGMMAScaleIn::one, NVVM::MMALayout::row, NVVM::MMALayout::col,
        NVVM::MMAIntOverflowAttr()));
  }
  return sums;
}

FragmentLayout Wgmma::getLayout(Expr thread) {
  return FragmentLayout(k, tile, height, consumerWarpgroup(k), thread);
}

Expr Wgmma::getElement(const Fragment &fragment, int64_t box, int64_t j,
                       int64_t h, int64_t b) {
  // Without swap-AB the boxes follow each other along N.
  int64_t sum = tile.swapAB ? box : 0;
  int64_t block = tile.swapAB ? j : box * tile.getBoxRows() / 8 + j;
  return k.wrap(LLVM::ExtractValueOp::create(k, fragment.sums[sum],
                                             4 * block + 2 * h + b));
}

std::unique_ptr<TensorCore> createTensorCore(KernelBuilder &k,
                                             const Target &target,
                                             const GemmTile &tile,
                                             int64_t height, Type element) {
  switch (target.tensorCore) {
  case TensorCoreKind::Wgmma:
    return std::make_unique<Wgmma>(k, tile, height, element);
  }
  llvm_unreachable("unknown tensor cores");
}

} // namespace moe::codegen::cuda
