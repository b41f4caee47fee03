//===- Kernel.cpp - Kernels as instructions of warps ----------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Control flow is structured, so lanes that take different ways meet again
// where a branch or loop ends: there the mask is what it was before.
//
//===----------------------------------------------------------------------===//

#include "Kernel.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/IR/BuiltinTypes.h"
#include "llvm/ADT/TypeSwitch.h"
#include "llvm/Support/MathExtras.h"

using namespace mlir;
using namespace moe::codegen::cuda::test;

//===----------------------------------------------------------------------===//
// Control flow of a warp
//===----------------------------------------------------------------------===//

/// Copies values for the active lanes, all at once: a loop may carry two values
/// that change places.
static void copyRows(Warp &warp, ArrayRef<Slot> from, ArrayRef<Slot> to) {
  SmallVector<uint64_t> values;
  for (const Slot &slot : from) {
    const uint64_t *rows = warp.row(slot);
    values.append(rows, rows + size_t(slot.count) * kLanes);
  }
  const uint64_t *value = values.data();
  for (size_t n = 0; n < from.size(); ++n) {
    const Slot &source = from[n], &target = to[n];
    for (uint32_t i = 0; i < target.count; ++i, value += kLanes)
      forEachLane(warp.mask, [&](unsigned lane) {
        warp.row(target, i)[lane] = value[lane];
      });
    if (auto group = warp.groupOf.find(source.row); group != warp.groupOf.end())
      warp.groupOf[target.row] = group->second;
  }
}

static uint32_t lanesWhere(Warp &warp, const Slot &condition) {
  uint32_t lanes = 0;
  forEachLane(warp.mask, [&](unsigned lane) {
    lanes |= uint32_t(warp.row(condition)[lane] & 1) << lane;
  });
  return lanes;
}

/// Goes on with these lanes, or elsewhere if there is none.
static Step goOn(Warp &warp, uint32_t mask, size_t otherwise) {
  if (mask) {
    warp.mask = mask;
    return Step::Next;
  }
  warp.place = otherwise;
  return Step::Jump;
}

static Step enter(Warp &warp, const Instruction &) {
  warp.masks.push_back(warp.mask);
  return Step::Next;
}

static Step leave(Warp &warp, const Instruction &) {
  warp.mask = warp.masks.pop_back_val();
  return Step::Next;
}

static Step copyValues(Warp &warp, const Instruction &i) {
  copyRows(warp, i.in, i.out);
  return Step::Next;
}

/// Begins the side of a branch where the condition is `detail`. The mask of the
/// whole is the last one that was pushed.
static Step takeSide(Warp &warp, const Instruction &i) {
  warp.mask = warp.masks.back();
  uint32_t isTrue = lanesWhere(warp, i.in[0]);
  return goOn(warp, i.detail ? isTrue : warp.mask & ~isTrue, i.target);
}

static Step takeCondition(Warp &warp, const Instruction &i) {
  return goOn(warp, lanesWhere(warp, i.in[0]), i.target);
}

/// Lanes whose induction variable (in[0]) is below the end (in[1]) go on.
static Step testLoop(Warp &warp, const Instruction &i) {
  const uint64_t *at = warp.row(i.in[0]), *end = warp.row(i.in[1]);
  uint32_t mask = 0;
  forEachLane(warp.mask, [&](unsigned lane) {
    bool isBelow = llvm::SignExtend64(at[lane], i.inBits) <
                   llvm::SignExtend64(end[lane], i.inBits);
    mask |= uint32_t(isBelow) << lane;
  });
  return goOn(warp, mask, i.target);
}

static Step stepLoop(Warp &warp, const Instruction &i) {
  uint64_t *at = warp.row(i.in[0]), *step = warp.row(i.in[1]);
  forEachLane(warp.mask, [&](unsigned lane) {
    at[lane] =
        (at[lane] + step[lane]) & llvm::maskTrailingOnes<uint64_t>(i.inBits);
  });
  warp.place = i.target;
  return Step::Jump;
}

static Step jump(Warp &warp, const Instruction &i) {
  warp.place = i.target;
  return Step::Jump;
}

static Step endKernel(Warp &, const Instruction &) { return Step::End; }

//===----------------------------------------------------------------------===//
// Flattening
//===----------------------------------------------------------------------===//

unsigned moe::codegen::cuda::test::getElementBits(Type type) {
  type = getElementTypeOrSelf(type);
  if (auto structure = dyn_cast<LLVM::LLVMStructType>(type))
    type = structure.getBody().front();
  return type.isIntOrFloat() ? type.getIntOrFloatBitWidth() : 64;
}

static uint32_t countElements(Type type) {
  if (auto vector = dyn_cast<VectorType>(type))
    return vector.getNumElements();
  if (auto structure = dyn_cast<LLVM::LLVMStructType>(type))
    return structure.getBody().size();
  return 1;
}

namespace {
class Flattener {
public:
  explicit Flattener(Kernel &kernel) : kernel(kernel) {}

  void flatten();

private:
  Slot allocate(Type type) {
    Slot slot{kernel.rows, countElements(type)};
    kernel.rows += slot.count;
    return slot;
  }
  Slot slotOf(Value value) {
    auto [entry, isNew] = slots.try_emplace(value);
    if (isNew)
      entry->second = allocate(value.getType());
    return entry->second;
  }
  std::vector<Slot> slotsOf(ValueRange values) {
    std::vector<Slot> all;
    for (Value value : values)
      all.push_back(slotOf(value));
    return all;
  }
  Instruction &add(Operation *op, Handler run, std::vector<Slot> in = {},
                   std::vector<Slot> out = {}) {
    Instruction instruction;
    instruction.run = run;
    instruction.op = op;
    instruction.in = std::move(in);
    instruction.out = std::move(out);
    kernel.code.push_back(std::move(instruction));
    return kernel.code.back();
  }
  /// Makes an instruction go to where the next one will be.
  void land(size_t instruction) {
    kernel.code[instruction].target = kernel.code.size();
  }
  size_t last() const { return kernel.code.size() - 1; }
  Slot constant(Attribute attribute, Type type);
  void copy(Operation *op, ValueRange from, ValueRange to) {
    if (!from.empty())
      add(op, copyValues, slotsOf(from), slotsOf(to));
  }

  void flattenBody(Block &block);
  void flattenOp(Operation *op);
  void flattenIf(scf::IfOp op);
  void flattenFor(scf::ForOp op);
  void flattenWhile(scf::WhileOp op);
  void flattenAddress(LLVM::AddressOfOp op);

  Kernel &kernel;
  llvm::DenseMap<Value, Slot> slots;
  llvm::DenseMap<Attribute, Slot> constants;
  llvm::DenseMap<Operation *, uint32_t> globals;
};
} // namespace

Slot Flattener::constant(Attribute attribute, Type type) {
  auto [entry, isNew] = constants.try_emplace(attribute);
  if (!isNew)
    return entry->second;
  Slot slot = entry->second = allocate(type);
  auto set = [&](uint32_t element, const APInt &bits) {
    kernel.constants.push_back({slot.row + element, bits.getZExtValue()});
  };
  for (uint32_t i = 0; i < slot.count; ++i)
    if (auto integer = dyn_cast<IntegerAttr>(attribute))
      set(i, integer.getValue());
    else if (auto number = dyn_cast<FloatAttr>(attribute))
      set(i, number.getValue().bitcastToAPInt());
    else if (auto dense = dyn_cast<DenseFPElementsAttr>(attribute))
      set(i, (*(dense.value_begin<APFloat>() + i)).bitcastToAPInt());
    else if (auto dense = dyn_cast<DenseIntElementsAttr>(attribute))
      set(i, *(dense.value_begin<APInt>() + i));
    else
      llvm_unreachable("a constant that is no number");
  return slot;
}

void Flattener::flattenIf(scf::IfOp op) {
  add(op, enter);
  add(op, takeSide, {slotOf(op.getCondition())}).detail = 1;
  size_t then = last();
  flattenBody(*op.thenBlock());
  if (op.elseBlock()) {
    land(then);
    add(op, takeSide, {slotOf(op.getCondition())}).detail = 0;
    size_t otherwise = last();
    flattenBody(*op.elseBlock());
    land(otherwise);
  } else {
    land(then);
  }
  add(op, leave);
}

void Flattener::flattenFor(scf::ForOp op) {
  // Results and carried values are one: lanes keep what they left with.
  for (auto [carried, result] :
       llvm::zip_equal(op.getRegionIterArgs(), op.getResults()))
    slots[result] = slotOf(carried);
  add(op, enter);
  SmallVector<Value> from{op.getLowerBound()}, to{op.getInductionVar()};
  llvm::append_range(from, op.getInitArgs());
  llvm::append_range(to, op.getRegionIterArgs());
  copy(op, from, to);
  size_t test = kernel.code.size();
  add(op, testLoop, slotsOf({op.getInductionVar(), op.getUpperBound()}))
      .inBits = getElementBits(op.getInductionVar().getType());
  flattenBody(*op.getBody());
  Instruction &step =
      add(op, stepLoop, slotsOf({op.getInductionVar(), op.getStep()}));
  step.inBits = getElementBits(op.getInductionVar().getType());
  step.target = test;
  land(test);
  add(op, leave);
}

void Flattener::flattenWhile(scf::WhileOp op) {
  add(op, enter);
  copy(op, op.getInits(), op.getBeforeArguments());
  size_t begin = kernel.code.size();
  flattenBody(*op.getBeforeBody());
  scf::ConditionOp condition = op.getConditionOp();
  copy(condition, condition.getArgs(), op.getResults());
  copy(condition, condition.getArgs(), op.getAfterArguments());
  add(condition, takeCondition, {slotOf(condition.getCondition())});
  size_t test = last();
  flattenBody(*op.getAfterBody());
  add(op, jump).target = begin;
  land(test);
  add(op, leave);
}

void Flattener::flattenAddress(LLVM::AddressOfOp op) {
  // Objects lie apart by as much as a warp may read at once.
  constexpr uint32_t kGap = 512;
  auto global = SymbolTable::lookupNearestSymbolFrom<LLVM::GlobalOp>(
      op, op.getGlobalNameAttr());
  auto array = global ? dyn_cast<LLVM::LLVMArrayType>(global.getGlobalType())
                      : LLVM::LLVMArrayType();
  if (!array || global.getAddrSpace() != 3) {
    kernel.error = "the address of what is no array in shared memory";
    return;
  }
  auto [entry, isNew] = globals.try_emplace(global);
  if (isNew) {
    uint32_t end = kGap;
    for (const SharedMemory::Object &object : kernel.shared)
      if (object.bytes)
        end = std::max(end, object.begin + object.bytes + kGap);
    uint32_t bytes =
        array.getNumElements() * getElementBits(array.getElementType()) / 8;
    uint32_t begin = llvm::alignTo(end, global.getAlignment().value_or(kGap));
    // What has no size gets the launch's. It is put at a fixed place, behind
    // which nothing is.
    if (bytes == 0)
      begin = kDynamicShared;
    kernel.shared.push_back({global.getSymName().str(), begin, bytes});
    entry->second = begin;
  }
  Type type = IntegerType::get(op.getContext(), 64);
  slots[op.getResult()] = constant(IntegerAttr::get(type, entry->second), type);
}

void Flattener::flattenOp(Operation *op) {
  if (auto branch = dyn_cast<scf::IfOp>(op))
    return flattenIf(branch);
  if (auto loop = dyn_cast<scf::ForOp>(op))
    return flattenFor(loop);
  if (auto loop = dyn_cast<scf::WhileOp>(op))
    return flattenWhile(loop);
  if (auto address = dyn_cast<LLVM::AddressOfOp>(op))
    return flattenAddress(address);
  if (auto number = dyn_cast<arith::ConstantOp>(op)) {
    slots[number] = constant(number.getValue(), number.getType());
    return;
  }
  if (isa<scf::YieldOp>(op)) {
    Operation *parent = op->getParentOp();
    if (auto branch = dyn_cast<scf::IfOp>(parent))
      return copy(op, op->getOperands(), branch.getResults());
    if (auto loop = dyn_cast<scf::ForOp>(parent))
      return copy(op, op->getOperands(), loop.getRegionIterArgs());
    return copy(op, op->getOperands(),
                cast<scf::WhileOp>(parent).getBeforeArguments());
  }
  if (isa<scf::ConditionOp>(op))
    return; // The loop's.
  if (isa<LLVM::ReturnOp>(op)) {
    add(op, endKernel);
    return;
  }
  Instruction &instruction =
      add(op, nullptr, slotsOf(op->getOperands()), slotsOf(op->getResults()));
  if (op->getNumOperands())
    instruction.inBits = getElementBits(op->getOperand(0).getType());
  if (op->getNumResults())
    instruction.outBits = getElementBits(op->getResult(0).getType());
  for (auto find : {findArithmetic, findMemoryAccess, findWarpOperation,
                    findSynchronization, findTensorCoreOperation})
    if (Handler handler = find(op, instruction)) {
      instruction.run = handler;
      return;
    }
  llvm::raw_string_ostream(kernel.error)
      << "'" << op->getName() << "' is not emulated: " << *op;
}

void Flattener::flattenBody(Block &block) {
  for (Operation &op : block) {
    flattenOp(&op);
    if (!kernel.error.empty())
      return;
  }
}

void Flattener::flatten() {
  for (Value argument : kernel.function.getArguments())
    kernel.arguments.push_back(slotOf(argument));
  flattenBody(kernel.function.getBody().front());
}

std::unique_ptr<Kernel> Kernel::create(LLVM::LLVMFuncOp function) {
  auto kernel = std::make_unique<Kernel>();
  kernel->function = function;
  Flattener(*kernel).flatten();
  return kernel;
}
