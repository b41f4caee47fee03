//===- MoEDialect.cpp - The moe dialect's attributes ----------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moe-mlir/Dialect/MoE/IR/MoE.h"

#include "mlir/IR/DialectImplementation.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using namespace moe;

#include "moe-mlir/Dialect/MoE/IR/MoEDialect.cpp.inc"
#include "moe-mlir/Dialect/MoE/IR/MoEEnums.cpp.inc"
#include "moe-mlir/Dialect/MoE/IR/MoEInterfaces.cpp.inc"

#define GET_ATTRDEF_CLASSES
#include "moe-mlir/Dialect/MoE/IR/MoEAttributes.cpp.inc"

void MoEDialect::initialize() {
  addAttributes<
#define GET_ATTRDEF_LIST
#include "moe-mlir/Dialect/MoE/IR/MoEAttributes.cpp.inc"
      >();
  addOperations<
#define GET_OP_LIST
#include "moe-mlir/Dialect/MoE/IR/MoEOps.cpp.inc"
      >();
}

LogicalResult RoutingAttr::verify(function_ref<InFlightDiagnostic()> emitError,
                                  int64_t topK, ScoreFunction, WeightFunction,
                                  int64_t nGroup, int64_t topkGroup, GroupScore,
                                  bool, FloatAttr epsilon, FloatAttr minimum,
                                  FloatAttr, bool weightOnInput,
                                  int64_t zeroExperts) {
  // #moe.routing C1
  if (topK < 1)
    return emitError() << "expected top_k of at least 1 but got " << topK;
  if (nGroup < 1)
    return emitError() << "expected n_group of at least 1 but got " << nGroup;
  if (topkGroup < 1 || topkGroup > nGroup)
    return emitError() << "expected topk_group between 1 and n_group = "
                       << nGroup << " but got " << topkGroup;
  // #moe.routing C2
  if (weightOnInput && topK != 1)
    return emitError() << "expected top_k = 1 with weight_on_input but got "
                       << topK;
  // #moe.routing C3
  if (epsilon.getValueAsDouble() < 0 || minimum.getValueAsDouble() < 0)
    return emitError() << "expected renormalize_epsilon and "
                          "renormalize_minimum that are not negative";
  if (zeroExperts < 0)
    return emitError() << "expected zero_experts of at least 0 but got "
                       << zeroExperts;
  return success();
}

LogicalResult
ActivationAttr::verify(function_ref<InFlightDiagnostic()> emitError,
                       ActivationKind, FloatAttr limit, FloatAttr alpha) {
  // #moe.activation C1
  if (!limit.getValue().isFinite() || limit.getValueAsDouble() <= 0)
    return emitError() << "expected a finite limit above 0 but got "
                       << limit.getValueAsDouble();
  if (!alpha.getValue().isFinite())
    return emitError() << "expected a finite alpha but got "
                       << alpha.getValueAsDouble();
  return success();
}

LogicalResult QuantAttr::verify(function_ref<InFlightDiagnostic()> emitError,
                                QuantScheme, int64_t rows, int64_t columns) {
  // #moe.quant C1
  if (rows < 1 || columns < 1)
    return emitError() << "expected block_rows and block_columns of at least 1 "
                          "but got "
                       << rows << " and " << columns;
  return success();
}

LogicalResult ParallelAttr::verify(function_ref<InFlightDiagnostic()> emitError,
                                   int64_t tensor, int64_t data,
                                   int64_t prefillContext, int64_t rank, bool,
                                   StringAttr, bool, int64_t redundantExperts,
                                   StringAttr placement, StringAttr sequence,
                                   bool, bool) {
  // #moe.parallel C1
  constexpr int64_t maxSize = int64_t(1) << 20;
  const std::pair<const char *, int64_t> sizes[] = {
      {"tensor", tensor}, {"data", data}, {"prefill_context", prefillContext}};
  for (auto [name, size] : sizes)
    if (size < 1 || size > maxSize)
      return emitError() << "expected " << name << " between 1 and " << maxSize
                         << " but got " << size;
  int64_t ranks = tensor * data * prefillContext;
  if (rank < 0 || rank >= ranks)
    return emitError() << "expected a rank between 0 and " << ranks - 1
                       << " but got " << rank;
  // #moe.parallel C2
  if (redundantExperts < 0)
    return emitError() << "expected redundant_experts of at least 0 but got "
                       << redundantExperts;
  // #moe.parallel C3
  if (!llvm::is_contained({"linear", "round_robin"}, placement.strref()))
    return emitError() << "expected expert_placement \"linear\" or "
                          "\"round_robin\" but got "
                       << placement;
  if (!llvm::is_contained({"auto", "on", "off"}, sequence.strref()))
    return emitError() << "expected sequence_parallel \"auto\", \"on\" or "
                          "\"off\" but got "
                       << sequence;
  return success();
}

LogicalResult ExchangeAttr::verify(function_ref<InFlightDiagnostic()> emitError,
                                   Transport transport, StringAttr communicator,
                                   int64_t ranks) {
  // #moe.exchange C1
  if (transport == Transport::none)
    return emitError() << "expected a transport but got none; an op without "
                          "an exchange has no such attribute";
  if (communicator.empty())
    return emitError() << "expected the name of a communicator but got \"\"";
  if (ranks < 1)
    return emitError() << "expected at least 1 rank but got " << ranks;
  return success();
}
