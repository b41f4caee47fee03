//===- PlanWorkspace.cpp - Temporaries into slots of a workspace ----------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moe-mlir/Dialect/Schedule/Analysis/HappensBefore.h"
#include "moe-mlir/Transforms/Passes.h"

#include "TokenBound.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/IR/BuiltinOps.h"
#include "llvm/ADT/StringMap.h"

namespace moe {
#define GEN_PASS_DEF_PLANWORKSPACE
#include "moe-mlir/Transforms/Passes.h.inc"
} // namespace moe

using namespace mlir;
using namespace moe;
using schedule::SlotAttr;

/// Every coefficient of an offset or a size is a multiple of this.
static constexpr int64_t alignment = 256;
/// Sizes are compared at this number of tokens: that of a usual decode batch.
static constexpr int64_t usualTokens = 256;

namespace {
/// An allocation on its way to a slot.
struct Temporary {
  memref::AllocOp alloc;
  std::string name;
  SmallVector<schedule::WorkId> accesses;
  SlotAttr::Bytes size{};
  SlotAttr::Bytes offset{};

  SlotAttr::Bytes getEnd() const {
    SlotAttr::Bytes end = offset;
    for (int i = 0; i < 3; ++i)
      end[i] += size[i];
    return end;
  }
};

class Planner {
public:
  Planner(FunctionOpInterface function)
      : function(function), order(function),
        tokensArgument(findTokensArgument(function)),
        bounds(function, tokensArgument) {}

  LogicalResult collect();
  void place();
  void rewrite();

private:
  static BlockArgument findTokensArgument(FunctionOpInterface function);
  std::string pickName(const Temporary &temporary);
  Value createTokens(OpBuilder &builder);
  Value createTotalTokens(OpBuilder &builder);
  AffineMap getMap(const SlotAttr::Bytes &bytes);

  FunctionOpInterface function;
  schedule::HappensBefore order;
  BlockArgument tokensArgument;
  TokenBounds bounds;
  std::vector<Temporary> temporaries;
  SlotAttr::Bytes total{};
  llvm::StringMap<unsigned> names;
};

struct PlanWorkspace : moe::impl::PlanWorkspaceBase<PlanWorkspace> {
  void runOnOperation() override;
};
} // namespace

static int64_t getBytesAt(const SlotAttr::Bytes &bytes, int64_t tokens) {
  return bytes[0] + (bytes[1] + bytes[2]) * tokens;
}

static bool isAtMost(const SlotAttr::Bytes &a, const SlotAttr::Bytes &b) {
  return a[0] <= b[0] && a[1] <= b[1] && a[2] <= b[2];
}

static SlotAttr::Bytes getMax(SlotAttr::Bytes a, const SlotAttr::Bytes &b) {
  for (int i = 0; i < 3; ++i)
    a[i] = std::max(a[i], b[i]);
  return a;
}

BlockArgument Planner::findTokensArgument(FunctionOpInterface function) {
  BlockArgument first;
  for (BlockArgument argument : function.getArguments()) {
    auto type = dyn_cast<MemRefType>(argument.getType());
    if (!type || type.getRank() == 0)
      continue;
    unsigned number = argument.getArgNumber();
    if (function.getArgAttr(number, "schedule.tokens"))
      return argument;
    // The workspace's bytes grow with the tokens but are not them.
    if (!first && type.isDynamicDim(0) &&
        !function.getArgAttr(number, "schedule.workspace"))
      first = argument;
  }
  return first;
}

/// The run that first uses a temporary gives it its name.
std::string Planner::pickName(const Temporary &temporary) {
  std::string name = "temporary";
  for (schedule::WorkId id : temporary.accesses) {
    schedule::RunOp run = order.getWork()[id].run;
    if (!run || !run.getLabel())
      continue;
    name = run.getLabel()->str();
    break;
  }
  unsigned count = names[name]++;
  return count == 0 ? name : name + "." + std::to_string(count);
}

LogicalResult Planner::collect() {
  SmallVector<memref::AllocOp> allocs;
  function.getFunctionBody().walk(
      [&](memref::AllocOp alloc) { allocs.push_back(alloc); });
  Operation *exit = function.getFunctionBody().back().getTerminator();
  for (memref::AllocOp alloc : allocs) {
    MemRefType type = alloc.getType();
    if (!type.getLayout().isIdentity() || type.getMemorySpace())
      return alloc.emitError("expected a contiguous buffer in the default "
                             "memory space but got ")
             << type;
    if (alloc.getAlignment().value_or(1) > uint64_t(alignment))
      return alloc.emitError("expected an alignment of at most ")
             << alignment << " but got " << *alloc.getAlignment();
    schedule::BufferTable &buffers = order.getBuffers();
    schedule::BufferId buffer = *buffers.getRoot(alloc);
    for (Value result : exit->getOperands())
      if (isa<BaseMemRefType>(result.getType()))
        for (const schedule::View &view : buffers.trace(result))
          if (view.buffer == buffer)
            return alloc.emitError("expected a buffer that is not returned: "
                                   "make results output arguments first");

    std::optional<TokenBound> bytes =
        bounds.getBytes(type, alloc.getDynamicSizes());
    if (!bytes) {
      InFlightDiagnostic diag =
          alloc.emitError("expected a buffer whose bytes are at most linear in "
                          "the tokens but got ")
          << type;
      if (Value size = bounds.getUnbounded(alloc.getDynamicSizes()))
        diag.attachNote(size.getLoc())
            << "this size has no bound in tokens, constants and arguments "
               "with 'schedule.max_shape'";
      return diag;
    }
    Temporary temporary;
    temporary.alloc = alloc;
    temporary.size = bytes->roundUp(alignment);
    temporary.accesses = order.getAccesses(buffer);
    temporary.name = pickName(temporary);
    temporaries.push_back(std::move(temporary));
  }
  return success();
}

void Planner::place() {
  SmallVector<Temporary *> bySize;
  for (Temporary &temporary : temporaries)
    bySize.push_back(&temporary);
  llvm::stable_sort(bySize, [](Temporary *a, Temporary *b) {
    return getBytesAt(a->size, usualTokens) > getBytesAt(b->size, usualTokens);
  });

  SmallVector<Temporary *> placed;
  for (Temporary *next : bySize) {
    // Slots whose lives meet must be apart whatever the tokens.
    SmallVector<Temporary *> conflicts;
    for (Temporary *other : placed)
      if (!order.liveApart(next->accesses, other->accesses))
        conflicts.push_back(other);

    SmallVector<SlotAttr::Bytes> candidates = {{0, 0, 0}};
    SlotAttr::Bytes behindAll{};
    for (Temporary *other : conflicts) {
      candidates.push_back(other->getEnd());
      behindAll = getMax(behindAll, other->getEnd());
    }
    candidates.push_back(behindAll);
    llvm::stable_sort(candidates, [](const auto &a, const auto &b) {
      return getBytesAt(a, usualTokens) < getBytesAt(b, usualTokens);
    });
    for (const SlotAttr::Bytes &candidate : candidates) {
      next->offset = candidate;
      if (llvm::all_of(conflicts, [&](Temporary *other) {
            return isAtMost(next->getEnd(), other->offset) ||
                   isAtMost(other->getEnd(), next->offset);
          }))
        break;
    }
    placed.push_back(next);
    total = getMax(total, next->getEnd());
  }
}

AffineMap Planner::getMap(const SlotAttr::Bytes &bytes) {
  MLIRContext *context = function.getContext();
  AffineExpr tokens = getAffineDimExpr(0, context);
  AffineExpr all = getAffineDimExpr(1, context);
  return AffineMap::get(2, 0, tokens * bytes[1] + all * bytes[2] + bytes[0]);
}

/// The tokens as a value at entry, in place of every other such value, so that
/// a slice and its workspace can be seen to count the same.
Value Planner::createTokens(OpBuilder &builder) {
  Location loc = function.getLoc();
  Value zero = arith::ConstantIndexOp::create(builder, loc, 0);
  if (!tokensArgument)
    return zero;
  SmallVector<memref::DimOp> dims;
  for (Operation *user : tokensArgument.getUsers())
    if (auto dim = dyn_cast<memref::DimOp>(user))
      if (dim.getConstantIndex() == 0)
        dims.push_back(dim);
  Value tokens = memref::DimOp::create(builder, loc, tokensArgument, zero);
  for (memref::DimOp dim : dims) {
    dim.replaceAllUsesWith(tokens);
    dim.erase();
  }
  return tokens;
}

Value Planner::createTotalTokens(OpBuilder &builder) {
  SmallVector<schedule::TotalTokensOp> others;
  function.getFunctionBody().walk([&](schedule::TotalTokensOp op) {
    if (!op.getPart())
      others.push_back(op);
  });
  Value total = schedule::TotalTokensOp::create(
      builder, function.getLoc(), builder.getIndexType(), schedule::PartAttr());
  for (schedule::TotalTokensOp op : others) {
    op.replaceAllUsesWith(total);
    op.erase();
  }
  return total;
}

void Planner::rewrite() {
  if (temporaries.empty())
    return;
  MLIRContext *context = function.getContext();
  OpBuilder builder(context);
  auto bytesType =
      MemRefType::get({ShapedType::kDynamic}, builder.getIntegerType(8));
  unsigned index = function.getNumArguments();
  auto argAttrs = builder.getDictionaryAttr(
      builder.getNamedAttr("schedule.workspace", builder.getUnitAttr()));
  // The new argument has a type that the function's can always take.
  (void)function.insertArgument(index, bytesType, argAttrs, function.getLoc());
  function->setAttr("schedule.workspace_size",
                    AffineMapAttr::get(getMap(total)));

  SmallVector<Attribute> slots;
  for (Temporary &temporary : temporaries)
    slots.push_back(
        SlotAttr::get(context, builder.getStringAttr(temporary.name),
                      getMap(temporary.offset), getMap(temporary.size)));

  builder.setInsertionPointToStart(&function.getFunctionBody().front());
  Value tokens = createTokens(builder);
  Value totalTokens = createTotalTokens(builder);
  Value workspace = schedule::WorkspaceOp::create(
      builder, function.getLoc(), schedule::WorkspaceType::get(context),
      function.getArgument(index), tokens, totalTokens,
      builder.getArrayAttr(slots));

  for (Temporary &temporary : temporaries) {
    memref::AllocOp alloc = temporary.alloc;
    // The memory is the caller's: nothing frees it.
    for (Operation *user : llvm::make_early_inc_range(alloc->getUsers()))
      if (isa<memref::DeallocOp>(user))
        user->erase();
    builder.setInsertionPoint(alloc);
    auto slice = schedule::SliceOp::create(
        builder, alloc.getLoc(), alloc.getType(), workspace,
        builder.getStringAttr(temporary.name), alloc.getDynamicSizes());
    alloc.getResult().replaceAllUsesWith(slice.getBuffer());
    alloc.erase();
  }
}

void PlanWorkspace::runOnOperation() {
  SmallVector<FunctionOpInterface> functions;
  getOperation().walk([&](FunctionOpInterface function) {
    if (schedule::HappensBefore::issuesWork(function))
      functions.push_back(function);
  });
  for (FunctionOpInterface function : functions) {
    if (!function.getFunctionBody().hasOneBlock()) {
      function.emitError("expected structured control flow but got ")
          << function.getFunctionBody().getBlocks().size() << " blocks";
      return signalPassFailure();
    }
    Planner planner(function);
    if (failed(planner.collect()))
      return signalPassFailure();
    planner.place();
    std::optional<SymbolTable::UseRange> uses =
        SymbolTable::getSymbolUses(function, getOperation());
    if (!uses || !uses->empty()) {
      InFlightDiagnostic diag =
          function.emitError("expected a function that nothing in the module "
                             "refers to: its arguments change");
      if (uses)
        diag.attachNote(uses->begin()->getUser()->getLoc())
            << "it is referred to here";
      return signalPassFailure();
    }
    planner.rewrite();
  }
}
