//===- Dots.cpp - Products of few rows or few columns ---------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Dots.h"

#include "llvm/Support/MathExtras.h"

using namespace mlir;

namespace moe::codegen::cuda {

namespace {
constexpr int64_t kWarps = 4;
constexpr int64_t kThreads = kWarps * kWarpSize;
/// Vectors of the weights that a thread has under way.
constexpr int64_t kUnroll = 4;
/// Rows of x that a block multiplies with one row of the weights.
constexpr int64_t kManyRows = 8;

/// The kernel: a block has some rows of x and one of the weights, a thread
/// every 128th vector of these.
struct Dots {
  Dots(Launch &launch, const GemmOperands &operands, int64_t rows)
      : x(launch.read(operands.x)), weights(launch.read(operands.weights)),
        bias(launch.read(operands.bias)), y(launch.write(operands.y)),
        rows(rows), depth(x.type.getDimSize(1)),
        width(getVectorWidth({operands.x, operands.weights})) {
    launch.setThreads(kThreads);
    launch.setKey(rows);
  }

  void emit(KernelBuilder &k);
  Exprs emitSums(KernelBuilder &k, Expr firstRow, Expr column);
  void emitResults(KernelBuilder &k, ArrayRef<Expr> sums, Expr firstRow,
                   Expr column);

  Buffer x, weights, bias, y;
  int64_t rows, depth;
  unsigned width;
};
} // namespace

void Dots::emit(KernelBuilder &k) {
  k.awaitInputs();
  Expr columns = k.dim(y, 1);
  Expr column = k.block() % columns;
  Expr firstRow = k.block() / columns * rows;
  emitResults(k, emitSums(k, firstRow, column), firstRow, column);
}

/// The thread's part of the product of each row of x.
Exprs Dots::emitSums(KernelBuilder &k, Expr firstRow, Expr column) {
  Expr lastRow = k.dim(x, 0) - 1;
  auto accumulate = [&](Expr vector, Exprs sums) {
    Expr weight = k.load(weights, {column, vector * width}, width);
    for (auto [row, sum] : llvm::enumerate(sums)) {
      Expr source = min(firstRow + row, lastRow);
      sum = k.dot(weight, k.load(x, {source, vector * width}, width), sum);
    }
    return sums;
  };
  // Whole steps, then vectors that all threads have, then the rest.
  constexpr int64_t kStep = kUnroll * kThreads;
  int64_t numVectors = depth / width;
  int64_t first = numVectors / kStep * kStep;
  Exprs zeros(rows, k.f32(0.0));
  Exprs sums = k.forEach(k.i32(0), k.i32(first), k.i32(kStep), zeros,
                         [&](Expr begin, Exprs sums) {
                           for (int64_t i = 0; i < kStep; i += kThreads)
                             sums = accumulate(begin + i + k.thread(), sums);
                           return sums;
                         });
  for (; first + kThreads <= numVectors; first += kThreads)
    sums = accumulate(k.thread() + first, sums);
  Expr vector = k.thread() + first;
  if (first < numVectors)
    sums = k.ifElse(
        vector < numVectors, [&] { return accumulate(vector, sums); },
        [&] { return sums; });
  return sums;
}

/// Adds the parts of all threads, always in the same order.
void Dots::emitResults(KernelBuilder &k, ArrayRef<Expr> sums, Expr firstRow,
                       Expr column) {
  Array parts = k.shared("parts", {kWarps, rows}, k.getF32Type());
  for (auto [row, sum] : llvm::enumerate(sums)) {
    Expr part = k.sumLanes(sum);
    k.ifThen(k.lane() == 0,
             [&] { k.store(part, parts, {k.warp(), k.i32(row)}); });
  }
  k.barrier();
  Expr own = k.thread(), row = firstRow + own;
  k.ifThen((own < rows) & (row < k.dim(y, 0)), [&] {
    Expr sum = bias ? k.load(bias, column) : k.f32(0.0);
    for (int64_t warp = 0; warp < kWarps; ++warp)
      sum = sum + k.load(parts, {k.i32(warp), own});
    k.store(sum, y, {row, column});
  });
}

void launchDots(const Emission &emission, StringRef label,
                const GemmOperands &operands) {
  auto launchFor = [&](int64_t rows) {
    Launch launch(emission, "dots", label);
    Dots dots(launch, operands, rows);
    ExprBuilder grid = gridBuilder(emission);
    Expr rowTiles = ceilDiv(dimOf(grid, operands.y, 0), rows);
    launch.emit(rowTiles * dimOf(grid, operands.y, 1),
                [&](KernelBuilder &k) { dots.emit(k); });
  };
  ExprBuilder host = gridBuilder(emission);
  ifOnHost(
      emission, dimOf(host, operands.y, 0) == 1, [&] { launchFor(1); },
      [&] { launchFor(kManyRows); });
}

} // namespace moe::codegen::cuda
