//===- DestinationStyle.cpp - From tensors to buffers ---------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moe-mlir/Dialect/Schedule/IR/DestinationStyle.h"

using namespace mlir;
using namespace mlir::bufferization;

AliasingValueList
moe::schedule::getAliasesOfInit(DestinationStyleOpInterface op,
                                OpOperand &operand) {
  if (op.isDpsInit(&operand))
    return {{op.getTiedOpResult(&operand), BufferRelation::Equivalent}};
  return {};
}

/// The properties of an op that has none of its results.
static DictionaryAttr withoutResults(DictionaryAttr properties) {
  constexpr StringLiteral name = "resultSegmentSizes";
  NamedAttrList attributes(properties);
  auto sizes = dyn_cast_or_null<DenseI32ArrayAttr>(attributes.get(name));
  if (!sizes)
    return properties;
  MLIRContext *context = properties.getContext();
  attributes.set(name, DenseI32ArrayAttr::get(
                           context, SmallVector<int32_t>(sizes.size(), 0)));
  return attributes.getDictionary(context);
}

LogicalResult moe::schedule::bufferizeDestinationStyle(
    DestinationStyleOpInterface op, RewriterBase &rewriter,
    const BufferizationOptions &options, BufferizationState &state) {
  SmallVector<Value> operands, results;
  for (OpOperand &operand : op->getOpOperands()) {
    if (!isa<TensorType>(operand.get().getType())) {
      operands.push_back(operand.get());
      continue;
    }
    FailureOr<Value> buffer =
        getBuffer(rewriter, operand.get(), options, state);
    if (failed(buffer))
      return failure();
    operands.push_back(*buffer);
    if (op.isDpsInit(&operand))
      results.push_back(*buffer);
  }
  // The op itself on buffers: segment sizes of operands and attributes stay.
  OperationState buffered(op.getLoc(), op->getName());
  buffered.addOperands(operands);
  buffered.propertiesAttr =
      withoutResults(cast<DictionaryAttr>(op->getPropertiesAsAttribute()));
  buffered.addAttributes(
      llvm::to_vector(op->getDiscardableAttrDictionary().getValue()));
  rewriter.setInsertionPoint(op);
  rewriter.create(buffered);
  replaceOpWithBufferizedValues(rewriter, op, results);
  return success();
}
