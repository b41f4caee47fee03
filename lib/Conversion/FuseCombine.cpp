//===- FuseCombine.cpp - Combines that merges compute ---------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A combine may be computed where its merge stands if
//
// 1. neither needs other ranks;
// 2. the combine has a run of its own, on the merge's stream and path, that
//    waits for no event and makes none: the run can go;
// 3. its sums are f32 in a buffer that nothing else touches on this path: the
//    buffer can go, and no rounding with it;
// 4. what it reads is not overwritten until the merge is done.
//
//===----------------------------------------------------------------------===//

#include "FuseCombine.h"
#include "moe-mlir/Dialect/Schedule/Analysis/HappensBefore.h"
#include "moe-mlir/Dialect/Schedule/IR/Schedule.h"

#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "llvm/ADT/STLExtras.h"

using namespace mlir;
using namespace moe;
using schedule::BufferId;
using schedule::HappensBefore;
using schedule::Work;
using schedule::WorkId;

/// Condition 2.
static bool canLeaveRun(CombineOp combine, MergeOp merge) {
  auto from = dyn_cast<schedule::RunOp>(combine->getParentOp());
  auto to = dyn_cast<schedule::RunOp>(merge->getParentOp());
  return from && to && from != to && from->getBlock() == to->getBlock() &&
         from.getStream() == to.getStream() && from.getAfter().empty() &&
         from->use_empty() && llvm::hasSingleElement(from.getBody().front());
}

/// True if `use` is of a combine's result or of a merge's first summand.
static bool isOfSums(OpOperand &use) {
  if (auto combine = dyn_cast<CombineOp>(use.getOwner()))
    return &use == &combine.getInitMutable();
  if (auto merge = dyn_cast<MergeOp>(use.getOwner()))
    return &use == &merge.getRoutedMutable();
  return false;
}

namespace {
/// Decides about the pairs of a function.
class Matcher {
public:
  explicit Matcher(func::FuncOp function) : order(function) {}

  bool canFuse(CombineOp combine, MergeOp merge);

private:
  /// The work of `op` if it runs at most once in a call.
  std::optional<WorkId> getWork(Operation *op) const;
  bool isForMergeAlone(Value sums, WorkId combine, WorkId merge);
  bool isKeptUntil(Value input, WorkId combine, WorkId merge);

  HappensBefore order;
};
} // namespace

std::optional<WorkId> Matcher::getWork(Operation *op) const {
  std::optional<WorkId> found;
  for (auto [id, work] : llvm::enumerate(order.getWork())) {
    if (work.op != op)
      continue;
    if (found)
      return std::nullopt;
    found = id;
  }
  return found;
}

/// Condition 3.
bool Matcher::isForMergeAlone(Value sums, WorkId combine, WorkId merge) {
  // Views of the buffer, and returns, would be other uses.
  if (!sums.getDefiningOp<memref::AllocOp>() ||
      !cast<MemRefType>(sums.getType()).getElementType().isF32() ||
      !llvm::all_of(sums.getUses(), isOfSums))
    return false;
  std::optional<BufferId> buffer = order.getBuffers().getRoot(sums);
  return buffer && llvm::all_of(order.getAccesses(*buffer), [&](WorkId access) {
           return access == combine || access == merge ||
                  order.areExclusive(access, merge);
         });
}

/// Condition 4 for one input.
bool Matcher::isKeptUntil(Value input, WorkId combine, WorkId merge) {
  llvm::SmallDenseSet<BufferId> buffers;
  for (const schedule::View &view : order.getBuffers().trace(input)) {
    buffers.insert(view.buffer);
    for (BufferId overlapping : order.getBuffers().getOverlapping(view.buffer))
      buffers.insert(overlapping);
  }
  for (auto [id, work] : llvm::enumerate(order.getWork())) {
    bool mayOverwrite =
        llvm::any_of(work.accesses, [&](const schedule::Access &access) {
          return buffers.contains(access.view.buffer) &&
                 (access.writes || access.frees);
        });
    if (mayOverwrite && !order.isBefore(id, combine) &&
        !order.isBefore(merge, id) && !order.areExclusive(id, merge))
      return false;
  }
  return true;
}

bool Matcher::canFuse(CombineOp combine, MergeOp merge) {
  if (combine.getExchange() || merge.getCommunicator() ||
      !canLeaveRun(combine, merge))
    return false;
  std::optional<WorkId> first = getWork(combine), last = getWork(merge);
  if (!first || !last || !order.isBefore(*first, *last) ||
      !isForMergeAlone(combine.getInit(), *first, *last))
    return false;
  SmallVector<Value> inputs{combine.getExpertOut(), combine.getPairRows()};
  if (combine.getWeights())
    inputs.push_back(combine.getWeights());
  return llvm::all_of(
      inputs, [&](Value input) { return isKeptUntil(input, *first, *last); });
}

FusedCombines moe::fuseCombines(func::FuncOp function) {
  FusedCombines fused;
  if (!HappensBefore::issuesWork(function))
    return fused;
  Matcher matcher(function);
  function.walk([&](CombineOp combine) {
    for (Operation *user : combine.getInit().getUsers())
      if (auto merge = dyn_cast<MergeOp>(user))
        if (matcher.canFuse(combine, merge))
          fused[merge] = combine;
  });
  for (auto [merge, combine] : fused) {
    Operation *run = combine->getParentOp();
    combine->moveBefore(merge);
    run->erase();
  }
  return fused;
}
