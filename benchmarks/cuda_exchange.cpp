//===- cuda_exchange.cpp - Kernels of several ranks, one by one -----------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Compiles what standard input names, one a line, for cuda_exchange.py, which
// checks and times it on a GPU:
//
//   cuda_exchange FOLDER <<< 'op=send_plan T=512 E=64 ranks=8 top=8'
//
// op     expert_map, dispatch (with a map), send_plan, batched_send_plan,
//        batched_plan (of E experts here), gather_rows (S rows of N columns) or
//        clear_ids
// Others: round_robin=0|1, rank, capacity, dtype=bf16|f16|f32|i32.
//
//===----------------------------------------------------------------------===//

#include "CUDACases.h"
#include "Testing/Phase.h"

#include "mlir/Dialect/Arith/IR/Arith.h"

using namespace mlir;
using namespace moe;
using namespace moe::benchmarks;
using namespace moe::codegen::cuda;
using moe::codegen::test::emitPhase;

namespace {
class ExchangeEmitter : public CaseEmitter {
public:
  std::vector<Operand> getOperands(MLIRContext *context,
                                   const Case &settings) override;
  LogicalResult emit(const Emission &emission, const Case &settings,
                     ValueRange buffers) override;
};
} // namespace

std::vector<Operand> ExchangeEmitter::getOperands(MLIRContext *context,
                                                  const Case &settings) {
  int64_t tokens = settings.number("T"), top = settings.number("top", 1);
  int64_t experts = settings.number("E"), ranks = settings.number("ranks", 1);
  int64_t capacity = settings.number("capacity", 1);
  int64_t capacityRows = experts * capacity;
  Type i32 = IntegerType::get(context, 32), f32 = Float32Type::get(context);
  Operand ids{"ids", {tokens, top}, true, i32};
  Operand pairRows{"pair_rows", {tokens, top}, true, i32};
  std::string op = settings.text("op");
  if (op == "expert_map")
    return {{"map", {experts}, false, i32}};
  if (op == "dispatch")
    return {ids,
            {"offsets", {settings.number("here") + 1}, true, i32},
            {"source", {tokens * top}, true, i32},
            pairRows,
            {"map", {experts}, false, i32}};
  if (op == "send_plan")
    return {ids,
            {"counts", {ranks}, false, i32},
            {"source", {tokens * std::min(top, ranks)}, true, i32},
            pairRows};
  if (op == "batched_send_plan")
    return {ids,
            {"weights", {tokens, top}, true, f32},
            {"counts", {experts}, false, i32},
            {"source", {capacityRows}, false, i32},
            {"row_weights", {capacityRows, 1}, false, f32},
            pairRows};
  if (op == "batched_plan")
    return {{"counts", {ranks * experts}, true, i32},
            {"offsets", {experts + 1}, true, i32},
            {"source", {ranks * capacityRows}, true, i32},
            {"pair_rows", {ranks * capacityRows, 1}, true, i32}};
  if (op == "gather_rows") {
    int64_t rows = settings.number("S"), columns = settings.number("N");
    Type element = settings.element(context, "dtype");
    return {{"x", {tokens, columns}, true, element},
            {"source", {rows}, true, i32},
            {"y", {rows, columns}, true, element}};
  }
  if (op == "clear_ids")
    return {ids};
  return {};
}

LogicalResult ExchangeEmitter::emit(const Emission &emission,
                                    const Case &settings, ValueRange v) {
  Builder b(emission.loc.getContext());
  auto placement = PlacementAttr::get(
      b.getContext(), std::max<int64_t>(settings.number("E"), 1),
      settings.number("ranks", 1),
      settings.number("round_robin") ? PlacementKind::round_robin
                                     : PlacementKind::linear);
  int64_t capacity = settings.number("capacity", 1);
  std::string op = settings.text("op");
  if (op == "expert_map") {
    Value rank = arith::ConstantIndexOp::create(emission.builder, emission.loc,
                                                settings.number("rank"));
    return emitPhase<ExpertMapOp>(getKernels(), emission, rank, v[0],
                                  placement);
  }
  if (op == "dispatch")
    return emitPhase<DispatchPlanOp>(getKernels(), emission, v[0], v[4], v[1],
                                     v[2], v[3]);
  if (op == "send_plan")
    return emitPhase<SendPlanOp>(getKernels(), emission, v[0], v[1], v[2], v[3],
                                 placement);
  if (op == "batched_send_plan")
    return emitPhase<BatchedSendPlanOp>(getKernels(), emission, v[0], v[1],
                                        v[2], v[3], v[4], v[5], placement,
                                        capacity);
  if (op == "batched_plan")
    return emitPhase<BatchedPlanOp>(getKernels(), emission, v[0], v[1], v[2],
                                    v[3], placement.getRanks(), capacity);
  if (op == "gather_rows")
    return emitPhase<GatherRowsOp>(getKernels(), emission, v[0], v[1], v[2]);
  if (op == "clear_ids")
    return emitPhase<ClearIdsOp>(getKernels(), emission, v[0]);
  return emitError(emission.loc)
         << "expected a known 'op' but got '" << op << "'";
}

int main(int argc, char **argv) {
  ExchangeEmitter emitter;
  return compileCases(argc, argv, "cuda_exchange", emitter);
}
