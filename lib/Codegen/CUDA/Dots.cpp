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

/// What a block computes. Several columns share the loads of x.
struct DotsTile {
  int64_t rows, columns;
};
constexpr DotsTile kOneRow{1, 1}, kOneColumn{8, 1}, kManyOfBoth{8, 2};

/// The kernel: a block has some rows of x and some of the weights, a thread
/// every 128th vector of these.
struct Dots {
  Dots(Launch &launch, const GemmOperands &operands, const DotsTile &tile)
      : x(launch.read(operands.x)), weights(launch.read(operands.weights)),
        bias(launch.read(operands.bias)), y(launch.write(operands.y)),
        tile(tile), depth(x.type.getDimSize(1)),
        width(getVectorWidth({operands.x, operands.weights})) {
    launch.setThreads(kThreads);
    launch.setKey(tile.rows, tile.columns);
  }

  void emit(KernelBuilder &k);
  Exprs emitSums(KernelBuilder &k, Expr firstRow, Expr firstColumn);
  void emitResults(KernelBuilder &k, ArrayRef<Expr> sums, Expr firstRow,
                   Expr firstColumn);

  Buffer x, weights, bias, y;
  DotsTile tile;
  int64_t depth;
  unsigned width;
};
} // namespace

void Dots::emit(KernelBuilder &k) {
  k.awaitInputs();
  Expr columnTiles = ceilDiv(k.dim(y, 1), tile.columns);
  Expr firstColumn = k.block() % columnTiles * tile.columns;
  Expr firstRow = k.block() / columnTiles * tile.rows;
  emitResults(k, emitSums(k, firstRow, firstColumn), firstRow, firstColumn);
}

/// The thread's part of the products, those of a row next to each other.
Exprs Dots::emitSums(KernelBuilder &k, Expr firstRow, Expr firstColumn) {
  // Behind the last row and column these are taken once more, for nothing.
  Expr lastRow = k.dim(x, 0) - 1, lastColumn = k.dim(weights, 0) - 1;
  auto accumulate = [&](Expr vector, ArrayRef<Expr> carried) {
    Exprs sums(carried), columns;
    for (int64_t column = 0; column < tile.columns; ++column)
      columns.push_back(k.load(
          weights, {min(firstColumn + column, lastColumn), vector * width},
          width));
    for (int64_t row = 0; row < tile.rows; ++row) {
      Expr values =
          k.load(x, {min(firstRow + row, lastRow), vector * width}, width);
      for (auto [column, weight] : llvm::enumerate(columns)) {
        Expr &sum = sums[row * tile.columns + column];
        sum = k.dot(weight, values, sum);
      }
    }
    return sums;
  };
  // Whole steps, then vectors that all threads have, then the rest.
  constexpr int64_t kStep = kUnroll * kThreads;
  int64_t numVectors = depth / width;
  int64_t first = numVectors / kStep * kStep;
  Exprs zeros(tile.rows * tile.columns, k.f32(0.0));
  Exprs sums = k.forEach(k.i32(0), k.i32(first), k.i32(kStep), zeros,
                         [&](Expr begin, ArrayRef<Expr> carried) {
                           Exprs sums(carried);
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
                       Expr firstColumn) {
  int64_t count = sums.size();
  Array parts = k.shared("parts", {kWarps, count}, k.getF32Type());
  for (auto [i, sum] : llvm::enumerate(sums)) {
    Expr part = k.sumLanes(sum);
    k.ifThen(k.lane() == 0,
             [&] { k.store(part, parts, {k.warp(), k.i32(i)}); });
  }
  k.barrier();
  Expr own = k.thread();
  Expr row = firstRow + own / tile.columns;
  Expr column = firstColumn + own % tile.columns;
  Expr isThere = (row < k.dim(y, 0)) & (column < k.dim(y, 1));
  k.ifThen((own < count) & isThere, [&] {
    Expr sum = bias ? k.load(bias, column) : k.f32(0.0);
    for (int64_t warp = 0; warp < kWarps; ++warp)
      sum = sum + k.load(parts, {k.i32(warp), own});
    k.store(sum, y, {row, column});
  });
}

void launchDots(const Emission &emission, StringRef label,
                const GemmOperands &operands) {
  auto launchTiles = [&](const DotsTile &tile) {
    Launch launch(emission, "dots", label);
    Dots dots(launch, operands, tile);
    ExprBuilder grid = gridBuilder(emission);
    Expr rowTiles = ceilDiv(dimOf(grid, operands.y, 0), tile.rows);
    Expr columnTiles = ceilDiv(dimOf(grid, operands.y, 1), tile.columns);
    launch.emit(rowTiles * columnTiles,
                [&](KernelBuilder &k) { dots.emit(k); });
  };
  bool hasOneColumn = getMemRefType(operands.y).getDimSize(1) == 1;
  ExprBuilder host = gridBuilder(emission);
  ifOnHost(
      emission, dimOf(host, operands.y, 0) == 1, [&] { launchTiles(kOneRow); },
      [&] { launchTiles(hasOneColumn ? kOneColumn : kManyOfBoth); });
}

} // namespace moe::codegen::cuda
