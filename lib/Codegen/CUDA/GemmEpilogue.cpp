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

/// The thread's number in its warpgroup, read anew. Otherwise addresses that
/// depend on nothing else would be computed once, for all tiles, and take the
/// registers that the sums need.
static Expr emitThread(KernelBuilder &k) {
  auto read = LLVM::InlineAsmOp::create(
      k, k.getI32Type(), ValueRange(), "mov.u32 $0, %tid.x;", "=r",
      /*has_side_effects=*/true, /*is_align_stack=*/false,
      LLVM::TailCallKind::None,
      LLVM::AsmDialectAttr::get(k.getContext(), LLVM::AsmDialect::AD_ATT),
      /*operand_attrs=*/ArrayAttr());
  return k.wrap(read.getResult(0)) % kWarpgroup;
}

GemmEpilogue::GemmEpilogue(KernelBuilder &k, const GemmTile &shape,
                           int64_t height, const GemmFinish &finish,
                           const Buffer &output, Expr consumer)
    : k(k), shape(shape), height(height), finish(finish), output(output),
      consumer(consumer) {}

void GemmEpilogue::store(const OutputTile &tile, ArrayRef<Expr> sums) {
  thread = emitThread(k);
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
    return {{0, 0, finish.getColumns(shape) / 8}};
  SmallVector<Fragment> fragments{{0, 0, height / 8}};
  if (!finish.isGated())
    fragments.push_back({1, 0, height / 8});
  return fragments;
}

SmallVector<GemmEpilogue::Fragment> GemmEpilogue::getPanels() const {
  // A panel has 64 columns: swapped, those of a fragment.
  SmallVector<Fragment> panels;
  for (const Fragment &fragment : getFragments()) {
    int64_t count = shape.swapped ? fragment.count : kStageDepth / 8;
    for (int64_t first = 0; first < fragment.count; first += count)
      panels.push_back({fragment.box, first, count});
  }
  return panels;
}

Expr GemmEpilogue::alongFirst(int64_t h) {
  return consumer * kWgmmaRows + thread / kWarpSize * 16 +
         thread % kWarpSize / 4 + 8 * h;
}

Expr GemmEpilogue::alongSecond(int64_t j, int64_t b) {
  return thread % 4 * 2 + (8 * j + b);
}

Expr GemmEpilogue::rowOf(int64_t j, int64_t h, int64_t b) {
  return shape.swapped ? alongSecond(j, b) : alongFirst(h);
}

Expr GemmEpilogue::columnOf(const Fragment &fragment, int64_t j, int64_t h,
                            int64_t b) {
  return shape.swapped ? alongFirst(h) + fragment.box * shape.getBoxRows()
                       : alongSecond(j, b);
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
    function_ref<void(int64_t, const Results &)> take) {
  // Not swapped, ups follow the gates in the same sum.
  int64_t ups = finish.getColumns(shape) / 8;
  auto sumsOf = [&](int64_t j, int64_t h, int64_t b) {
    SmallVector<Expr, 2> values{
        WgmmaAccumulator::get(k, sums[fragment.box], j, h, b)};
    if (finish.isGated())
      values.push_back(shape.swapped
                           ? WgmmaAccumulator::get(k, sums[1], j, h, b)
                           : WgmmaAccumulator::get(k, sums[0], j + ups, h, b));
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
  for (int64_t i = 0; i < fragment.count; ++i) {
    int64_t j = fragment.first + i;
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
    finishBlocks(tile, sums, fragment, [&](int64_t j, const Results &results) {
      for (int64_t h : {0, 1}) {
        if (!shape.swapped) {
          storeAt(fragment, j, h, 0, k.pack(results[h]));
          continue;
        }
        for (int64_t b : {0, 1})
          storeAt(fragment, j, h, b, results[h][b]);
      }
    });
}

/// 64 columns of a warpgroup's results on their way: rows of 128 bytes with the
/// chunks swizzled, so that neither threads that write nor threads that read
/// meet in a bank.
class GemmEpilogue::StagedPanel {
public:
  static constexpr int64_t kChunks = kPanelRowBytes / kChunkBytes;

  StagedPanel(KernelBuilder &k, Expr thread, Expr base, int64_t rows)
      : k(k), thread(thread),
        memory{base, k.getI8Type(), {k.i32(rows), k.i32(kPanelRowBytes)}} {}

  Expr chunk(Expr row, Expr chunk) {
    return k.address(memory, {row, (chunk ^ row % 8) * kChunkBytes});
  }

  /// Stores four matrices of 8 x 8: of the blocks j and j + 1, each with h = 0
  /// and h = 1. Lane l says where row l mod 8 of matrix l / 8 goes.
  void storeMatrices(int64_t j, bool isTransposed, ArrayRef<Value> matrices) {
    Expr lane = thread % kWarpSize;
    Expr block = lane / 16 + j, line = lane % 8;
    Expr along = thread / kWarpSize * 2 + lane / 8 % 2;
    Expr address = isTransposed ? chunk(block * 8 + line, along)
                                : chunk(along * 8 + line, block);
    NVVM::StMatrixOp::create(
        k, address, matrices,
        isTransposed ? NVVM::MMALayout::col : NVVM::MMALayout::row,
        NVVM::LdStMatrixShapeAttr::get(k.getContext(), 8, 8),
        NVVM::LdStMatrixEltType::B16);
  }

private:
  KernelBuilder &k;
  Expr thread;
  Array memory;
};

void GemmEpilogue::storeStaged(const OutputTile &tile, ArrayRef<Expr> sums) {
  GemmSharedMemory memory(shape);
  Array staging = k.dynamicShared(
      memory.staging, {shape.consumers, memory.stagingBytes}, k.getI8Type());
  Expr own = shape.storesInTurn() ? k.i32(0) : consumer;
  int64_t panelBytes = getPanelRows() * kPanelRowBytes;
  size_t atOnce = memory.stagingBytes / panelBytes;
  SmallVector<Fragment> panels = getPanels();
  auto panelAt = [&](size_t place) {
    Expr offset = k.i32(static_cast<int64_t>(place) * panelBytes);
    return StagedPanel(k, thread, k.address(staging, {own, offset}),
                       getPanelRows());
  };
  // Barrier 0 is for the whole block.
  Expr barrier = consumer + 1;
  for (size_t first = 0; first < panels.size(); first += atOnce) {
    auto now = ArrayRef(panels).drop_front(first).take_front(atOnce);
    // What was there before has been read.
    k.barrier(barrier, kWarpgroup);
    for (auto [place, fragment] : llvm::enumerate(now)) {
      StagedPanel panel = panelAt(place);
      stage(panel, tile, sums, fragment);
    }
    k.barrier(barrier, kWarpgroup);
    for (auto [place, fragment] : llvm::enumerate(now)) {
      StagedPanel panel = panelAt(place);
      writeOut(panel, tile, fragment);
    }
  }
}

void GemmEpilogue::stage(StagedPanel &panel, const OutputTile &tile,
                         ArrayRef<Expr> sums, const Fragment &fragment) {
  SmallVector<Value, 4> matrices;
  finishBlocks(tile, sums, fragment, [&](int64_t j, const Results &results) {
    for (const auto &pair : results) {
      Expr rounded = k.narrow(k.pack(pair), output.type.getElementType());
      matrices.push_back(k.bitcast(rounded, k.getI32Type()));
    }
    if (matrices.size() < 4)
      return;
    panel.storeMatrices(j - 1 - fragment.first, shape.swapped, matrices);
    matrices.clear();
  });
}

/// Eight threads write a line.
void GemmEpilogue::writeOut(StagedPanel &panel, const OutputTile &tile,
                            const Fragment &fragment) {
  constexpr int64_t kElements = kChunkBytes / 2;
  Expr own = consumer * kWgmmaRows;
  Expr firstRow = shape.swapped ? tile.firstRow : tile.firstRow + own;
  Expr firstColumn =
      tile.column + (shape.swapped ? own + fragment.box * shape.getBoxRows()
                                   : k.i32(fragment.first * 8));
  Expr chunk = thread % StagedPanel::kChunks;
  Expr column = firstColumn + chunk * kElements;
  Expr isColumn = column < k.dim(output, 1);
  for (int64_t turn = 0; turn < getPanelRows();
       turn += kWarpgroup / StagedPanel::kChunks) {
    Expr line = thread / StagedPanel::kChunks + turn;
    Expr row = firstRow + line;
    k.ifThen((row < tile.endRow) & isColumn, [&] {
      Expr value = k.loadRaw(panel.chunk(line, chunk),
                             output.type.getElementType(), kElements);
      k.storeRaw(value, k.address(output, {row, column}));
    });
  }
}

} // namespace moe::codegen::cuda
