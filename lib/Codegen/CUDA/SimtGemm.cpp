//===- SimtGemm.cpp - GEMMs on CUDA cores ---------------------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// For f32, which tensor cores would round, and for shapes that TMA cannot
// address. Both operands are widened to f32 on their way to shared memory,
// where they lie with K outermost, so that a thread reads neighbouring rows.
//
//===----------------------------------------------------------------------===//

#include "Activation.h"
#include "EpilogueOp.h"
#include "TileScheduler.h"

using namespace mlir;

namespace moe::codegen::cuda {

namespace {
/// How a block computes a tile: threads in a grid of kThreadRows by
/// kThreadColumns, each with kPatch x kPatch sums for every box of rows and box
/// of weights.
struct SimtTile {
  static constexpr int64_t kPatch = 4;
  static constexpr int64_t kThreadRows = 8;
  static constexpr int64_t kThreadColumns = 16;
  static constexpr int64_t kThreads = kThreadRows * kThreadColumns;
  /// Boxes of rows; and of rows of the weights: gates and ups of the same
  /// columns, or neighbours.
  static constexpr int64_t kBoxes = 2;
  static constexpr int64_t kBoxRows = kThreadRows * kPatch;
  static constexpr int64_t kBoxColumns = kThreadColumns * kPatch;
  static constexpr int64_t kRows = kBoxes * kBoxRows;
  static constexpr int64_t kColumns = kBoxes * kBoxColumns;
  /// Elements of K in one stage, and those that a thread loads at once.
  static constexpr int64_t kDepth = 16;
  static constexpr int64_t kLoad = 4;
  static constexpr int64_t kLoadsPerRow = kDepth / kLoad;
  /// Rows that all threads load at once.
  static constexpr int64_t kLoadRows = kThreads / kLoadsPerRow;
  /// Blocks of the persistent grid for each multiprocessor.
  static constexpr int64_t kResidentBlocks = 4;
  /// Keeps threads that store a column in shared memory from meeting in a bank.
  static constexpr int64_t kPadding = 4;
};

/// The parts of the next stage, on their way from global memory while this one
/// is multiplied, and the sums.
struct Pipeline {
  Exprs parts, sums;
  auto fields() { return std::tie(parts, sums); }
};

/// The kernel.
class SimtGemm {
public:
  SimtGemm(Launch &launch, const GemmOperands &operands)
      : x(launch.read(operands.x)), weights(launch.read(operands.weights)),
        sourceRows(launch.read(operands.sourceRows)),
        expertOffsets(launch.read(operands.expertOffsets)),
        epilogue(launch, operands, sourceRows), y(launch.write(operands.y)),
        depth(x.type.getDimSize(1)), columns(y.type.getDimSize(1)) {
    launch.setThreads(SimtTile::kThreads);
    launch.setKey(describe(operands));
  }

  void emit(KernelBuilder &k);
  Value getGrid(const Emission &emission, const GemmOperands &operands) const;

private:
  using Tile = SimtTile;
  int64_t getTileColumns() const {
    return epilogue.isGated() ? Tile::kBoxColumns : Tile::kColumns;
  }
  void computeTile(KernelBuilder &k, const OutputTile &tile);
  Exprs findRows(KernelBuilder &k, const OutputTile &tile);
  Expr weightRow(const OutputTile &tile, int64_t box, Expr column) const;
  Expr loadPart(KernelBuilder &k, Expr row, Type element, Expr first);
  Exprs loadStage(KernelBuilder &k, ArrayRef<Expr> rows, Expr first);
  void storeStage(KernelBuilder &k, ArrayRef<Expr> parts);
  Exprs multiplyStage(KernelBuilder &k, ArrayRef<Expr> sums);
  void storeTile(KernelBuilder &k, const OutputTile &tile, ArrayRef<Expr> sums);

  Array sharedRows(KernelBuilder &k) {
    return k.shared("rows", {Tile::kDepth, Tile::kRows + Tile::kPadding},
                    k.getF32Type());
  }
  Array sharedWeights(KernelBuilder &k) {
    return k.shared("weights", {Tile::kDepth, Tile::kColumns + Tile::kPadding},
                    k.getF32Type());
  }
  Expr threadRow(KernelBuilder &k) { return k.thread() / Tile::kThreadColumns; }
  Expr threadColumn(KernelBuilder &k) {
    return k.thread() % Tile::kThreadColumns;
  }

  Buffer x, weights, sourceRows, expertOffsets;
  EpilogueOp epilogue;
  Buffer y;
  int64_t depth, columns;
};
} // namespace

/// Where a thread has a sum: [box of rows][row][box of weights][weight].
static size_t sumAt(int64_t rowBox, int64_t row, int64_t box, int64_t column) {
  return ((rowBox * SimtTile::kPatch + row) * SimtTile::kBoxes + box) *
             SimtTile::kPatch +
         column;
}

void SimtGemm::emit(KernelBuilder &k) {
  k.awaitInputs();
  TileScheduler scheduler(k, Tile::kRows, getTileColumns(), columns);
  auto compute = [&](const OutputTile &tile, NoState) {
    computeTile(k, tile);
    return NoState();
  };
  if (expertOffsets)
    scheduler.forEachTileOfExperts(expertOffsets, NoState(), compute);
  else
    scheduler.forEachTile(k.dim(y, 0), NoState(), compute);
}

void SimtGemm::computeTile(KernelBuilder &k, const OutputTile &tile) {
  Exprs rows = findRows(k, tile);
  Pipeline init{
      loadStage(k, rows, k.i32(0)),
      Exprs(Tile::kRows * Tile::kColumns / Tile::kThreads, k.f32(0.0))};
  Pipeline last = k.forEach(k.i32(0), k.i32(depth), k.i32(Tile::kDepth), init,
                            [&](Expr first, const Pipeline &now) -> Pipeline {
                              k.barrier();
                              storeStage(k, now.parts);
                              k.barrier();
                              Exprs next =
                                  loadStage(k, rows, first + Tile::kDepth);
                              return {next, multiplyStage(k, now.sums)};
                            });
  storeTile(k, tile, last.sums);
}

//===----------------------------------------------------------------------===//
// Stages
//===----------------------------------------------------------------------===//

/// The row of the weights for a column of a box.
Expr SimtGemm::weightRow(const OutputTile &tile, int64_t box,
                         Expr column) const {
  if (!epilogue.isGated())
    return min(tile.column + box * Tile::kBoxColumns + column, columns - 1);
  column = min(tile.column + column, columns - 1);
  return box == 0 ? column : column + columns;
}

/// The addresses of the rows that a thread loads: of x and then of the weights.
/// Behind the last row that is the last, whose sums nobody stores.
Exprs SimtGemm::findRows(KernelBuilder &k, const OutputTile &tile) {
  Exprs rows;
  Expr own = k.thread() / Tile::kLoadsPerRow;
  for (int64_t first = 0; first < Tile::kRows; first += Tile::kLoadRows) {
    Expr row = min(tile.firstRow + own + first, tile.endRow - 1);
    rows.push_back(k.address(x, sourceRows ? k.load(sourceRows, row) : row));
  }
  for (int64_t first = 0; first < Tile::kColumns; first += Tile::kLoadRows) {
    Expr row = weightRow(tile, first / Tile::kBoxColumns,
                         own + first % Tile::kBoxColumns);
    rows.push_back(expertOffsets ? k.address(weights, {tile.expert, row})
                                 : k.address(weights, row));
  }
  return rows;
}

/// kLoad elements of a row from K `first` on, zeros behind its end.
Expr SimtGemm::loadPart(KernelBuilder &k, Expr row, Type element, Expr first) {
  unsigned width = depth % Tile::kLoad == 0 ? Tile::kLoad : 1;
  Exprs elements;
  for (int64_t i = 0; i < Tile::kLoad; i += width) {
    Array line{row, element, {k.i32(depth)}};
    Expr place = first + i;
    Expr value = k.load(line, min(place, depth - width), width);
    if (depth % Tile::kDepth != 0)
      value = k.select(place < depth, value, k.f32s(0.0, width));
    for (unsigned j = 0; j < width; ++j)
      elements.push_back(k.element(value, j));
  }
  return k.pack(elements);
}

Exprs SimtGemm::loadStage(KernelBuilder &k, ArrayRef<Expr> rows, Expr first) {
  Expr place = first + k.thread() % Tile::kLoadsPerRow * Tile::kLoad;
  Exprs parts;
  for (auto [i, row] : llvm::enumerate(rows)) {
    bool isX = i < Tile::kRows / Tile::kLoadRows;
    Type element = (isX ? x : weights).type.getElementType();
    parts.push_back(loadPart(k, row, element, place));
  }
  return parts;
}

void SimtGemm::storeStage(KernelBuilder &k, ArrayRef<Expr> parts) {
  Expr place = k.thread() % Tile::kLoadsPerRow * Tile::kLoad;
  Expr own = k.thread() / Tile::kLoadsPerRow;
  constexpr size_t kRowParts = Tile::kRows / Tile::kLoadRows;
  for (auto [i, part] : llvm::enumerate(parts)) {
    bool isX = i < kRowParts;
    Array target = isX ? sharedRows(k) : sharedWeights(k);
    Expr row = own + (isX ? i : i - kRowParts) * Tile::kLoadRows;
    for (int64_t j = 0; j < Tile::kLoad; ++j)
      k.store(k.element(part, j), target, {place + j, row});
  }
}

Exprs SimtGemm::multiplyStage(KernelBuilder &k, ArrayRef<Expr> before) {
  Exprs sums(before);
  Expr ownRow = threadRow(k) * Tile::kPatch;
  Expr ownColumn = threadColumn(k) * Tile::kPatch;
  for (int64_t depth = 0; depth < Tile::kDepth; ++depth) {
    Exprs rows, columns;
    for (int64_t box = 0; box < Tile::kBoxes; ++box) {
      rows.push_back(k.load(sharedRows(k),
                            {k.i32(depth), ownRow + box * Tile::kBoxRows},
                            Tile::kPatch));
      columns.push_back(k.load(
          sharedWeights(k), {k.i32(depth), ownColumn + box * Tile::kBoxColumns},
          Tile::kPatch));
    }
    for (int64_t rowBox = 0; rowBox < Tile::kBoxes; ++rowBox)
      for (int64_t row = 0; row < Tile::kPatch; ++row)
        for (int64_t box = 0; box < Tile::kBoxes; ++box)
          for (int64_t column = 0; column < Tile::kPatch; ++column) {
            Expr &sum = sums[sumAt(rowBox, row, box, column)];
            sum = k.fma(k.element(rows[rowBox], row),
                        k.element(columns[box], column), sum);
          }
  }
  return sums;
}

//===----------------------------------------------------------------------===//
// Output
//===----------------------------------------------------------------------===//

void SimtGemm::storeTile(KernelBuilder &k, const OutputTile &tile,
                         ArrayRef<Expr> sums) {
  unsigned width = columns % Tile::kPatch == 0 ? Tile::kPatch : 1;
  // One output column of a thread comes from both boxes, or each box has its
  // own.
  int64_t outputBoxes = epilogue.isGated() ? 1 : Tile::kBoxes;
  for (int64_t box = 0; box < outputBoxes; ++box) {
    Expr first =
        tile.column + threadColumn(k) * Tile::kPatch + box * Tile::kBoxColumns;
    SmallVector<SmallVector<Expr, 2>> bias;
    for (int64_t j = 0; j < Tile::kPatch; ++j)
      bias.push_back(epilogue.loadBias(k, tile.expert, first + j, columns));
    for (int64_t rowBox = 0; rowBox < Tile::kBoxes; ++rowBox)
      for (int64_t i = 0; i < Tile::kPatch; ++i) {
        Expr row = tile.firstRow + threadRow(k) * Tile::kPatch +
                   (rowBox * Tile::kBoxRows + i);
        Expr scale = epilogue.scale
                         ? epilogue.scale(k, min(row, tile.endRow - 1))
                         : Expr();
        Exprs values;
        for (int64_t j = 0; j < Tile::kPatch; ++j) {
          SmallVector<Expr, 2> own{sums[sumAt(rowBox, i, box, j)]};
          if (epilogue.isGated())
            own.push_back(sums[sumAt(rowBox, i, 1, j)]);
          values.push_back(epilogue.apply(own, scale, bias[j]));
        }
        for (int64_t j = 0; j < Tile::kPatch; j += width) {
          Expr value = k.pack(ArrayRef(values).slice(j, width));
          Expr column = first + j;
          k.ifThen((row < tile.endRow) & (column < columns),
                   [&] { k.store(value, y, {row, column}); });
        }
      }
  }
}

Value SimtGemm::getGrid(const Emission &emission,
                        const GemmOperands &operands) const {
  ExprBuilder grid = gridBuilder(emission);
  Expr rows = dimOf(grid, operands.y, 0);
  // At most so many tiles: each expert may leave one that is not full.
  Expr rowTiles = ceilDiv(rows, Tile::kRows);
  if (operands.expertOffsets)
    rowTiles = min(rowTiles + dimOf(grid, operands.weights, 0), rows);
  return min(rowTiles * llvm::divideCeil(columns, getTileColumns()),
             emission.target.multiprocessors * Tile::kResidentBlocks);
}

void launchSimtGemm(const Emission &emission, StringRef stem, StringRef label,
                    const GemmOperands &operands) {
  Launch launch(emission, stem, label);
  SimtGemm gemm(launch, operands);
  Value grid = gemm.getGrid(emission, operands);
  launch.emit(grid, [&](KernelBuilder &k) { gemm.emit(k); });
}

} // namespace moe::codegen::cuda
