//===- RowContraction.cpp - A few rows times a tile of weights ------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "RowContraction.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Utils/StaticValueUtils.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"

using namespace mlir;
using namespace moe::codegen;
using namespace moe::codegen::cpu;

RegisterBlock moe::codegen::cpu::getRegisterBlock(unsigned vectorBits,
                                                  Type element) {
  if (vectorBits == 512)
    return {4, 4};
  return element.isF32() ? RegisterBlock{6, 2} : RegisterBlock{4, 2};
}

//===----------------------------------------------------------------------===//
// The linalg form
//===----------------------------------------------------------------------===//

static SmallVector<AffineMap> getIndexingMaps(MLIRContext *context,
                                              size_t numRows) {
  AffineExpr n = getAffineDimExpr(0, context), k = getAffineDimExpr(1, context);
  SmallVector<AffineMap> maps(numRows, AffineMap::get(2, 0, {k}, context));
  maps.push_back(AffineMap::get(2, 0, {n, k}, context));
  maps.append(numRows, AffineMap::get(2, 0, {n}, context));
  return maps;
}

linalg::GenericOp moe::codegen::cpu::buildRowContraction(OpBuilder &builder,
                                                         Location loc,
                                                         ValueRange rows,
                                                         Value weights,
                                                         ValueRange sums) {
  SmallVector<Value> inputs(rows);
  inputs.push_back(weights);
  auto body = [&](OpBuilder &b, Location loc, ValueRange arguments) {
    auto widen = [&](Value value) -> Value {
      if (value.getType().isF32())
        return value;
      return arith::ExtFOp::create(b, loc, b.getF32Type(), value);
    };
    Value weight = widen(arguments[rows.size()]);
    SmallVector<Value> results;
    for (size_t i = 0; i < rows.size(); ++i) {
      Value product =
          arith::MulFOp::create(b, loc, widen(arguments[i]), weight);
      Value sum = arguments[rows.size() + 1 + i];
      results.push_back(arith::AddFOp::create(b, loc, sum, product));
    }
    linalg::YieldOp::create(b, loc, results);
  };
  return linalg::GenericOp::create(
      builder, loc, inputs, sums,
      getIndexingMaps(builder.getContext(), rows.size()),
      {utils::IteratorType::parallel, utils::IteratorType::reduction}, body);
}

LogicalResult moe::codegen::cpu::matchRowContraction(RewriterBase &rewriter,
                                                     linalg::GenericOp op) {
  size_t numRows = op.getNumDpsInits();
  if (!op.hasPureBufferSemantics() || numRows == 0 ||
      op.getNumDpsInputs() != static_cast<int64_t>(numRows) + 1)
    return rewriter.notifyMatchFailure(
        op, "expected buffers, and one sum for each row");
  if (op.getIteratorTypesArray() !=
          SmallVector<utils::IteratorType>{utils::IteratorType::parallel,
                                           utils::IteratorType::reduction} ||
      op.getIndexingMapsArray() != getIndexingMaps(op.getContext(), numRows))
    return rewriter.notifyMatchFailure(op, "expected rows times weights");

  Type row = getElementTypeOrSelf(op.getDpsInputs().front().getType());
  Type weight = getElementTypeOrSelf(op.getDpsInputs().back().getType());
  for (auto [i, operand] : llvm::enumerate(op->getOperands())) {
    auto type = cast<MemRefType>(operand.getType());
    bool isSum = i > numRows;
    Type expected = isSum ? rewriter.getF32Type() : i == numRows ? weight : row;
    if (!isa<Float32Type, BFloat16Type, Float16Type>(expected) ||
        type.getElementType() != expected)
      return rewriter.notifyMatchFailure(
          op, "expected rows of one type, f32, bf16 or f16, and f32 sums");
    if (!type.isLastDimUnitStride())
      return rewriter.notifyMatchFailure(op, "expected contiguous operands");
    if (!isSum && type.isDynamicDim(type.getRank() - 1))
      return rewriter.notifyMatchFailure(op, "expected a static sum length");
  }

  // The body is what buildRowContraction writes: sum + ext(row) * ext(weight).
  Block *body = op.getBody();
  auto isWidened = [&](Value value, unsigned argument) {
    if (auto extend = value.getDefiningOp<arith::ExtFOp>())
      value = extend.getIn();
    return value == body->getArgument(argument);
  };
  for (auto [i, yielded] :
       llvm::enumerate(body->getTerminator()->getOperands())) {
    auto sum = yielded.getDefiningOp<arith::AddFOp>();
    auto product =
        sum ? sum.getRhs().getDefiningOp<arith::MulFOp>() : arith::MulFOp();
    if (!product || sum.getLhs() != body->getArgument(numRows + 1 + i) ||
        !isWidened(product.getLhs(), i) ||
        !isWidened(product.getRhs(), numRows))
      return rewriter.notifyMatchFailure(op, "expected sum + row * weight");
  }
  return success();
}

//===----------------------------------------------------------------------===//
// The vector form
//===----------------------------------------------------------------------===//

/// Bytes of one row in a block of k: with four rows, half of a first-level
/// cache of 32 KiB. The other half is for the weights that pass and come next.
static constexpr int64_t kBlockRowBytes = 4096;

namespace {
/// Emits the micro-kernels of one contraction.
class MicroKernels {
public:
  MicroKernels(ImplicitLocOpBuilder &b, linalg::GenericOp op,
               unsigned vectorBits)
      : b(b), rows(op.getDpsInputs()), weights(rows.pop_back_val()),
        sums(op.getDpsInits()), lanes(vectorBits / 32) {
    auto type = cast<MemRefType>(rows.front().getType());
    length = type.getDimSize(0);
    // A register of bf16 holds two registers of f32; see widen().
    isSplit = type.getElementType().isBF16() &&
              getElementTypeOrSelf(weights.getType()).isBF16();
    step = isSplit ? 2 * lanes : lanes;
    int64_t size = cast<MemRefType>(weights.getType()).getDimSize(0);
    count = ShapedType::isDynamic(size)
                ? memref::DimOp::create(b, weights, 0).getResult()
                : index(size);
    last = b.createOrFold<arith::SubIOp>(count, index(1));
  }

  void emit(unsigned columns);

private:
  Value index(int64_t value) {
    return arith::ConstantIndexOp::create(b, value);
  }
  VectorType floats(int64_t width) {
    return VectorType::get(width, b.getF32Type());
  }
  void forEachGroup(unsigned columns, function_ref<void(Value, unsigned)> body);
  void emitTile(Value column, unsigned columns, Value begin, Value end);
  void emitTail(Value column, unsigned columns);
  SmallVector<Value> zeros(unsigned columns);
  void addToSums(ArrayRef<Value> accumulators, Value column, unsigned columns);
  SmallVector<Value> load(Value memref, ValueRange indices, int64_t skip,
                          int64_t count);
  SmallVector<Value> widen(Value vector, int64_t begin);
  void accumulate(SmallVectorImpl<Value> &accumulators, Value column,
                  unsigned columns, Value k, int64_t skip, int64_t count);
  void prefetch(Value column, unsigned columns, Value k);
  Value reduce(ArrayRef<Value> accumulators);
  Value addHalves(Value vector);
  Value addPairs(Value lhs, Value rhs, bool separate);

  ImplicitLocOpBuilder &b;
  SmallVector<Value> rows;
  Value weights;
  SmallVector<Value> sums;
  bool isSplit;   ///< bf16 is widened by even and odd positions.
  Value count;    ///< Columns, N.
  Value last;     ///< The last column.
  int64_t lanes;  ///< f32 values in one register.
  int64_t length; ///< Of the sums, K.
  int64_t step;   ///< Elements that one load takes along k.
};
} // namespace

/// Blocks of k, then groups of `columns` columns: while a group of columns
/// passes, the rows' part of the block stays in the first-level cache.
void MicroKernels::emit(unsigned columns) {
  int64_t whole = length / step * step;
  int64_t vectorBytes = lanes * sizeof(float);
  int64_t numBlocks =
      llvm::divideCeil(whole / step * vectorBytes, kBlockRowBytes);
  if (numBlocks == 1) {
    forEachGroup(columns, [&](Value column, unsigned columns) {
      emitTile(column, columns, index(0), index(whole));
    });
  } else if (numBlocks > 1) {
    int64_t block = llvm::divideCeil(whole / step, numBlocks) * step;
    auto loop = scf::ForOp::create(b, index(0), index(whole), index(block));
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(loop.getBody());
    Value begin = loop.getInductionVar();
    Value end = arith::AddIOp::create(b, begin, index(block));
    if (whole % block != 0)
      end = arith::MinUIOp::create(b, end, index(whole));
    forEachGroup(columns, [&](Value column, unsigned columns) {
      emitTile(column, columns, begin, end);
    });
  }
  if (whole != length)
    forEachGroup(columns, [&](Value column, unsigned columns) {
      emitTail(column, columns);
    });
}

/// Loops over groups of `columns` columns and then over those that are left.
void MicroKernels::forEachGroup(unsigned columns,
                                function_ref<void(Value, unsigned)> body) {
  auto loop = [&](Value begin, Value end, Value step, unsigned columns) {
    auto loop = scf::ForOp::create(b, begin, end, step);
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(loop.getBody());
    body(loop.getInductionVar(), columns);
  };
  Value group = index(columns);
  Value whole = b.createOrFold<arith::MulIOp>(
      b.createOrFold<arith::DivUIOp>(count, group), group);
  if (getConstantIntValue(whole) != 0)
    loop(index(0), whole, group, columns);
  if (!getConstantIntValue(whole) ||
      getConstantIntValue(whole) != getConstantIntValue(count))
    loop(whole, count, index(1), 1);
}

/// Adds elements [begin, end) of k, whole registers of them.
void MicroKernels::emitTile(Value column, unsigned columns, Value begin,
                            Value end) {
  auto loop = scf::ForOp::create(b, begin, end, index(step), zeros(columns));
  {
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(loop.getBody());
    SmallVector<Value> accumulators(loop.getRegionIterArgs());
    prefetch(column, columns, loop.getInductionVar());
    accumulate(accumulators, column, columns, loop.getInductionVar(), 0, step);
    scf::YieldOp::create(b, accumulators);
  }
  addToSums(SmallVector<Value>(loop.getResults()), column, columns);
}

/// Adds the last elements of k, which do not fill a register.
void MicroKernels::emitTail(Value column, unsigned columns) {
  SmallVector<Value> accumulators = zeros(columns);
  int64_t rest = length % step;
  // They are the upper ones of a full load that ends with the row, where the
  // row is that long. Nothing outside the row is read.
  if (length > step)
    accumulate(accumulators, column, columns, index(length - step), step - rest,
               rest);
  else
    accumulate(accumulators, column, columns, index(0), 0, rest);
  addToSums(accumulators, column, columns);
}

SmallVector<Value> MicroKernels::zeros(unsigned columns) {
  Value zero =
      arith::ConstantOp::create(b, DenseElementsAttr::get(floats(lanes), 0.0f));
  return SmallVector<Value>(rows.size() * columns, zero);
}

void MicroKernels::addToSums(ArrayRef<Value> accumulators, Value column,
                             unsigned columns) {
  for (auto [i, sum] : llvm::enumerate(sums)) {
    Value total = reduce(accumulators.slice(i * columns, columns));
    auto type = cast<VectorType>(total.getType());
    Value previous = vector::LoadOp::create(b, type, sum, column);
    total = arith::AddFOp::create(b, previous, total);
    vector::StoreOp::create(b, total, sum, column);
  }
}

/// Fetches the next group's weights. A row of weights is about a page, so that
/// hardware, which does not look beyond pages, would start anew with each
/// group.
void MicroKernels::prefetch(Value column, unsigned columns, Value k) {
  for (unsigned j = 0; j < columns; ++j) {
    Value n = b.createOrFold<arith::AddIOp>(column, index(columns + j));
    n = arith::MinUIOp::create(b, n, last);
    memref::PrefetchOp::create(b, weights, ValueRange{n, k}, /*isWrite=*/false,
                               /*localityHint=*/2, /*isDataCache=*/true);
  }
}

/// Adds the products of `count` elements, those from `k + skip` on.
void MicroKernels::accumulate(SmallVectorImpl<Value> &accumulators,
                              Value column, unsigned columns, Value k,
                              int64_t skip, int64_t count) {
  SmallVector<SmallVector<Value>> weight;
  for (unsigned j = 0; j < columns; ++j) {
    Value n = b.createOrFold<arith::AddIOp>(column, index(j));
    weight.push_back(load(weights, {n, k}, skip, count));
  }
  for (size_t i = 0; i < rows.size(); ++i) {
    SmallVector<Value> row = load(rows[i], k, skip, count);
    for (unsigned j = 0; j < columns; ++j) {
      Value &accumulator = accumulators[i * columns + j];
      for (auto [x, w] : llvm::zip_equal(row, weight[j]))
        accumulator = vector::FMAOp::create(b, x, w, accumulator);
    }
  }
}

/// Loads one register's elements and widens them; the first `skip` and those
/// after the next `count` become zero.
SmallVector<Value> MicroKernels::load(Value memref, ValueRange indices,
                                      int64_t skip, int64_t count) {
  auto type = VectorType::get(step, getElementTypeOrSelf(memref.getType()));
  if (skip + count == step)
    return widen(vector::LoadOp::create(b, type, memref, indices), skip);
  // The row is shorter than a register.
  Value mask = vector::ConstantMaskOp::create(
      b, VectorType::get(step, b.getI1Type()), ArrayRef<int64_t>{count});
  Value zero = arith::ConstantOp::create(b, b.getZeroAttr(type));
  return widen(
      vector::MaskedLoadOp::create(b, type, memref, indices, mask, zero), 0);
}

/// Widens to registers of f32 and zeroes the elements before `begin`. If both
/// rows and weights are bf16, elements are split into those at even and those
/// at odd positions: a shift or a mask of whole registers instead of a
/// permutation. Both are split alike, so products still pair up.
SmallVector<Value> MicroKernels::widen(Value value, int64_t begin) {
  SmallVector<Value> parts;
  if (isSplit) {
    auto words = VectorType::get(lanes, b.getI32Type());
    auto splat = [&](uint32_t word) -> Value {
      return arith::ConstantOp::create(
          b, DenseElementsAttr::get(words, static_cast<int32_t>(word)));
    };
    Value pairs = vector::BitCastOp::create(b, words, value);
    Value even = arith::ShLIOp::create(b, pairs, splat(16));
    Value odd = arith::AndIOp::create(b, pairs, splat(0xffff0000u));
    for (Value part : {even, odd})
      parts.push_back(arith::BitcastOp::create(b, floats(lanes), part));
  } else if (getElementTypeOrSelf(value.getType()).isF32()) {
    parts.push_back(value);
  } else {
    parts.push_back(arith::ExtFOp::create(b, floats(lanes), value));
  }
  if (begin == 0)
    return parts;
  // Infinities among the skipped elements must not meet the zeros of the other
  // operand, so both operands are cleared.
  Value zero =
      arith::ConstantOp::create(b, DenseElementsAttr::get(floats(lanes), 0.0f));
  int64_t stride = parts.size();
  for (auto [p, part] : llvm::enumerate(parts)) {
    SmallVector<bool> keep;
    for (int64_t lane = 0; lane < lanes; ++lane)
      keep.push_back(lane * stride + static_cast<int64_t>(p) >= begin);
    Value mask = arith::ConstantOp::create(
        b, DenseElementsAttr::get(VectorType::get(lanes, b.getI1Type()), keep));
    part = arith::SelectOp::create(b, mask, part, zero);
  }
  return parts;
}

/// The upper half of a vector added to the lower.
Value MicroKernels::addHalves(Value vector) {
  int64_t half = cast<VectorType>(vector.getType()).getNumElements() / 2;
  Value low = vector::ExtractStridedSliceOp::create(
      b, vector, ArrayRef<int64_t>{0}, ArrayRef<int64_t>{half},
      ArrayRef<int64_t>{1});
  Value high = vector::ExtractStridedSliceOp::create(
      b, vector, ArrayRef<int64_t>{half}, ArrayRef<int64_t>{half},
      ArrayRef<int64_t>{1});
  return arith::AddFOp::create(b, low, high);
}

/// Neighbours added: those of `lhs`, then those of `rhs` (if `separate`).
Value MicroKernels::addPairs(Value lhs, Value rhs, bool separate) {
  int64_t width = cast<VectorType>(lhs.getType()).getNumElements();
  SmallVector<int64_t> even, odd;
  for (int64_t lane = 0; lane < (separate ? 2 * width : width); lane += 2) {
    even.push_back(lane);
    odd.push_back(lane + 1);
  }
  return arith::AddFOp::create(b, vector::ShuffleOp::create(b, lhs, rhs, even),
                               vector::ShuffleOp::create(b, lhs, rhs, odd));
}

/// The sums of the lanes of 1, 2 or 4 accumulators, as a vector. However many
/// there are, one accumulator's lanes are added in the same order: halves down
/// to four lanes, then neighbours.
Value MicroKernels::reduce(ArrayRef<Value> accumulators) {
  SmallVector<Value> quarters;
  for (Value accumulator : accumulators) {
    for (int64_t width = lanes; width > 4; width /= 2)
      accumulator = addHalves(accumulator);
    quarters.push_back(accumulator);
  }
  // Two rounds turn four lanes of each into one; vectors are joined on the way.
  for (int round = 0; round < 2; ++round) {
    SmallVector<Value> next;
    if (quarters.size() == 1)
      next.push_back(addPairs(quarters[0], quarters[0], /*separate=*/false));
    for (size_t i = 0; i + 1 < quarters.size(); i += 2)
      next.push_back(addPairs(quarters[i], quarters[i + 1], /*separate=*/true));
    quarters = std::move(next);
  }
  return quarters.front();
}

void moe::codegen::cpu::lowerRowContraction(RewriterBase &rewriter,
                                            linalg::GenericOp op,
                                            unsigned vectorBits) {
  ImplicitLocOpBuilder b(op.getLoc(), rewriter);
  Type element = getElementTypeOrSelf(op.getDpsInputs().front().getType());
  MicroKernels(b, op, vectorBits)
      .emit(getRegisterBlock(vectorBits, element).columns);
  rewriter.eraseOp(op);
}
