//===- FusePhases.cpp - Phases that one kernel computes -------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Every fusion is a pattern that makes a `moe.fused`, and is tried if the
// target has a kernel for that.
//
//===----------------------------------------------------------------------===//

#include "moe-mlir/Codegen/CPU/CPU.h"
#include "moe-mlir/Codegen/CUDA/CUDA.h"
#include "moe-mlir/Conversion/Passes.h"
#include "moe-mlir/Dialect/MoE/IR/MoE.h"
#include "moe-mlir/Dialect/Schedule/Analysis/HappensBefore.h"

#include "mlir/Transforms/GreedyPatternRewriteDriver.h"

namespace moe {
#define GEN_PASS_DEF_MOEFUSEPHASES
#include "moe-mlir/Conversion/Passes.h.inc"
} // namespace moe

using namespace mlir;
using namespace moe;
using schedule::BufferId;
using schedule::HappensBefore;
using schedule::Work;
using schedule::WorkId;

//===----------------------------------------------------------------------===//
// Combine and merge
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

/// The work of `op` if it runs at most once in a call.
static std::optional<WorkId> getWork(const HappensBefore &order,
                                     Operation *op) {
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

/// Condition 3, as far as uses tell.
static bool isUsedBySumsAlone(Value sums) {
  // Views of the buffer, and returns, would be other uses.
  return sums.getDefiningOp<memref::AllocOp>() &&
         cast<MemRefType>(sums.getType()).getElementType().isF32() &&
         llvm::all_of(sums.getUses(), isOfSums);
}

/// Condition 3 on the path of the merge.
static bool isForMergeAlone(HappensBefore &order, Value sums, WorkId combine,
                            WorkId merge) {
  std::optional<BufferId> buffer = order.getBuffers().getRoot(sums);
  return buffer && llvm::all_of(order.getAccesses(*buffer), [&](WorkId access) {
           return access == combine || access == merge ||
                  order.areExclusive(access, merge);
         });
}

/// Condition 4 for one input.
static bool isKeptUntil(HappensBefore &order, Value input, WorkId combine,
                        WorkId merge) {
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

static bool canFuse(CombineOp combine, MergeOp merge) {
  if (combine.getExchange() || merge.getCommunicator() ||
      !canLeaveRun(combine, merge) || !isUsedBySumsAlone(combine.getInit()))
    return false;
  HappensBefore order(merge->getParentOfType<FunctionOpInterface>());
  std::optional<WorkId> first = getWork(order, combine);
  std::optional<WorkId> last = getWork(order, merge);
  if (!first || !last || !order.isBefore(*first, *last) ||
      !isForMergeAlone(order, combine.getInit(), *first, *last))
    return false;
  SmallVector<Value> inputs{combine.getExpertOut(), combine.getPairRows()};
  if (combine.getWeights())
    inputs.push_back(combine.getWeights());
  return llvm::all_of(inputs, [&](Value input) {
    return isKeptUntil(order, input, *first, *last);
  });
}

namespace {
struct FuseCombineWithMerge : OpRewritePattern<MergeOp> {
  using OpRewritePattern::OpRewritePattern;

  LogicalResult matchAndRewrite(MergeOp merge,
                                PatternRewriter &rewriter) const override {
    Value sums = merge.getRouted();
    CombineOp combine;
    for (Operation *user : sums.getUsers())
      if (auto candidate = dyn_cast<CombineOp>(user))
        if (candidate.getInit() == sums && canFuse(candidate, merge))
          combine = candidate;
    if (!combine)
      return rewriter.notifyMatchFailure(
          merge, "no combine whose sums the merge alone needs");
    Operation *run = combine->getParentOp();
    auto fused = FusedOp::create(rewriter, merge.getLoc());
    Block &body = fused.getBody().emplaceBlock();
    BlockArgument kept = body.addArgument(sums.getType(), combine.getLoc());
    rewriter.moveOpBefore(combine, &body, body.end());
    rewriter.moveOpBefore(merge, &body, body.end());
    rewriter.modifyOpInPlace(combine,
                             [&] { combine.getInitMutable().assign(kept); });
    rewriter.modifyOpInPlace(merge,
                             [&] { merge.getRoutedMutable().assign(kept); });
    rewriter.eraseOp(run);
    // The other path may have sums of its own in the buffer.
    if (sums.use_empty())
      rewriter.eraseOp(sums.getDefiningOp());
    return success();
  }
};
} // namespace

//===----------------------------------------------------------------------===//
// The pass
//===----------------------------------------------------------------------===//

namespace {
struct MoEFusePhases : moe::impl::MoEFusePhasesBase<MoEFusePhases> {
  using MoEFusePhasesBase::MoEFusePhasesBase;

  /// Whether the target has a kernel for these ops as one.
  bool hasKernel(StringRef opNames) const {
    return target == codegen::cuda::kTargetName
               ? codegen::cuda::getKernels().canFuse(opNames)
               : codegen::cpu::getKernels().canFuse(opNames);
  }

  void runOnOperation() override {
    func::FuncOp function = getOperation();
    if (!HappensBefore::issuesWork(function))
      return;
    if (target != codegen::cpu::kTargetName &&
        target != codegen::cuda::kTargetName) {
      function.emitError("expected target 'cpu' or 'cuda' but got '")
          << target << "'";
      return signalPassFailure();
    }
    RewritePatternSet patterns(&getContext());
    if (hasKernel("moe.combine+moe.merge"))
      patterns.add<FuseCombineWithMerge>(&getContext());
    SmallVector<Operation *> phases;
    function.walk([&](PhaseOpInterface phase) { phases.push_back(phase); });
    // Nothing but phases is touched.
    GreedyRewriteConfig config;
    config.setStrictness(GreedyRewriteStrictness::ExistingOps)
        .enableFolding(false)
        .enableConstantCSE(false);
    if (failed(applyOpPatternsGreedily(phases, std::move(patterns), config)))
      signalPassFailure();
  }
};
} // namespace
