//===- Epilogue.cpp - From sums to the output -----------------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Epilogue.h"

#include "mlir/Dialect/LLVMIR/NVVMDialect.h"

using namespace mlir;

namespace moe::codegen::cuda {

void Epilogue::store(const OutputTile &tile, const Fragment &sums) {
  Expr thread = k.threadAnew() % kWarpgroup;
  FragmentLayout layout = core.getLayout(thread);
  if (output.type.getElementTypeBitWidth() == 16)
    storeStaged(tile, sums, layout, thread);
  else
    storeDirectly(tile, sums, layout);
}

//===----------------------------------------------------------------------===//
// Values
//===----------------------------------------------------------------------===//

Epilogue::LineValues Epilogue::loadLine(const OutputTile &tile, Axis axis,
                                        Expr place) {
  if (axis == Axis::Column)
    return {{},
            op.loadBias(k, tile.expert, tile.column + place,
                        output.type.getDimSize(1))};
  if (!op.scale)
    return {};
  return {op.scale(k, min(tile.firstRow + place, tile.endRow - 1)), {}};
}

void Epilogue::finishBlocks(const OutputTile &tile, const Fragment &sums,
                            const Layout &layout, const Layout::Part &part,
                            function_ref<void(int64_t, const Results &)> take) {
  auto sumsOf = [&](int64_t j, int64_t h, int64_t b) {
    SmallVector<Expr, 2> values{core.getElement(sums, part.box, j, h, b)};
    if (op.isGated())
      values.push_back(core.getElement(sums, 1, j, h, b));
    return values;
  };
  // Lines along M are the same in all blocks.
  std::array<LineValues, 2> ofM, ofN;
  for (int64_t h : {0, 1})
    ofM[h] = loadLine(tile, layout.getAxisOfM(), layout.alongM(part, h));
  for (int64_t j = part.first; j < part.first + part.count; ++j) {
    for (int64_t b : {0, 1})
      ofN[b] = loadLine(tile, layout.getAxisOfN(), layout.alongN(j, b));
    Results results;
    for (int64_t h : {0, 1})
      for (int64_t b : {0, 1})
        results[h][b] = op.apply(
            sumsOf(j, h, b), ofM[h].scale ? ofM[h].scale : ofN[b].scale,
            ofM[h].bias.empty() ? ofN[b].bias : ofM[h].bias);
    take(j, results);
  }
}

//===----------------------------------------------------------------------===//
// Stores
//===----------------------------------------------------------------------===//

void Epilogue::storeDirectly(const OutputTile &tile, const Fragment &sums,
                             const Layout &layout) {
  // Four lanes, or eight where a thread has no neighbours of a row, write 32
  // bytes in a row: whole sectors.
  bool hasPairs = layout.getAxisOfN() == Axis::Column;
  Expr columns = k.dim(output, 1);
  auto storeAt = [&](const Layout::Part &part, int64_t j, int64_t h, int64_t b,
                     Expr value) {
    Expr row = tile.firstRow + layout.rowOf(part, j, h, b);
    Expr column = tile.column + layout.columnOf(part, j, h, b);
    k.ifThen((row < tile.endRow) & (column < columns),
             [&] { k.store(value, output, {row, column}); });
  };
  for (const Layout::Part &part : layout.getParts(op.isGated()))
    finishBlocks(tile, sums, layout, part,
                 [&](int64_t j, const Results &results) {
                   for (int64_t h : {0, 1}) {
                     if (hasPairs) {
                       storeAt(part, j, h, 0, k.pack(results[h]));
                       continue;
                     }
                     for (int64_t b : {0, 1})
                       storeAt(part, j, h, b, results[h][b]);
                   }
                 });
}

/// 64 columns of a warpgroup's results on their way: rows of 128 bytes with the
/// chunks swizzled, so that neither threads that write nor threads that read
/// meet in a bank.
class Epilogue::StagedPanel {
public:
  static constexpr int64_t kChunks = kPanelRowBytes / kChunkBytes;

  StagedPanel(KernelBuilder &k, Expr thread, Expr base, int64_t rows)
      : thread(thread), k(k),
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

  Expr thread; ///< In the warpgroup.

private:
  KernelBuilder &k;
  Array memory;
};

void Epilogue::storeStaged(const OutputTile &tile, const Fragment &sums,
                           const Layout &layout, Expr thread) {
  GemmSharedMemory memory(shape);
  Array staging = k.dynamicShared(
      memory.staging, {shape.consumers, memory.stagingBytes}, k.getI8Type());
  Expr own = shape.storesInOrder() ? k.i32(0) : consumer;
  int64_t panelBytes = layout.getPanelRows() * kPanelRowBytes;
  size_t atOnce = memory.stagingBytes / panelBytes;
  SmallVector<Layout::Part> panels = layout.getPanels(op.isGated());
  auto panelAt = [&](size_t place) {
    Expr offset = k.i32(static_cast<int64_t>(place) * panelBytes);
    return StagedPanel(k, thread, k.address(staging, {own, offset}),
                       layout.getPanelRows());
  };
  // Barrier 0 is for the whole block.
  Expr barrier = consumer + 1;
  for (size_t first = 0; first < panels.size(); first += atOnce) {
    auto now = ArrayRef(panels).slice(first).take_front(atOnce);
    // What was there before has been read.
    k.barrier(barrier, kWarpgroup);
    for (auto [place, part] : llvm::enumerate(now)) {
      StagedPanel panel = panelAt(place);
      stage(panel, tile, sums, layout, part);
    }
    k.barrier(barrier, kWarpgroup);
    for (auto [place, part] : llvm::enumerate(now)) {
      StagedPanel panel = panelAt(place);
      writeOut(panel, tile, layout, part);
    }
  }
}

void Epilogue::stage(StagedPanel &panel, const OutputTile &tile,
                     const Fragment &sums, const Layout &layout,
                     const Layout::Part &part) {
  bool isTransposed = layout.getAxisOfN() == Axis::Row;
  SmallVector<Value, 4> matrices;
  finishBlocks(
      tile, sums, layout, part, [&](int64_t j, const Results &results) {
        for (const auto &pair : results) {
          Expr rounded = k.narrow(k.pack(pair), output.type.getElementType());
          matrices.push_back(k.bitcast(rounded, k.getI32Type()));
        }
        if (matrices.size() < 4)
          return;
        panel.storeMatrices(j - 1 - part.first, isTransposed, matrices);
        matrices.clear();
      });
}

/// Eight threads write a line.
void Epilogue::writeOut(StagedPanel &panel, const OutputTile &tile,
                        const Layout &layout, const Layout::Part &part) {
  constexpr int64_t kElements = kChunkBytes / 2;
  Expr firstRow = tile.firstRow + layout.firstRowOf(part);
  Expr firstColumn = tile.column + layout.firstColumnOf(part);
  Expr chunk = panel.thread % StagedPanel::kChunks;
  Expr column = firstColumn + chunk * kElements;
  Expr isColumn = column < k.dim(output, 1);
  for (int64_t turn = 0; turn < layout.getPanelRows();
       turn += kWarpgroup / StagedPanel::kChunks) {
    Expr line = panel.thread / StagedPanel::kChunks + turn;
    Expr row = firstRow + line;
    k.ifThen((row < tile.endRow) & isColumn, [&] {
      Expr value = k.loadRaw(panel.chunk(line, chunk),
                             output.type.getElementType(), kElements);
      k.storeRaw(value, k.address(output, {row, column}));
    });
  }
}

} // namespace moe::codegen::cuda
