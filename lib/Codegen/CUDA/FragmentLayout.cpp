//===- FragmentLayout.cpp - Whose sums are where --------------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "FragmentLayout.h"

using namespace llvm;

namespace moe::codegen::cuda {

/// Lines along N of one block.
static constexpr int64_t kBlockLines = 8;

SmallVector<FragmentLayout::Part> FragmentLayout::getParts(bool isGated) const {
  int64_t boxes = isGated ? 1 : kWeightBoxes;
  if (!tile.swapAB)
    return {{0, 0, boxes * tile.getBoxRows() / kBlockLines}};
  SmallVector<Part> parts;
  for (int64_t box = 0; box < boxes; ++box)
    parts.push_back({box, 0, height / kBlockLines});
  return parts;
}

SmallVector<FragmentLayout::Part>
FragmentLayout::getPanels(bool isGated) const {
  SmallVector<Part> panels;
  for (const Part &part : getParts(isGated)) {
    int64_t count = tile.swapAB ? part.count : kPanelColumns / kBlockLines;
    for (int64_t first = 0; first < part.count; first += count)
      panels.push_back({part.box, first, count});
  }
  return panels;
}

Expr FragmentLayout::firstRowOf(const Part &panel) const {
  return tile.swapAB ? k.i32(0) : consumer * kMmaM;
}

Expr FragmentLayout::firstColumnOf(const Part &panel) const {
  return tile.swapAB ? consumer * kMmaM + panel.box * tile.getBoxRows()
                     : k.i32(panel.first * kBlockLines);
}

Expr FragmentLayout::alongM(const Part &part, int64_t h) const {
  // With swap-AB the boxes of the weights follow each other along M.
  return consumer * kMmaM + thread / kWarpSize * 16 + thread % kWarpSize / 4 +
         8 * h + part.box * tile.getBoxRows();
}

Expr FragmentLayout::alongN(int64_t j, int64_t b) const {
  return thread % 4 * 2 + (kBlockLines * j + b);
}

Expr FragmentLayout::rowOf(const Part &part, int64_t j, int64_t h,
                           int64_t b) const {
  return getAxisOfM() == Axis::Row ? alongM(part, h) : alongN(j, b);
}

Expr FragmentLayout::columnOf(const Part &part, int64_t j, int64_t h,
                              int64_t b) const {
  return getAxisOfM() == Axis::Column ? alongM(part, h) : alongN(j, b);
}

} // namespace moe::codegen::cuda
