//===- Buffers.cpp - What memory a value stands for -----------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moe-mlir/Dialect/Schedule/Analysis/Buffers.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Interfaces/ViewLikeInterface.h"
#include "llvm/Support/raw_ostream.h"

using namespace mlir;
using namespace moe::schedule;

//===----------------------------------------------------------------------===//
// Buffer and View
//===----------------------------------------------------------------------===//

std::string Buffer::getDisplayName() const {
  std::string name;
  llvm::raw_string_ostream os(name);
  switch (origin) {
  case Origin::Unknown:
    os << "memory of unknown origin";
    break;
  case Origin::Input:
  case Origin::Inout:
  case Origin::Output:
  case Origin::Workspace:
    os << "argument #" << cast<BlockArgument>(root).getArgNumber();
    break;
  case Origin::Allocation:
  case Origin::Stack:
    os << "a buffer of type '" << root.getType() << "'";
    break;
  case Origin::Global:
  case Origin::Constant:
    os << "global '" << symbol.getValue() << "'";
    break;
  case Origin::Slot:
    os << "slot '" << slot.getName().getValue() << "'";
    break;
  }
  return name;
}

bool View::isDisjointFrom(const View &other) const {
  if (boxType != other.boxType || box.size() != other.box.size())
    return false;
  for (auto [mine, theirs] : llvm::zip(box, other.box)) {
    bool known = mine.first <= mine.second && theirs.first <= theirs.second;
    if (known && (mine.second <= theirs.first || theirs.second <= mine.first))
      return true;
  }
  return false;
}

/// The index ranges that a subview covers, as far as they are constant.
static SmallVector<std::pair<int64_t, int64_t>, 4>
getBox(memref::SubViewOp op) {
  SmallVector<std::pair<int64_t, int64_t>, 4> box;
  for (auto [offset, size, stride] : llvm::zip(
           op.getStaticOffsets(), op.getStaticSizes(), op.getStaticStrides())) {
    if (ShapedType::isDynamic(offset) || ShapedType::isDynamic(size) ||
        ShapedType::isDynamic(stride) || stride < 1)
      box.emplace_back(0, -1);
    else
      box.emplace_back(offset,
                       size == 0 ? offset : offset + (size - 1) * stride + 1);
  }
  return box;
}

//===----------------------------------------------------------------------===//
// BufferTable
//===----------------------------------------------------------------------===//

BufferTable::BufferTable(FunctionOpInterface function) : function(function) {
  add(Buffer());
  if (function.isExternal())
    return;
  for (BlockArgument argument : function.getArguments()) {
    if (!isa<BaseMemRefType>(argument.getType()))
      continue;
    unsigned number = argument.getArgNumber();
    Buffer buffer;
    buffer.root = argument;
    if (function.getArgAttr(number, "bufferize.result"))
      buffer.origin = Buffer::Origin::Output;
    else if (function.getArgAttr(number, "schedule.workspace"))
      buffer.origin = Buffer::Origin::Workspace;
    else if (function.getArgAttr(number, "schedule.inout"))
      buffer.origin = Buffer::Origin::Inout;
    else
      buffer.origin = Buffer::Origin::Input;
    byRoot[argument] = add(buffer);
  }
}

BufferId BufferTable::add(Buffer buffer) {
  BufferId id = buffers.size();
  buffers.push_back({std::move(buffer), {}});
  for (BufferId other = 0; other < id; ++other) {
    if (!overlap(other, id))
      continue;
    buffers[other].overlapping.push_back(id);
    buffers[id].overlapping.push_back(other);
  }
  return id;
}

BufferId BufferTable::addSlot(SliceOp slice) {
  SlotAttr slot = slice.getSlotAttrValue();
  auto workspace = slice.getWorkspace().getDefiningOp<WorkspaceOp>();
  if (!slot)
    return unknown;
  // Slices name the same memory if they name the same slot of the same bytes,
  // wherever they stand.
  for (BufferId id : bySlot[slot]) {
    WorkspaceOp known = buffers[id].buffer.workspace;
    if (known->getOperands() == workspace->getOperands())
      return id;
  }
  Buffer buffer;
  buffer.origin = Buffer::Origin::Slot;
  buffer.root = slice.getBuffer();
  buffer.slot = slot;
  buffer.workspace = workspace;
  buffer.begin = slot.getOffsetBytes();
  buffer.end = slot.getSizeBytes();
  for (auto [begin, end] : llvm::zip(buffer.begin, buffer.end))
    end += begin;
  buffer.bytes = getRoot(workspace.getBytes()).value_or(unknown);
  BufferId id = add(buffer);
  bySlot[slot].push_back(id);
  return id;
}

BufferId BufferTable::addGlobal(memref::GetGlobalOp op) {
  StringAttr symbol = op.getNameAttr().getAttr();
  auto [it, isNew] = bySymbol.try_emplace(symbol, unknown);
  if (!isNew)
    return it->second;
  Buffer buffer;
  auto global = SymbolTable::lookupNearestSymbolFrom<memref::GlobalOp>(
      op, op.getNameAttr());
  buffer.origin = global && global.getConstant() ? Buffer::Origin::Constant
                                                 : Buffer::Origin::Global;
  buffer.root = op.getResult();
  buffer.symbol = symbol;
  return it->second = add(buffer);
}

bool BufferTable::overlap(BufferId first, BufferId second) const {
  using Origin = Buffer::Origin;
  const Buffer &a = buffers[first].buffer, &b = buffers[second].buffer;
  if (a.origin == Origin::Unknown || b.origin == Origin::Unknown)
    return true;
  if (a.origin == Origin::Slot && b.origin == Origin::Slot) {
    if (WorkspaceOp(a.workspace)->getOperands() ==
        WorkspaceOp(b.workspace)->getOperands()) {
      auto endsBefore = [](const Buffer &x, const Buffer &y) {
        return llvm::all_of(llvm::zip(x.end, y.begin), [](auto pair) {
          return std::get<0>(pair) <= std::get<1>(pair);
        });
      };
      return !endsBefore(a, b) && !endsBefore(b, a);
    }
    return a.bytes == b.bytes || overlap(a.bytes, b.bytes);
  }
  if (a.origin == Origin::Slot)
    return a.bytes == second || overlap(a.bytes, second);
  if (b.origin == Origin::Slot)
    return b.bytes == first || overlap(first, b.bytes);
  auto isAlone = [](const Buffer &buffer) {
    return buffer.origin == Origin::Allocation ||
           buffer.origin == Origin::Stack || buffer.origin == Origin::Output ||
           buffer.origin == Origin::Workspace;
  };
  if (isAlone(a) || isAlone(b))
    return false;
  if (a.symbol && b.symbol)
    return false;
  // Two that nobody writes may share bytes without harm.
  return !a.isReadOnly() || !b.isReadOnly();
}

std::optional<BufferId> BufferTable::getRoot(Value value) {
  SmallVector<View, 1> found = trace(value);
  if (found.size() != 1 || found.front().buffer == unknown)
    return std::nullopt;
  return found.front().buffer;
}

SmallVector<View, 1> BufferTable::trace(Value value) {
  auto it = views.find(value);
  if (it != views.end())
    return it->second;
  SmallVector<View, 1> found = traceUncached(value);
  views[value] = found;
  return found;
}

/// True if the op says that its result is new memory.
static bool allocates(Operation *op, Value result) {
  auto effects = dyn_cast<MemoryEffectOpInterface>(op);
  return effects &&
         effects.getEffectOnValue<MemoryEffects::Allocate>(result).has_value();
}

SmallVector<View, 1> BufferTable::traceUncached(Value value) {
  if (auto it = byRoot.find(value); it != byRoot.end())
    return {View(it->second)};
  Operation *op = value.getDefiningOp();
  if (!op)
    return {View(unknown, /*whole=*/false)};

  // One of several: neither is certain, and neither is covered.
  auto traceAny = [&](ArrayRef<Value> choices) {
    SmallVector<View, 1> found;
    for (Value choice : choices)
      for (View &view : trace(choice)) {
        view.whole = view.certain = false;
        found.push_back(view);
      }
    return found;
  };
  if (auto select = dyn_cast<arith::SelectOp>(op))
    return traceAny({select.getTrueValue(), select.getFalseValue()});
  if (auto branch = dyn_cast<scf::IfOp>(op)) {
    unsigned index = cast<OpResult>(value).getResultNumber();
    return traceAny({branch.thenYield().getOperand(index),
                     branch.elseYield().getOperand(index)});
  }

  if (auto slice = dyn_cast<SliceOp>(op)) {
    BufferId id = addSlot(slice);
    return {View(id, /*whole=*/id != unknown)};
  }
  if (auto global = dyn_cast<memref::GetGlobalOp>(op))
    return {View(addGlobal(global))};
  if (allocates(op, value)) {
    Buffer buffer;
    buffer.origin = isa<memref::AllocaOp>(op) ? Buffer::Origin::Stack
                                              : Buffer::Origin::Allocation;
    buffer.root = value;
    BufferId id = add(buffer);
    byRoot[value] = id;
    return {View(id)};
  }

  auto view = dyn_cast<ViewLikeOpInterface>(op);
  if (!view || view.getViewDest() != value)
    return {View(unknown, /*whole=*/false)};
  Value source = view.getViewSource();
  SmallVector<View, 1> found = trace(source);
  auto type = dyn_cast<MemRefType>(source.getType());
  for (View &part : found) {
    if (isa<memref::CastOp, memref::MemorySpaceCastOp, memref::ExpandShapeOp,
            memref::CollapseShapeOp, memref::TransposeOp,
            memref::AssumeAlignmentOp>(op))
      continue;
    // Coordinates are those of the buffer only next to it: a box within a box
    // keeps the outer one, which holds it.
    auto subview = dyn_cast<memref::SubViewOp>(op);
    bool atRoot = part.whole &&
                  (byRoot.count(source) || source.getDefiningOp<SliceOp>() ||
                   source.getDefiningOp<memref::GetGlobalOp>());
    if (subview && atRoot) {
      part.boxType = type;
      part.box = getBox(subview);
    } else if (isa<memref::ReinterpretCastOp>(op)) {
      // The op may reach past what its source covers.
      part.boxType = Type();
      part.box.clear();
    }
    part.whole = false;
  }
  return found;
}
