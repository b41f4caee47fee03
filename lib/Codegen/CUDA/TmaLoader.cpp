//===- TmaLoader.cpp - Operands that TMA brings ---------------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Activation.h"
#include "GatherLoader.h"
#include "Tma.h"

#include "mlir/Dialect/MemRef/IR/MemRef.h"

using namespace mlir;

namespace moe::codegen::cuda {

/// Elements of a row of `buffer` in one stage.
static int64_t getDepth(Value buffer) {
  return getStageDepth(getMemRefType(buffer).getElementType());
}

//===----------------------------------------------------------------------===//
// Rows
//===----------------------------------------------------------------------===//

namespace {
/// Neighbouring rows, in boxes of a step of the tile's height.
class TmaRowLoader : public Loader {
public:
  TmaRowLoader(Launch &launch, Value x, const GemmTile &tile)
      : tile(tile),
        x(launch.readTiles(x, {tile.stepM, getDepth(x)}, kPanelRowBytes)) {}

  Expr getBytes(KernelBuilder &k, const OutputTile &output) const override {
    return ceilDiv(countRows(output), tile.stepM) *
           (tile.stepM * kPanelRowBytes);
  }
  void issue(KernelBuilder &k, const OutputTile &output,
             const StageToFill &stage) const override {
    Expr rows = countRows(output);
    GemmStage memory(k, tile, stage.number);
    for (int64_t first = 0; first < tile.tileM; first += tile.stepM)
      k.ifThen(rows > first, [&] {
        emitTmaLoad(k, x, {output.firstRow + first, stage.column},
                    memory.rows(first), stage.barrier);
      });
  }

private:
  Expr countRows(const OutputTile &output) const {
    Expr rows = output.endRow - output.firstRow;
    // In a cluster there may be none.
    return tile.cluster > 1 ? max(rows, 0) : rows;
  }

  const GemmTile &tile;
  Buffer x;
};
} // namespace

std::unique_ptr<Loader> createRowLoader(Launch &launch,
                                        const GemmOperands &operands,
                                        const Buffer &sourceRows,
                                        const GemmTile &tile) {
  if (sourceRows)
    return std::make_unique<GatherLoader>(launch, operands.x, sourceRows, tile);
  return std::make_unique<TmaRowLoader>(launch, operands.x, tile);
}

//===----------------------------------------------------------------------===//
// Weights
//===----------------------------------------------------------------------===//

/// The weights with rows of gates and of ups apart: [.., 2I, K] as
/// [.., 2, I, K].
static Value splitGatesAndUps(const Emission &emission, Value weights) {
  MemRefType type = getMemRefType(weights);
  int64_t split = type.getRank() - 2;
  SmallVector<int64_t> shape(type.getShape());
  SmallVector<ReassociationIndices> groups;
  for (int64_t dim = 0, place = 0; dim < type.getRank(); ++dim) {
    groups.push_back({place++});
    if (dim == split)
      groups.back().push_back(place++);
  }
  shape[split] /= 2;
  shape.insert(shape.begin() + split, 2);
  OpBuilder &b = emission.builder;
  SmallVector<OpFoldResult> sizes;
  for (auto [dim, size] : llvm::enumerate(shape))
    sizes.push_back(
        ShapedType::isDynamic(size)
            ? OpFoldResult(memref::DimOp::create(b, emission.loc, weights, dim)
                               .getResult())
            : OpFoldResult(b.getIndexAttr(size)));
  auto splitType = MemRefType::get(shape, type.getElementType());
  return memref::ExpandShapeOp::create(b, emission.loc, splitType, weights,
                                       groups, sizes);
}

namespace {
/// Boxes of weights, one after the other or, in a cluster, one by each block
/// for all of its blocks.
class TmaWeightLoader : public Loader {
public:
  TmaWeightLoader(Launch &launch, const Emission &emission,
                  const GemmOperands &operands, const GemmTile &tile);

  Expr getBytes(KernelBuilder &k, const OutputTile &) const override {
    return k.i32(tile.getWeightBytes());
  }
  void issue(KernelBuilder &k, const OutputTile &output,
             const StageToFill &stage) const override;

private:
  const GemmTile &tile;
  bool hasExperts, isGated;
  Buffer weights;
};
} // namespace

TmaWeightLoader::TmaWeightLoader(Launch &launch, const Emission &emission,
                                 const GemmOperands &operands,
                                 const GemmTile &tile)
    : tile(tile), hasExperts(static_cast<bool>(operands.expertOffsets)),
      isGated(operands.activation && operands.activation.isGated()) {
  Value view = operands.weights;
  SmallVector<int64_t> box{tile.getBoxRows(), getDepth(operands.weights)};
  if (isGated) {
    view = splitGatesAndUps(emission, view);
    box.insert(box.begin(), 1);
  }
  if (hasExperts)
    box.insert(box.begin(), 1);
  weights = launch.readTiles(view, box, kPanelRowBytes);
}

void TmaWeightLoader::issue(KernelBuilder &k, const OutputTile &output,
                            const StageToFill &stage) const {
  GemmStage memory(k, tile, stage.number);
  for (int64_t box = 0; box < kWeightBoxes; ++box) {
    Exprs place{output.column + box * tile.getBoxRows(), stage.column};
    if (isGated)
      place = {k.i32(box), output.column, stage.column};
    if (hasExperts)
      place.insert(place.begin(), output.expert);
    auto load = [&] {
      emitTmaLoad(k, weights, place, memory.weights(box), stage.barrier,
                  tile.cluster);
    };
    if (tile.cluster == 1)
      load();
    else
      k.ifThen(k.block() % tile.cluster == box, load);
  }
}

std::unique_ptr<Loader> createWeightLoader(Launch &launch,
                                           const Emission &emission,
                                           const GemmOperands &operands,
                                           const GemmTile &tile) {
  return std::make_unique<TmaWeightLoader>(launch, emission, operands, tile);
}

} // namespace moe::codegen::cuda
