//===- RowVectors.cpp - Kernels that go over rows by vectors --------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "RowVectors.h"

#include "llvm/Support/MathExtras.h"

using namespace mlir;
using namespace moe::codegen::cuda;

/// Few, so that one token alone already makes several blocks.
static constexpr int64_t kThreads = 128;

void moe::codegen::cuda::emitForEachVector(
    const Emission &emission, Launch &launch, Value output, unsigned width,
    function_ref<void(KernelBuilder &, Expr, Expr)> body) {
  int64_t columns = getMemRefType(output).getDimSize(1);
  int64_t blockColumns = kThreads * width;
  int64_t blocksPerRow = llvm::divideCeil(columns, blockColumns);
  launch.setThreads(kThreads);
  ExprBuilder grid = gridBuilder(emission);
  launch.emit(dimOf(grid, output, 0) * blocksPerRow, [&](KernelBuilder &k) {
    k.awaitInputs();
    Expr row = k.block() / blocksPerRow;
    Expr column = k.block() % blocksPerRow * blockColumns + k.thread() * width;
    k.ifThen(column < columns, [&] { body(k, row, column); });
  });
}
