//===- MmaSync.cpp - Tensor cores of a warp -------------------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "MmaSync.h"

#include "mlir/Dialect/LLVMIR/NVVMDialect.h"

using namespace mlir;
using namespace moe::codegen::cuda;

Exprs mma::multiply(KernelBuilder &k, Type element, ArrayRef<Expr> a,
                    ArrayRef<Expr> b, ArrayRef<Expr> sums) {
  bool isBF16 = isa<BFloat16Type>(element);
  auto toValues = [&](ArrayRef<Expr> words) {
    return llvm::map_to_vector(words, [&](Expr word) -> Value {
      return isBF16 ? word : k.bitcast(word, VectorType::get(2, element));
    });
  };
  auto type = isBF16 ? NVVM::MMATypes::bf16 : NVVM::MMATypes::f16;
  auto resultType = LLVM::LLVMStructType::getLiteral(
      k.getContext(), SmallVector<Type>(kSums, k.getF32Type()));
  Value result = NVVM::MmaOp::create(
      k, resultType, toValues(a), toValues(b),
      SmallVector<Value>(sums.begin(), sums.end()),
      ArrayRef<int64_t>{16, 8, 16}, /*b1Op=*/std::nullopt,
      /*intOverflow=*/std::nullopt, std::array{type, type},
      std::array{NVVM::MMALayout::row, NVVM::MMALayout::col});
  Exprs results;
  for (int64_t i = 0; i < kSums; ++i)
    results.push_back(k.wrap(LLVM::ExtractValueOp::create(k, result, i)));
  return results;
}
