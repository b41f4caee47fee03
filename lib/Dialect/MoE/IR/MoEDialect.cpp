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
