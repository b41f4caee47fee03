//===- Verify.cpp - Shapes with names, and their diagnostics --------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Verify.h"

using namespace mlir;
using namespace moe;
using namespace moe::verifying;

int64_t Dim::getExpected() const {
  if (!size)
    return offset;
  return size->isKnown() ? factor * size->value + offset : ShapedType::kDynamic;
}

void Dim::learn(int64_t actual) const {
  if (size && !size->isKnown() && (actual - offset) % factor == 0)
    size->value = (actual - offset) / factor;
}

static std::string printShape(ArrayRef<int64_t> shape) {
  std::string text;
  llvm::raw_string_ostream os(text);
  os << '[';
  llvm::interleaveComma(shape, os, [&](int64_t size) {
    if (ShapedType::isDynamic(size))
      os << '?';
    else
      os << size;
  });
  os << ']';
  return text;
}

LogicalResult verifying::checkShape(Operation *op, StringRef name, Value value,
                                    ArrayRef<Dim> expected) {
  if (!value)
    return success();
  ArrayRef<int64_t> actual = cast<ShapedType>(value.getType()).getShape();
  SmallVector<int64_t> sizes;
  bool fits = actual.size() == expected.size();
  for (auto [index, dim] : llvm::enumerate(expected)) {
    int64_t size = dim.getExpected();
    sizes.push_back(size);
    if (index >= actual.size() || ShapedType::isDynamic(actual[index]))
      continue;
    if (ShapedType::isDynamic(size))
      dim.learn(actual[index]);
    else
      fits &= size == actual[index];
  }
  if (!fits)
    return op->emitOpError()
           << "expected '" << name << "' of shape " << printShape(sizes)
           << " but got " << printShape(actual);
  if (!isa<BaseMemRefType>(value.getType()))
    return success();
  for (auto [index, dim] : llvm::enumerate(expected))
    if (dim.isFixed() && ShapedType::isDynamic(actual[index]))
      return op->emitOpError()
             << "expected '" << name << "' with a static dimension " << index
             << " but got " << value.getType();
  return success();
}

LogicalResult verifying::checkElementType(Operation *op, StringRef name,
                                          Value value, Type expected) {
  if (!value)
    return success();
  Type actual = cast<ShapedType>(value.getType()).getElementType();
  if (actual == expected)
    return success();
  return op->emitOpError() << "expected '" << name << "' of element type "
                           << expected << " but got " << actual;
}

LogicalResult verifying::checkTogether(Operation *op, StringRef first,
                                       Value firstValue, StringRef second,
                                       Value secondValue) {
  if (!firstValue == !secondValue)
    return success();
  return op->emitOpError() << "expected '" << first << "' and '" << second
                           << "' together but got only '"
                           << (firstValue ? first : second) << "'";
}

LogicalResult verifying::checkAtLeast(Operation *op, StringRef name,
                                      int64_t value, int64_t least) {
  if (value >= least)
    return success();
  return op->emitOpError() << "expected '" << name << "' of at least " << least
                           << " but got " << value;
}

LogicalResult verifying::checkLocalExperts(Operation *op, int64_t ranks,
                                           int64_t physical, int64_t local) {
  if (ShapedType::isDynamic(physical) || ShapedType::isDynamic(local))
    return success();
  int64_t least = physical / ranks;
  int64_t most = least + (physical % ranks != 0);
  if (local == least || local == most)
    return success();
  InFlightDiagnostic diag = op->emitOpError() << "expected " << least;
  if (most != least)
    diag << " or " << most;
  return diag << " local experts, a rank's share of " << physical << " over "
              << ranks << (ranks == 1 ? " rank" : " ranks") << ", but got "
              << local;
}

LogicalResult verifying::checkChoice(Operation *op, RoutingAttr routing,
                                     int64_t numExperts) {
  if (ShapedType::isDynamic(numExperts))
    return success();
  int64_t topK = routing.getTopK(), groups = routing.getNGroup();
  if (topK > numExperts)
    return op->emitOpError() << "expected top_k of at most the " << numExperts
                             << " experts but got " << topK;
  if (numExperts % groups != 0)
    return op->emitOpError() << "expected n_group that divides the "
                             << numExperts << " experts but got " << groups;
  int64_t choosable = numExperts / groups * routing.getTopkGroup();
  if (topK > choosable)
    return op->emitOpError()
           << "expected top_k of at most the " << choosable << " experts of "
           << routing.getTopkGroup() << " groups but got " << topK;
  if (routing.getZeroExperts() >= numExperts)
    return op->emitOpError() << "expected zero_experts below the " << numExperts
                             << " experts but got " << routing.getZeroExperts();
  return success();
}
