//===- TensorBuilder.cpp - Sizes and buffers of phases --------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "TensorBuilder.h"

using namespace mlir;
using namespace moe;

OpFoldResult TensorBuilder::dim(Value tensor, int64_t index, StringRef name) {
  auto type = cast<RankedTensorType>(tensor.getType());
  if (!type.isDynamicDim(index))
    return constant(type.getDimSize(index));
  Value position = arith::ConstantIndexOp::create(b, loc, index);
  return tensor::DimOp::create(b, getNamedLoc(name), tensor, position)
      .getResult();
}

OpFoldResult TensorBuilder::multiply(StringRef name, OpFoldResult lhs,
                                     OpFoldResult rhs) {
  if (isConstantIntValue(lhs, 1))
    return rhs;
  if (isConstantIntValue(rhs, 1))
    return lhs;
  return compute<arith::MulIOp>(name, lhs, rhs,
                                [](int64_t a, int64_t b) { return a * b; });
}

OpFoldResult TensorBuilder::add(StringRef name, OpFoldResult lhs,
                                OpFoldResult rhs) {
  return compute<arith::AddIOp>(name, lhs, rhs,
                                [](int64_t a, int64_t b) { return a + b; });
}

/// Offsets, sizes and strides of whole rows.
static std::array<SmallVector<OpFoldResult>, 3>
getSlice(OpBuilder &b, Value tensor, OpFoldResult first, OpFoldResult rows) {
  auto type = cast<RankedTensorType>(tensor.getType());
  OpFoldResult zero = b.getIndexAttr(0), one = b.getIndexAttr(1);
  return {SmallVector<OpFoldResult>{first, zero},
          {rows, b.getIndexAttr(type.getDimSize(1))},
          {one, one}};
}

Value TensorBuilder::takeRows(StringRef name, Value tensor, OpFoldResult first,
                              OpFoldResult rows) {
  auto [offsets, sizes, strides] = getSlice(b, tensor, first, rows);
  return tensor::ExtractSliceOp::create(b, getNamedLoc(name), tensor, offsets,
                                        sizes, strides);
}

Value TensorBuilder::replaceRows(Value rows, Value tensor, OpFoldResult first,
                                 OpFoldResult count) {
  auto [offsets, sizes, strides] = getSlice(b, tensor, first, count);
  return tensor::InsertSliceOp::create(b, loc, rows, tensor, offsets, sizes,
                                       strides);
}

Value TensorBuilder::alloc(StringRef name, Type elementType,
                           ArrayRef<OpFoldResult> sizes) {
  SmallVector<int64_t> shape;
  SmallVector<Value> dynamicSizes;
  dispatchIndexOpFoldResults(sizes, dynamicSizes, shape);
  return bufferization::AllocTensorOp::create(
      b, getNamedLoc(name), RankedTensorType::get(shape, elementType),
      dynamicSizes);
}

Value TensorBuilder::gather(StringRef name, Value x, OpFoldResult rows,
                            schedule::CommunicatorAttr communicator) {
  auto type = cast<RankedTensorType>(x.getType());
  return collective(schedule::CollectiveKind::all_gather, "all-gather",
                    communicator, x,
                    alloc(name, type.getElementType(), {rows, dim(x, 1)}));
}

Value TensorBuilder::reduceScatter(StringRef name, Value x, OpFoldResult rows,
                                   schedule::CommunicatorAttr communicator) {
  auto type = cast<RankedTensorType>(x.getType());
  return collective(schedule::CollectiveKind::reduce_scatter, "reduce-scatter",
                    communicator, x,
                    alloc(name, type.getElementType(), {rows, dim(x, 1)}));
}

Value TensorBuilder::collective(schedule::CollectiveKind kind, StringRef label,
                                schedule::CommunicatorAttr communicator,
                                Value x, Value init) {
  return schedule::CollectiveOp::create(
             b, loc, init.getType(), kind, communicator, x, init,
             /*counts=*/ValueRange(), b.getI64IntegerAttr(1),
             schedule::PartAttr(), /*blocks=*/DenseI64ArrayAttr(),
             /*blocks_by_source=*/UnitAttr(), b.getStringAttr(label))
      .getResult(0);
}
