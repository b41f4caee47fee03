//===- GemmEpilogue.cpp - From sums to the output -------------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "GemmEpilogue.h"
#include "Activation.h"
#include "Math.h"

#include "mlir/Dialect/LLVMIR/NVVMDialect.h"

using namespace mlir;

namespace moe::codegen::cuda {

GemmFinish::GemmFinish(Launch &launch, const GemmOperands &operands,
                       const Buffer &sourceRows)
    : bias(launch.read(operands.bias)), activation(operands.activation) {
  Buffer factors = launch.read(operands.scale);
  if (!factors)
    return;
  scale = [factors, sourceRows,
           isSigmoid = operands.sigmoidOfScale](KernelBuilder &k, Expr row) {
    Expr source = sourceRows ? k.load(sourceRows, row) : row;
    Expr factor = k.load(factors, {source, k.i32(0)});
    return isSigmoid ? sigmoid(factor) : factor;
  };
}

SmallVector<Expr, 2> GemmFinish::loadBias(KernelBuilder &k, Expr expert,
                                          Expr column, int64_t columns) const {
  if (!bias)
    return {};
  column = min(column, columns - 1);
  SmallVector<Expr, 2> places{column};
  if (isGated())
    places = {gateRow(*activation, column),
              upRow(*activation, column, columns)};
  SmallVector<Expr, 2> values;
  for (Expr place : places)
    values.push_back(bias.type.getRank() == 1 ? k.load(bias, place)
                                              : k.load(bias, {expert, place}));
  return values;
}

Expr GemmFinish::apply(SmallVector<Expr, 2> sums, Expr scale,
                       ArrayRef<Expr> bias) const {
  for (auto [index, sum] : llvm::enumerate(sums)) {
    if (scale)
      sum = sum * scale;
    if (!bias.empty())
      sum = sum + bias[index];
  }
  if (!activation)
    return sums[0];
  return emitActivation(*activation, sums[0], isGated() ? sums[1] : Expr());
}

GemmEpilogue::GemmEpilogue(KernelBuilder &k, const GemmTile &shape,
                           const GemmFinish &finish, const Buffer &output,
                           Expr consumer)
    : k(k), shape(shape), finish(finish), output(output), consumer(consumer) {}

void GemmEpilogue::store(const OutputTile &tile, ArrayRef<Expr> sums) {
  if (output.type.getElementTypeBitWidth() == 16)
    storeStaged(tile, sums);
  else
    storeDirectly(tile, sums);
}

//===----------------------------------------------------------------------===//
// Which element is whose
//===----------------------------------------------------------------------===//

SmallVector<GemmEpilogue::Fragment> GemmEpilogue::getFragments() const {
  if (!shape.swapped)
    return {{0, finish.getColumns(shape) / 8}};
  SmallVector<Fragment> fragments{{0, shape.rows / 8}};
  if (!finish.isGated())
    fragments.push_back({1, shape.rows / 8});
  return fragments;
}

/// Where a thread's results are along the two sides of wgmma.
static Expr alongFirst(KernelBuilder &k, Expr consumer, int64_t h) {
  Expr warp = k.warp() % (kWarpgroup / kWarpSize);
  return consumer * kWgmmaRows + warp * 16 + k.lane() / 4 + 8 * h;
}
static Expr alongSecond(KernelBuilder &k, int64_t j, int64_t b) {
  return k.lane() % 4 * 2 + (8 * j + b);
}

Expr GemmEpilogue::rowOf(int64_t j, int64_t h, int64_t b) {
  return shape.swapped ? alongSecond(k, j, b) : alongFirst(k, consumer, h);
}

Expr GemmEpilogue::columnOf(const Fragment &fragment, int64_t j, int64_t h,
                            int64_t b) {
  return shape.swapped
             ? alongFirst(k, consumer, h) + fragment.box * shape.getBoxRows()
             : alongSecond(k, j, b);
}

//===----------------------------------------------------------------------===//
// Values
//===----------------------------------------------------------------------===//

Expr GemmEpilogue::scaleOf(const OutputTile &tile, Expr row) {
  if (!finish.scale)
    return {};
  return finish.scale(k, min(tile.firstRow + row, tile.endRow - 1));
}

SmallVector<Expr, 2> GemmEpilogue::biasOf(const OutputTile &tile, Expr column) {
  return finish.loadBias(k, tile.expert, tile.column + column,
                         output.type.getDimSize(1));
}

void GemmEpilogue::finishBlocks(
    const OutputTile &tile, ArrayRef<Expr> sums, const Fragment &fragment,
    int64_t first, int64_t count,
    function_ref<void(int64_t, const Results &)> take) {
  Type element = output.type.getElementType();
  WgmmaAccumulator accumulator(k, element, shape.getWgmmaColumns());
  auto sumsOf = [&](int64_t j, int64_t h, int64_t b) {
    SmallVector<Expr, 2> values{accumulator.get(sums[fragment.box], j, h, b)};
    // Gates and ups are in the same thread: in two accumulators, or in the two
    // halves of one.
    if (finish.isGated())
      values.push_back(
          shape.swapped ? accumulator.get(sums[1], j, h, b)
                        : accumulator.get(sums[0], j + fragment.blocks, h, b));
    return values;
  };
  // Scale belongs to the row and bias to the column. One of them is the same in
  // all blocks.
  std::array<Expr, 2> scale;
  std::array<SmallVector<Expr, 2>, 2> bias;
  for (int64_t h : {0, 1}) {
    if (shape.swapped)
      bias[h] = biasOf(tile, columnOf(fragment, 0, h, 0));
    else
      scale[h] = scaleOf(tile, rowOf(0, h, 0));
  }
  for (int64_t j = first; j < first + count; ++j) {
    for (int64_t b : {0, 1}) {
      if (shape.swapped)
        scale[b] = scaleOf(tile, rowOf(j, 0, b));
      else
        bias[b] = biasOf(tile, columnOf(fragment, j, 0, b));
    }
    Results results;
    for (int64_t h : {0, 1})
      for (int64_t b : {0, 1})
        results[h][b] =
            finish.apply(sumsOf(j, h, b), scale[shape.swapped ? b : h],
                         bias[shape.swapped ? h : b]);
    take(j, results);
  }
}

//===----------------------------------------------------------------------===//
// Stores
//===----------------------------------------------------------------------===//

void GemmEpilogue::storeDirectly(const OutputTile &tile, ArrayRef<Expr> sums) {
  // Four lanes, or swapped eight, write 32 bytes in a row: whole sectors.
  Expr columns = k.dim(output, 1);
  auto storeAt = [&](const Fragment &fragment, int64_t j, int64_t h, int64_t b,
                     Expr value) {
    Expr row = tile.firstRow + rowOf(j, h, b);
    Expr column = tile.column + columnOf(fragment, j, h, b);
    k.ifThen((row < tile.endRow) & (column < columns),
             [&] { k.store(value, output, {row, column}); });
  };
  for (const Fragment &fragment : getFragments())
    finishBlocks(tile, sums, fragment, 0, fragment.blocks,
                 [&](int64_t j, const Results &results) {
                   for (int64_t h : {0, 1}) {
                     if (!shape.swapped) {
                       Expr pair = k.pack({results[h][0], results[h][1]});
                       storeAt(fragment, j, h, 0, pair);
                       continue;
                     }
                     for (int64_t b : {0, 1})
                       storeAt(fragment, j, h, b, results[h][b]);
                   }
                 });
}

namespace {
/// 64 columns of a warpgroup's results on their way: rows of 128 bytes with the
/// chunks swizzled, so that threads that write and read meet no bank twice.
struct StagedPanel {
  StagedPanel(KernelBuilder &k, Expr base, int64_t rows)
      : k(k),
        memory{base, k.getI8Type(), {k.i32(rows), k.i32(kPanelRowBytes)}} {}

  Expr chunk(Expr row, Expr chunk) {
    return k.address(memory, {row, (chunk ^ row % 8) * kChunkBytes});
  }

  KernelBuilder &k;
  Array memory;
};
} // namespace

/// Stores the results of blocks j and j + 1, four matrices of 8 x 8, with
/// stmatrix. Lane l says where row l mod 8 of matrix l / 8 goes; matrices are
/// in the order (j, h = 0), (j, h = 1), (j + 1, h = 0), (j + 1, h = 1). `j`
/// counts from the panel's first block.
static void emitStoreMatrices(KernelBuilder &k, StagedPanel &panel, int64_t j,
                              bool isTransposed, ArrayRef<Value> matrices) {
  Expr warp = k.warp() % (kWarpgroup / kWarpSize);
  Expr h = k.lane() / 8 % 2, block = k.lane() / 16 + j, line = k.lane() % 8;
  Expr along = warp * 2 + h;
  Expr address = isTransposed ? panel.chunk(block * 8 + line, along)
                              : panel.chunk(along * 8 + line, block);
  auto shape = NVVM::LdStMatrixShapeAttr::get(k.getContext(), 8, 8);
  NVVM::StMatrixOp::create(k, address, matrices,
                           isTransposed ? NVVM::MMALayout::col
                                        : NVVM::MMALayout::row,
                           shape, NVVM::LdStMatrixEltType::B16);
}

void GemmEpilogue::storeStaged(const OutputTile &tile, ArrayRef<Expr> sums) {
  Type element = output.type.getElementType();
  GemmSharedMemory memory(shape);
  int64_t rows = shape.swapped ? shape.rows : kWgmmaRows;
  int64_t panelBytes = rows * kPanelRowBytes;
  // A panel is a whole fragment if swapped, else 64 of its columns.
  int64_t blocks = shape.swapped ? rows / 8 : kStageDepth / 8;
  struct Part {
    Fragment fragment;
    int64_t first; ///< Block.
    Expr row, column;
  };
  SmallVector<Part> parts;
  for (const Fragment &fragment : getFragments())
    for (int64_t first = 0; first < fragment.blocks; first += blocks) {
      Expr begin = consumer * kWgmmaRows;
      parts.push_back(
          shape.swapped
              ? Part{fragment, first, tile.firstRow,
                     tile.column + begin + fragment.box * shape.getBoxRows()}
              : Part{fragment, first, tile.firstRow + begin,
                     tile.column + first * 8});
    }

  Array staging = k.dynamicShared(
      memory.staging, {shape.consumers, memory.stagingBytes}, k.getI8Type());
  Expr columns = k.dim(output, 1), barrier = consumer + 1;
  size_t atOnce = memory.stagingBytes / panelBytes;
  for (ArrayRef<Part> rest = parts; !rest.empty();
       rest = rest.drop_front(std::min(atOnce, rest.size()))) {
    ArrayRef<Part> now = rest.take_front(atOnce);
    auto panelOf = [&](size_t index) {
      int64_t offset = index * panelBytes;
      return StagedPanel(k, k.address(staging, {consumer, k.i32(offset)}),
                         rows);
    };
    // What was there before has been read.
    k.barrier(barrier, kWarpgroup);
    for (auto [index, part] : llvm::enumerate(now)) {
      StagedPanel panel = panelOf(index);
      SmallVector<Value, 4> matrices;
      finishBlocks(tile, sums, part.fragment, part.first, blocks,
                   [&](int64_t j, const Results &results) {
                     for (const auto &pair : results) {
                       Expr rounded = k.narrow(k.pack(pair), element);
                       matrices.push_back(k.bitcast(rounded, k.getI32Type()));
                     }
                     if (matrices.size() < 4)
                       return;
                     emitStoreMatrices(k, panel, j - part.first - 1,
                                       shape.swapped, matrices);
                     matrices.clear();
                   });
    }
    k.barrier(barrier, kWarpgroup);
    // Eight threads write a line.
    constexpr int64_t kChunks = kPanelRowBytes / kChunkBytes;
    constexpr int64_t kElements = kChunkBytes / 2;
    Expr thread = k.thread() % kWarpgroup;
    Expr chunk = thread % kChunks;
    for (auto [index, part] : llvm::enumerate(now)) {
      StagedPanel panel = panelOf(index);
      Expr column = part.column + chunk * kElements;
      for (int64_t turn = 0; turn < rows; turn += kWarpgroup / kChunks) {
        Expr line = thread / kChunks + turn;
        Expr row = part.row + line;
        k.ifThen((row < tile.endRow) & (column < columns), [&] {
          Expr value = k.loadRaw(panel.chunk(line, chunk), element, kElements);
          k.storeRaw(value, k.address(output, {row, column}));
        });
      }
    }
  }
}

} // namespace moe::codegen::cuda
