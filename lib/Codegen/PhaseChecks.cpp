//===- PhaseChecks.cpp - What operands of phases have to be ---------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "PhaseChecks.h"

#include "mlir/IR/BuiltinTypes.h"
#include "mlir/IR/Diagnostics.h"
#include "llvm/ADT/STLExtras.h"

using namespace mlir;
using namespace moe::codegen;

//===----------------------------------------------------------------------===//
// Operands
//===----------------------------------------------------------------------===//

namespace {
/// What the elements of an operand may be; `Model` is f32, bf16 or f16.
enum class Elements { F32, I32, Model };
} // namespace

static MemRefType getMemRefType(Value value) {
  return cast<MemRefType>(value.getType());
}

static bool hasElements(MemRefType type, Elements elements) {
  Type element = type.getElementType();
  switch (elements) {
  case Elements::F32:
    return element.isF32();
  case Elements::I32:
    return element.isSignlessInteger(32);
  case Elements::Model:
    return isa<Float32Type, BFloat16Type, Float16Type>(element);
  }
  return false;
}

static const char *describe(Elements elements) {
  switch (elements) {
  case Elements::F32:
    return "f32";
  case Elements::I32:
    return "i32";
  case Elements::Model:
    return "f32, bf16 or f16";
  }
  return "";
}

/// Emits an error unless `value` is a memref of identity layout, of `rank`,
/// with such elements, and whose dimensions other than those in `dynamic` are
/// static.
static LogicalResult checkOperand(Location loc, Value value, StringRef name,
                                  int64_t rank, Elements elements,
                                  ArrayRef<int64_t> dynamic) {
  auto fail = [&](const Twine &expected) -> LogicalResult {
    auto diagnostic = emitError(loc) << "expected '" << name << "' " << expected
                                     << " but got ";
    if (value)
      return diagnostic << value.getType();
    return diagnostic << "nothing";
  };
  auto type = value ? dyn_cast<MemRefType>(value.getType()) : MemRefType();
  if (!type || type.getRank() != rank)
    return fail("as a memref of rank " + Twine(rank));
  if (!type.getLayout().isIdentity())
    return fail("with the identity layout");
  if (!hasElements(type, elements))
    return fail("of elements " + Twine(describe(elements)));
  for (int64_t position = 0; position < rank; ++position)
    if (type.isDynamicDim(position) && !llvm::is_contained(dynamic, position))
      return fail("with a static dimension " + Twine(position));
  return success();
}

/// The same for an operand that may be absent.
static LogicalResult checkOptional(Location loc, Value value, StringRef name,
                                   int64_t rank, Elements elements,
                                   ArrayRef<int64_t> dynamic) {
  return value ? checkOperand(loc, value, name, rank, elements, dynamic)
               : success();
}

/// Emits an error unless rows of `value` have as many elements as `columns`.
static LogicalResult checkColumns(Location loc, Value value, StringRef name,
                                  int64_t columns) {
  MemRefType type = getMemRefType(value);
  if (type.getShape().back() == columns)
    return success();
  return emitError(loc) << "expected '" << name << "' with rows of " << columns
                        << " elements but got " << type;
}

static int64_t getColumns(Value value) {
  return getMemRefType(value).getShape().back();
}

//===----------------------------------------------------------------------===//
// Router
//===----------------------------------------------------------------------===//

/// x [T, K], weight [N, K], bias [N], y [T, N], with N dynamic if
/// `hasDynamicColumns`.
static LogicalResult checkLinear(Location loc, Value x, Value weight,
                                 Value bias, Value y, StringRef yName,
                                 bool hasDynamicColumns) {
  SmallVector<int64_t> rows{0}, weightRows, columns{0};
  if (hasDynamicColumns) {
    weightRows = {0};
    columns = {0, 1};
  }
  if (failed(checkOperand(loc, x, "x", 2, Elements::Model, rows)) ||
      failed(checkOperand(loc, weight, "weight", 2, Elements::Model,
                          weightRows)) ||
      failed(checkOperand(loc, y, yName, 2, Elements::Model, columns)) ||
      failed(checkOptional(loc, bias, "bias", 1, Elements::Model, weightRows)))
    return failure();
  return checkColumns(loc, weight, "weight", getColumns(x));
}

LogicalResult moe::codegen::check(Location loc, const GateOperands &operands) {
  return checkLinear(loc, operands.x, operands.weight, operands.bias,
                     operands.logits, "logits", /*hasDynamicColumns=*/true);
}

LogicalResult moe::codegen::check(Location loc, const RouteOperands &operands,
                                  const RoutingParams &params) {
  if (failed(checkOperand(loc, operands.logits, "logits", 2, Elements::F32,
                          {0, 1})) ||
      failed(checkOperand(loc, operands.ids, "ids", 2, Elements::I32, {0})) ||
      failed(checkOperand(loc, operands.weights, "weights", 2, Elements::F32,
                          {0})) ||
      failed(checkOptional(loc, operands.correctionBias, "correction_bias", 1,
                           Elements::F32, {0})))
    return failure();
  if (!operands.logicalToPhysical != !operands.replicaCount)
    return emitError(loc)
           << "expected 'logical_to_physical' and 'replica_count' together";
  if (operands.firstRow && !operands.replicaCount)
    return emitError(loc) << "expected 'first_row' with 'replica_count' only";
  if (failed(checkOptional(loc, operands.logicalToPhysical,
                           "logical_to_physical", 2, Elements::I32, {0, 1})) ||
      failed(checkOptional(loc, operands.replicaCount, "replica_count", 1,
                           Elements::I32, {0})))
    return failure();
  int64_t experts = getColumns(operands.logits);
  if (params.groups < 1 || params.chosenGroups < 1 ||
      params.chosenGroups > params.groups ||
      (!ShapedType::isDynamic(experts) && experts % params.groups != 0))
    return emitError(loc) << "expected 1 to " << params.groups
                          << " chosen groups, and groups that divide "
                          << experts << " experts, but got "
                          << params.chosenGroups << " of " << params.groups;
  return success();
}

LogicalResult moe::codegen::check(Location loc,
                                  const ExpertLoadOperands &operands) {
  return success(succeeded(checkOperand(loc, operands.ids, "ids", 2,
                                        Elements::I32, {0})) &&
                 succeeded(checkOperand(loc, operands.load, "expert_load", 1,
                                        Elements::I32, {})));
}

//===----------------------------------------------------------------------===//
// Routed experts
//===----------------------------------------------------------------------===//

LogicalResult moe::codegen::check(Location loc,
                                  const DispatchPlanOperands &operands) {
  return success(
      succeeded(
          checkOperand(loc, operands.ids, "ids", 2, Elements::I32, {0})) &&
      succeeded(checkOperand(loc, operands.expertOffsets, "expert_offsets", 1,
                             Elements::I32, {0})) &&
      succeeded(checkOperand(loc, operands.sourceRows, "source_rows", 1,
                             Elements::I32, {0})) &&
      succeeded(checkOperand(loc, operands.pairRows, "pair_rows", 2,
                             Elements::I32, {0})) &&
      succeeded(checkOptional(loc, operands.expertMap, "expert_map", 1,
                              Elements::I32, {0})));
}

//===----------------------------------------------------------------------===//
// Several ranks
//===----------------------------------------------------------------------===//

static LogicalResult checkAtLeastOne(Location loc, int64_t number,
                                     StringRef what) {
  if (number >= 1)
    return success();
  return emitError(loc) << "expected at least 1 " << what << " but got "
                        << number;
}

/// A vector of `size` i32.
static LogicalResult checkVector(Location loc, Value value, StringRef name,
                                 int64_t size) {
  if (failed(checkOperand(loc, value, name, 1, Elements::I32, {})))
    return failure();
  return checkColumns(loc, value, name, size);
}

/// A matrix of i32 with a number for each choice in `ids`.
static LogicalResult checkPositions(Location loc, Value positions, Value ids) {
  if (failed(checkOperand(loc, ids, "ids", 2, Elements::I32, {0})) ||
      failed(checkOperand(loc, positions, "positions", 2, Elements::I32, {0})))
    return failure();
  return checkColumns(loc, positions, "positions", getColumns(ids));
}

LogicalResult moe::codegen::check(Location loc,
                                  const ExpertMapOperands &operands,
                                  const PlacementParams &params) {
  if (failed(checkAtLeastOne(loc, params.ranks, "rank")))
    return failure();
  return checkVector(loc, operands.map, "expert_map", params.numExperts);
}

LogicalResult moe::codegen::check(Location loc,
                                  const SendPlanOperands &operands,
                                  const PlacementParams &params) {
  if (failed(checkAtLeastOne(loc, params.ranks, "rank")) ||
      failed(checkPositions(loc, operands.positions, operands.ids)) ||
      failed(checkVector(loc, operands.counts, "counts", params.ranks)))
    return failure();
  return checkOperand(loc, operands.rows, "rows", 1, Elements::I32, {0});
}

LogicalResult moe::codegen::check(Location loc,
                                  const BatchedSendPlanOperands &operands,
                                  const PlacementParams &params,
                                  int64_t capacity) {
  int64_t rows = params.numExperts * capacity;
  if (failed(checkAtLeastOne(loc, params.ranks, "rank")) ||
      failed(checkAtLeastOne(loc, capacity, "row of capacity")) ||
      failed(checkPositions(loc, operands.positions, operands.ids)) ||
      failed(checkOperand(loc, operands.weights, "weights", 2, Elements::F32,
                          {0})) ||
      failed(checkColumns(loc, operands.weights, "weights",
                          getColumns(operands.ids))) ||
      failed(checkVector(loc, operands.counts, "counts", params.numExperts)) ||
      failed(checkVector(loc, operands.rows, "rows", rows)) ||
      failed(checkOperand(loc, operands.rowWeights, "row_weights", 2,
                          Elements::F32, {})))
    return failure();
  return checkColumns(loc, operands.rowWeights, "row_weights", 1);
}

LogicalResult moe::codegen::check(Location loc,
                                  const BatchedPlanOperands &operands,
                                  int64_t ranks, int64_t capacity) {
  if (failed(checkAtLeastOne(loc, ranks, "rank")) ||
      failed(checkAtLeastOne(loc, capacity, "row of capacity")) ||
      failed(checkOperand(loc, operands.counts, "counts", 1, Elements::I32,
                          {0})) ||
      failed(checkOperand(loc, operands.expertOffsets, "expert_offsets", 1,
                          Elements::I32, {0})) ||
      failed(checkOperand(loc, operands.sourceRows, "source_rows", 1,
                          Elements::I32, {0})) ||
      failed(checkOperand(loc, operands.pairRows, "pair_rows", 2, Elements::I32,
                          {0})))
    return failure();
  return checkColumns(loc, operands.pairRows, "pair_rows", 1);
}

LogicalResult moe::codegen::check(Location loc,
                                  const GatherRowsOperands &operands) {
  auto type = operands.from ? dyn_cast<MemRefType>(operands.from.getType())
                            : MemRefType();
  // Hidden states, or ids.
  Elements elements = type && type.getElementType().isInteger()
                          ? Elements::I32
                          : Elements::Model;
  if (failed(checkOperand(loc, operands.from, "from", 2, elements, {0})) ||
      failed(checkOperand(loc, operands.to, "to", 2, elements, {0})) ||
      failed(checkOperand(loc, operands.rows, "rows", 1, Elements::I32, {0})))
    return failure();
  if (getMemRefType(operands.to).getElementType() != type.getElementType())
    return emitError(loc) << "expected 'to' of elements "
                          << type.getElementType() << " but got "
                          << operands.to.getType();
  return checkColumns(loc, operands.to, "to", type.getDimSize(1));
}

//===----------------------------------------------------------------------===//
// Routed experts
//===----------------------------------------------------------------------===//

static LogicalResult checkActivation(Location loc,
                                     const ActivationParams &params) {
  if (params.activation == Activation::SwiGLUOAI && !params.gated)
    return emitError(loc) << "expected a gated activation for swigluoai";
  if (params.interleaved && !params.gated)
    return emitError(loc)
           << "expected a gated activation for interleaved weights";
  return success();
}

/// The intermediate width of a first weight.
static int64_t getWidth(Value w13, const ActivationParams &params) {
  MemRefType type = getMemRefType(w13);
  return type.getDimSize(type.getRank() - 2) / (params.gated ? 2 : 1);
}

LogicalResult moe::codegen::check(Location loc, const ExpertsOperands &operands,
                                  const ActivationParams &params) {
  auto has = [&](Value value, StringRef name, int64_t rank, Elements elements) {
    return succeeded(checkOperand(loc, value, name, rank, elements, {0}));
  };
  auto mayHave = [&](Value value, StringRef name, Elements elements) {
    return succeeded(checkOptional(loc, value, name, 2, elements, {0}));
  };
  if (failed(checkActivation(loc, params)) ||
      !has(operands.rows, "rows", 2, Elements::Model) ||
      !has(operands.expertOffsets, "expert_offsets", 1, Elements::I32) ||
      !has(operands.sourceRows, "source_rows", 1, Elements::I32) ||
      !has(operands.w13, "w13", 3, Elements::Model) ||
      !has(operands.w2, "w2", 3, Elements::Model) ||
      !has(operands.out, "expert_out", 2, Elements::Model) ||
      !mayHave(operands.b13, "b13", Elements::Model) ||
      !mayHave(operands.b2, "b2", Elements::Model) ||
      !mayHave(operands.inputWeight, "input_weight", Elements::F32))
    return failure();
  if (failed(checkColumns(loc, operands.w13, "w13", getColumns(operands.rows))))
    return failure();
  return checkColumns(loc, operands.w2, "w2", getWidth(operands.w13, params));
}

/// All but the result.
static LogicalResult checkInputs(Location loc,
                                 const CombineOperands &operands) {
  return success(succeeded(checkOperand(loc, operands.expertOut, "expert_out",
                                        2, Elements::Model, {0})) &&
                 succeeded(checkOperand(loc, operands.pairRows, "pair_rows", 2,
                                        Elements::I32, {0})) &&
                 succeeded(checkOptional(loc, operands.weights, "weights", 2,
                                         Elements::F32, {0})));
}

LogicalResult moe::codegen::check(Location loc,
                                  const CombineOperands &operands) {
  return success(succeeded(checkInputs(loc, operands)) &&
                 succeeded(checkOperand(loc, operands.routed, "routed", 2,
                                        Elements::Model, {0})));
}

//===----------------------------------------------------------------------===//
// Dense phases
//===----------------------------------------------------------------------===//

LogicalResult moe::codegen::check(Location loc,
                                  const SharedExpertsOperands &operands,
                                  const ActivationParams &params) {
  auto has = [&](Value value, StringRef name, ArrayRef<int64_t> dynamic) {
    return succeeded(
        checkOperand(loc, value, name, 2, Elements::Model, dynamic));
  };
  if (failed(checkActivation(loc, params)) || !has(operands.x, "x", {0}) ||
      !has(operands.w13, "shared_w13", {}) ||
      !has(operands.w2, "shared_w2", {}) ||
      !has(operands.shared, "shared", {0}) ||
      (operands.gate && !has(operands.gate, "shared_gate", {})))
    return failure();
  int64_t columns = getColumns(operands.x);
  if (failed(checkColumns(loc, operands.w13, "shared_w13", columns)) ||
      (operands.gate &&
       failed(checkColumns(loc, operands.gate, "shared_gate", columns))))
    return failure();
  return checkColumns(loc, operands.w2, "shared_w2",
                      getWidth(operands.w13, params));
}

LogicalResult moe::codegen::check(Location loc,
                                  const ProjectOperands &operands) {
  return checkLinear(loc, operands.x, operands.weight, {}, operands.y, "y",
                     /*hasDynamicColumns=*/false);
}

LogicalResult moe::codegen::check(Location loc, const MergeOperands &operands) {
  auto isMatrix = [&](Value value, StringRef name, Elements elements) {
    return succeeded(checkOperand(loc, value, name, 2, elements, {0}));
  };
  bool valid =
      (operands.combine
           ? succeeded(checkInputs(loc, *operands.combine))
           : isMatrix(operands.routed, "routed", Elements::Model)) &&
      isMatrix(operands.y, "y", Elements::Model) &&
      (!operands.shared ||
       isMatrix(operands.shared, "shared", Elements::Model)) &&
      (!operands.x || (isMatrix(operands.x, "x", Elements::Model) &&
                       isMatrix(operands.ids, "ids", Elements::I32) &&
                       isMatrix(operands.weights, "weights", Elements::F32)));
  return success(valid);
}
