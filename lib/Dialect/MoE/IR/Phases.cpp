//===- Phases.cpp - The phases of a layer ---------------------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moe-mlir/Dialect/MoE/IR/MoE.h"

using namespace mlir;
using namespace moe;

#define GET_OP_CLASSES
#include "moe-mlir/Dialect/MoE/IR/MoEOps.cpp.inc"

LogicalResult GateOp::verify() { return success(); }
LogicalResult RouteOp::verify() { return success(); }
LogicalResult DispatchOp::verify() { return success(); }
LogicalResult ExpertsOp::verify() { return success(); }
LogicalResult CombineOp::verify() { return success(); }
LogicalResult SharedExpertsOp::verify() { return success(); }
LogicalResult ProjectOp::verify() { return success(); }
LogicalResult MergeOp::verify() { return success(); }
LogicalResult AllReduceOp::verify() { return success(); }
LogicalResult AllGatherOp::verify() { return success(); }
LogicalResult ReduceScatterOp::verify() { return success(); }

llvm::StringRef DispatchOp::getCommunicatorName() {
  return getExchange() ? getExchange()->getCommunicator().getValue() : "";
}
std::string DispatchOp::getCollectiveName() {
  return "dispatch " + stringifyTransport(getExchange()->getTransport()).str();
}
llvm::StringRef CombineOp::getCommunicatorName() {
  return getExchange() ? getExchange()->getCommunicator().getValue() : "";
}
std::string CombineOp::getCollectiveName() {
  return "combine " + stringifyTransport(getExchange()->getTransport()).str();
}
llvm::StringRef MergeOp::getCommunicatorName() {
  return getCommunicator().value_or("");
}
std::string MergeOp::getCollectiveName() { return "all_reduce"; }
llvm::StringRef AllReduceOp::getCommunicatorName() { return getCommunicator(); }
std::string AllReduceOp::getCollectiveName() { return "all_reduce"; }
llvm::StringRef AllGatherOp::getCommunicatorName() { return getCommunicator(); }
std::string AllGatherOp::getCollectiveName() { return "all_gather"; }
llvm::StringRef ReduceScatterOp::getCommunicatorName() {
  return getCommunicator();
}
std::string ReduceScatterOp::getCollectiveName() { return "reduce_scatter"; }
