//===- SkinnyGemm.cpp - GEMMs of few rows
//----------------------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// With few rows the time is that of reading weights, so a warp loads them from
// global memory straight into the registers that mma.sync wants, 16 bytes a
// lane, and no shared memory, barrier or padding of rows stands in between. An
// item of work is 16 rows of the weights, the M side of m16n8k16 (8 gates and 8
// ups of the same columns, which then meet in one thread), against up to 8
// rows of x, its N side. The warps of a team share the item's K.
//
// Lane 4 g + t of mma.sync holds of its operands row g and elements 2 t, 2 t +
// 1 and 2 t + 8, 2 t + 9 of K. Since a sum does not care which elements of K
// are called how, the lane takes 8 neighbours of memory for two instructions.
//
//===----------------------------------------------------------------------===//

#include "SkinnyGemm.h"
#include "Activation.h"
#include "EpilogueOp.h"
#include "MmaSync.h"

using namespace mlir;

namespace moe::codegen::cuda {

namespace {
constexpr int64_t kWarps = 8;
constexpr int64_t kThreads = kWarps * kWarpSize;
/// Blocks of the persistent grid for each multiprocessor.
constexpr int64_t kResidentBlocks = 2;
/// Rows of x, and rows of the weights in each half, of an item.
constexpr int64_t kRows = 8;
constexpr int64_t kHalves = 2;
constexpr int64_t kHalfRows = 8;
/// Elements of K that a lane loads at once, and a warp.
constexpr int64_t kLaneDepth = 8;
constexpr int64_t kStepDepth = 4 * kLaneDepth;
/// Steps whose loads are under way at once.
constexpr int64_t kUnroll = 4;

/// Rows of one expert, as i32: the kRows from the first on, up to the end.
struct RowTile {
  Expr expert, firstRow, endRow;
};
constexpr int64_t kTileValues = 3;

/// The kernel.
class SkinnyGemm {
public:
  SkinnyGemm(Launch &launch, const GemmOperands &operands);

  void emit(KernelBuilder &k);
  int64_t getItemColumns() const {
    return epilogue.isGated() ? kHalfRows : kHalves * kHalfRows;
  }
  int64_t getColumnItems() const {
    return llvm::divideCeil(columns, getItemColumns());
  }
  int64_t getTeams() const { return kWarps / teamWarps; }

private:
  Array rowTiles(KernelBuilder &k) {
    return k.shared("tiles", {kMostSkinnyRows, kTileValues}, k.getI32Type());
  }
  Expr emitRowTiles(KernelBuilder &k);
  RowTile findRowTile(KernelBuilder &k, Expr number);
  Exprs multiply(KernelBuilder &k, const RowTile &tile, Expr column);
  Exprs multiplySteps(KernelBuilder &k, ArrayRef<Expr> lines, Expr first,
                      int64_t count, ArrayRef<Expr> sums);
  Expr weightRow(Expr column, int64_t half) const;
  Exprs sumTeam(KernelBuilder &k, ArrayRef<Expr> sums);
  void store(KernelBuilder &k, const RowTile &tile, Expr column,
             ArrayRef<Expr> sums);
  /// Number of the warp in its team.
  Expr member(KernelBuilder &k) { return k.warp() % teamWarps; }
  int64_t getMemberSteps() const {
    return llvm::divideCeil(llvm::divideCeil(depth, kStepDepth), teamWarps);
  }

  Buffer x, weights, sourceRows, expertOffsets;
  EpilogueOp epilogue;
  Buffer y;
  int64_t depth, columns;
  int64_t teamWarps; ///< That share an item.
};
} // namespace

/// As many warps as have a loop's worth of steps each.
static int64_t chooseTeamWarps(int64_t depth) {
  int64_t steps = llvm::divideCeil(depth, kStepDepth);
  int64_t warps = kWarps;
  while (warps > 1 && steps < 2 * kUnroll * warps)
    warps /= 2;
  return warps;
}

SkinnyGemm::SkinnyGemm(Launch &launch, const GemmOperands &operands)
    : x(launch.read(operands.x)), weights(launch.read(operands.weights)),
      sourceRows(launch.read(operands.sourceRows)),
      expertOffsets(launch.read(operands.expertOffsets)),
      epilogue(launch, operands, sourceRows), y(launch.write(operands.y)),
      depth(x.type.getDimSize(1)), columns(y.type.getDimSize(1)),
      teamWarps(chooseTeamWarps(depth)) {
  launch.setThreads(kThreads);
  launch.setResidentBlocks(kResidentBlocks);
  launch.setKey(describe(operands));
}

void SkinnyGemm::emit(KernelBuilder &k) {
  k.awaitInputs();
  Expr numTiles = expertOffsets ? emitRowTiles(k) : ceilDiv(k.dim(y, 0), kRows);
  Expr numItems = numTiles * getColumnItems();
  Expr team = k.warp() / teamWarps;
  k.forEach(k.block() * getTeams(), numItems, k.numBlocks() * getTeams(),
            [&](Expr first) {
              Expr item = first + team, isItem = item < numItems;
              RowTile tile =
                  findRowTile(k, min(item, numItems - 1) / getColumnItems());
              Expr column = item % getColumnItems() * getItemColumns();
              Exprs sums = k.ifElse(
                  isItem, [&] { return multiply(k, tile, column); },
                  [&] { return Exprs(mma::kSums, k.f32(0.0)); });
              sums = sumTeam(k, sums);
              k.ifThen(isItem & (member(k) == 0),
                       [&] { store(k, tile, column, sums); });
            });
}

//===----------------------------------------------------------------------===//
// Rows
//===----------------------------------------------------------------------===//

/// Lists the tiles of all experts in shared memory, in order; hands back how
/// many there are.
Expr SkinnyGemm::emitRowTiles(KernelBuilder &k) {
  Expr numExperts = k.dim(expertOffsets, 0) - 1;
  auto listWindow = [&](Expr first, Expr listed) {
    Expr expert = first + k.thread();
    Expr isThere = expert < numExperts;
    Expr place = min(expert, numExperts - 1);
    Expr begin = k.load(expertOffsets, place);
    Expr end = k.load(expertOffsets, place + 1);
    Expr count = k.select(isThere, ceilDiv(end - begin, kRows), k.i32(0));
    auto [before, total] = k.scanBlock(count, kWarps);
    Expr number = listed + before;
    k.forEach(k.i32(0), count, k.i32(1), [&](Expr i) {
      Exprs values{expert, begin + i * kRows, end};
      for (int64_t j = 0; j < kTileValues; ++j)
        k.store(values[j], rowTiles(k), {number + i, k.i32(j)});
    });
    return listed + total;
  };
  Expr count =
      k.forEach(k.i32(0), numExperts, k.i32(kThreads), k.i32(0), listWindow);
  k.barrier();
  return count;
}

RowTile SkinnyGemm::findRowTile(KernelBuilder &k, Expr number) {
  if (!expertOffsets)
    return {k.i32(0), number * kRows, k.dim(y, 0)};
  auto load = [&](int64_t j) {
    return k.load(rowTiles(k), {number, k.i32(j)});
  };
  return {load(0), load(1), load(2)};
}

//===----------------------------------------------------------------------===//
// Products
//===----------------------------------------------------------------------===//

/// The row of the weights of a half of an item; behind the last row that is the
/// last, whose sums nobody stores.
Expr SkinnyGemm::weightRow(Expr column, int64_t half) const {
  if (!epilogue.isGated())
    return min(column + half * kHalfRows, columns - 1);
  column = min(column, columns - 1);
  return half == 0 ? column : column + columns;
}

/// The sums of the warp's part of K, as mma.sync deals them to lanes.
Exprs SkinnyGemm::multiply(KernelBuilder &k, const RowTile &tile, Expr column) {
  Expr line = k.lane() / 4;
  Expr row = min(tile.firstRow + line, tile.endRow - 1);
  Exprs lines{k.address(x, sourceRows ? k.load(sourceRows, row) : row)};
  for (int64_t half = 0; half < kHalves; ++half) {
    Expr weight = weightRow(column + line, half);
    lines.push_back(expertOffsets ? k.address(weights, {tile.expert, weight})
                                  : k.address(weights, weight));
  }
  int64_t steps = getMemberSteps(), looped = steps / kUnroll * kUnroll;
  Expr first = member(k) * (steps * kStepDepth) + k.lane() % 4 * kLaneDepth;
  Exprs sums = k.forEach(
      k.i32(0), k.i32(looped), k.i32(kUnroll), Exprs(mma::kSums, k.f32(0.0)),
      [&](Expr step, const Exprs &sums) {
        return multiplySteps(k, lines, first + step * kStepDepth, kUnroll,
                             sums);
      });
  return multiplySteps(k, lines, first + looped * kStepDepth, steps - looped,
                       sums);
}

/// Adds `count` steps from the lane's element `first` of K on. `lines` are the
/// lane's rows: of x, and of both halves of the weights.
Exprs SkinnyGemm::multiplySteps(KernelBuilder &k, ArrayRef<Expr> lines,
                                Expr first, int64_t count,
                                ArrayRef<Expr> before) {
  Type element = x.type.getElementType(), word = k.getI32Type();
  constexpr int64_t kWords = kLaneDepth / 2;
  bool mayEnd = getMemberSteps() * teamWarps * kStepDepth != depth;
  // All loads are under way before the first product.
  SmallVector<Exprs> loaded;
  for (int64_t step = 0; step < count; ++step) {
    Expr place = first + step * kStepDepth;
    loaded.emplace_back();
    for (Expr line : lines) {
      Array row{line, element, {k.i32(depth)}};
      Expr inside = mayEnd ? min(place, depth - kLaneDepth) : place;
      Expr words = k.loadRaw(k.address(row, inside), word, kWords);
      if (mayEnd)
        words = k.select(place < depth, words, k.pack(Exprs(kWords, k.i32(0))));
      loaded.back().push_back(words);
    }
  }
  Exprs sums(before);
  for (ArrayRef<Expr> step : loaded)
    for (int64_t j = 0; j < kWords; j += 2) {
      auto wordOf = [&](int64_t line, int64_t i) {
        return k.element(step[line], i);
      };
      sums = mma::multiply(
          k, element,
          {wordOf(1, j), wordOf(2, j), wordOf(1, j + 1), wordOf(2, j + 1)},
          {wordOf(0, j), wordOf(0, j + 1)}, sums);
    }
  return sums;
}

//===----------------------------------------------------------------------===//
// Output
//===----------------------------------------------------------------------===//

/// Adds the sums of a team's warps, always in the same order; its first warp
/// gets the result.
Exprs SkinnyGemm::sumTeam(KernelBuilder &k, ArrayRef<Expr> sums) {
  if (teamWarps == 1)
    return Exprs(sums);
  Array parts =
      k.shared("parts", {kWarps, kWarpSize, mma::kSums}, k.getF32Type());
  k.store(k.pack(sums), parts, {k.warp(), k.lane()});
  k.barrier();
  Exprs results(sums);
  for (int64_t other = 1; other < teamWarps; ++other) {
    // Beyond the block's last warp there is nothing, and nobody asks for it.
    Expr warp = min(k.warp() + other, kWarps - 1);
    Expr part = k.load(parts, {warp, k.lane()}, mma::kSums);
    for (int64_t i = 0; i < mma::kSums; ++i)
      results[i] = results[i] + k.element(part, i);
  }
  k.barrier();
  return results;
}

void SkinnyGemm::store(KernelBuilder &k, const RowTile &tile, Expr column,
                       ArrayRef<Expr> sums) {
  // A lane has rows 2 t and 2 t + 1 of x, and of both halves weight g.
  constexpr int64_t kLaneRows = 2;
  int64_t outputHalves = epilogue.isGated() ? 1 : kHalves;
  for (int64_t half = 0; half < outputHalves; ++half) {
    Expr own = column + k.lane() / 4 + half * kHalfRows;
    auto bias = epilogue.loadBias(k, tile.expert, own, columns);
    for (int64_t i = 0; i < kLaneRows; ++i) {
      Expr row = tile.firstRow + k.lane() % 4 * kLaneRows + i;
      k.ifThen((row < tile.endRow) & (own < columns), [&] {
        SmallVector<Expr, 2> values{sums[half * kLaneRows + i]};
        if (epilogue.isGated())
          values.push_back(sums[kLaneRows + i]);
        Expr scale = epilogue.scale ? epilogue.scale(k, row) : Expr();
        k.store(epilogue.apply(values, scale, bias), y, {row, own});
      });
    }
  }
}

//===----------------------------------------------------------------------===//
// The launch
//===----------------------------------------------------------------------===//

bool hasSkinnyPath(const GemmOperands &operands) {
  MemRefType x = getMemRefType(operands.x);
  MemRefType weights = getMemRefType(operands.weights);
  return isa<BFloat16Type, Float16Type>(x.getElementType()) &&
         weights.getElementType() == x.getElementType() &&
         x.getDimSize(1) % kLaneDepth == 0 &&
         !ShapedType::isDynamic(getMemRefType(operands.y).getDimSize(1));
}

void launchSkinnyGemm(const Emission &emission, StringRef stem, StringRef label,
                      const GemmOperands &operands) {
  Launch launch(emission, stem, label);
  SkinnyGemm kernel(launch, operands);
  ExprBuilder grid = gridBuilder(emission);
  Expr rows = dimOf(grid, operands.y, 0);
  // At most so many tiles: each expert may leave one that is not full.
  Expr rowTiles = ceilDiv(rows, kRows);
  if (operands.expertOffsets)
    rowTiles = min(rowTiles + dimOf(grid, operands.weights, 0), rows);
  Expr items = rowTiles * kernel.getColumnItems();
  Expr blocks = min((items + (kernel.getTeams() - 1)) / kernel.getTeams(),
                    emission.target.multiprocessors * kResidentBlocks);
  launch.emit(blocks, [&](KernelBuilder &k) { kernel.emit(k); });
}

} // namespace moe::codegen::cuda
