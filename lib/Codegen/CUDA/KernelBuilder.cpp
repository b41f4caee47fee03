//===- KernelBuilder.cpp - What CUDA kernels are made of ------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "KernelBuilder.h"

#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Utils/StaticValueUtils.h"

using namespace mlir;
using namespace moe::codegen::cuda;

//===----------------------------------------------------------------------===//
// Where a thread is
//===----------------------------------------------------------------------===//

Expr KernelBuilder::thread() {
  return wrap(NVVM::ThreadIdXOp::create(*this, getI32Type()));
}

Expr KernelBuilder::lane() { return thread() % kWarpSize; }

Expr KernelBuilder::warp() { return thread() / kWarpSize; }

Expr KernelBuilder::block() {
  return wrap(NVVM::BlockIdXOp::create(*this, getI32Type()));
}

Expr KernelBuilder::numBlocks() {
  return wrap(NVVM::GridDimXOp::create(*this, getI32Type()));
}

Expr KernelBuilder::scalar(Scalar scalar) {
  return toI32(wrap(kernel.getArgument(scalar.argument)));
}

//===----------------------------------------------------------------------===//
// Memory
//===----------------------------------------------------------------------===//

Expr KernelBuilder::dim(const Buffer &buffer, unsigned position) {
  if (!buffer.type.isDynamicDim(position))
    return i32(buffer.type.getDimSize(position));
  // Extents of dynamic dimensions follow the address, outermost first.
  unsigned before = llvm::count_if(buffer.type.getShape().take_front(position),
                                   ShapedType::isDynamic);
  return toI32(wrap(kernel.getArgument(buffer.argument + 1 + before)));
}

Array KernelBuilder::array(const Buffer &buffer) {
  Array result{wrap(kernel.getArgument(buffer.argument)),
               buffer.type.getElementType(),
               {}};
  for (unsigned i = 0, e = buffer.type.getRank(); i < e; ++i)
    result.sizes.push_back(dim(buffer, i));
  return result;
}

Expr KernelBuilder::tensorMap(const Buffer &buffer) {
  return wrap(kernel.getArgument(buffer.argument));
}

LLVM::GlobalOp KernelBuilder::getOrCreateGlobal(StringRef name, Type type,
                                                LLVM::Linkage linkage,
                                                unsigned alignment) {
  auto module = kernel->getParentOfType<gpu::GPUModuleOp>();
  if (auto known = module.lookupSymbol<LLVM::GlobalOp>(name))
    return known;
  OpBuilder::InsertionGuard guard(*this);
  setInsertionPointToStart(module.getBody());
  return LLVM::GlobalOp::create(*this, type, /*isConstant=*/false, linkage,
                                name, Attribute(), alignment,
                                AddressSpace::Shared);
}

static SmallVector<Expr, 3> toExprs(KernelBuilder &k, ArrayRef<int64_t> shape) {
  return llvm::map_to_vector<3>(shape,
                                [&](int64_t size) { return k.i32(size); });
}

Array KernelBuilder::shared(StringRef name, ArrayRef<int64_t> shape,
                            Type element) {
  auto type =
      LLVM::LLVMArrayType::get(element, ShapedType::getNumElements(shape));
  LLVM::GlobalOp global =
      getOrCreateGlobal((kernel.getName() + "_" + name).str(), type,
                        LLVM::Linkage::Internal, kVectorBytes);
  return {wrap(LLVM::AddressOfOp::create(*this, global)), element,
          toExprs(*this, shape)};
}

Expr KernelBuilder::dynamicShared(int64_t offset) {
  // One symbol for all kernels: its size is that of the launch. Swizzled tiles
  // of TMA want the alignment.
  LLVM::GlobalOp global = getOrCreateGlobal(
      "dynamic_shared", LLVM::LLVMArrayType::get(getI8Type(), 0),
      LLVM::Linkage::External, /*alignment=*/1024);
  Expr base = wrap(LLVM::AddressOfOp::create(*this, global));
  if (offset == 0)
    return base;
  return wrap(LLVM::GEPOp::create(
      *this, base.getType(), getI8Type(), base,
      ArrayRef<LLVM::GEPArg>{static_cast<int32_t>(offset)}));
}

Array KernelBuilder::dynamicShared(int64_t offset, ArrayRef<int64_t> shape,
                                   Type element) {
  return {dynamicShared(offset), element, toExprs(*this, shape)};
}

Expr KernelBuilder::addressOf(const Array &array, ArrayRef<Expr> indices) {
  // Row-major: ((i0 * size1) + i1) * size2 + ..., missing indices being 0.
  bool isShared =
      cast<LLVM::LLVMPointerType>(array.base.getType()).getAddressSpace() ==
      AddressSpace::Shared;
  Type indexType = isShared ? getI32Type() : getI64Type();
  Expr offset = toInteger(i32(0), indexType);
  for (auto [position, size] : llvm::enumerate(array.sizes)) {
    if (position > 0)
      offset = offset * toInteger(size, indexType);
    if (position < indices.size())
      offset = offset + toInteger(indices[position], indexType);
  }
  return wrap(LLVM::GEPOp::create(*this, array.base.getType(), array.element,
                                  array.base,
                                  ArrayRef<LLVM::GEPArg>{Value(offset)}));
}

/// The bytes of a scalar or vector.
static unsigned getBytes(Type type) {
  auto vector = dyn_cast<VectorType>(type);
  return (vector ? vector.getNumElements() : 1) *
         getElementTypeOrSelf(type).getIntOrFloatBitWidth() / 8;
}

Expr KernelBuilder::loadRaw(Expr address, Type element, unsigned width) {
  Type type = width == 1 ? element : VectorType::get(width, element);
  return wrap(LLVM::LoadOp::create(*this, type, address, getBytes(type)));
}

void KernelBuilder::storeRaw(Expr value, Expr address) {
  LLVM::StoreOp::create(*this, value, address, getBytes(value.getType()));
}

void KernelBuilder::atomicAdd(Expr value, Expr address) {
  LLVM::AtomicRMWOp::create(*this, LLVM::AtomicBinOp::add, address, value,
                            LLVM::AtomicOrdering::monotonic);
}

//===----------------------------------------------------------------------===//
// Control flow
//===----------------------------------------------------------------------===//

static SmallVector<Value> toValues(ArrayRef<Expr> exprs) {
  return SmallVector<Value>(exprs.begin(), exprs.end());
}

static Exprs toExprs(ExprBuilder &b, ValueRange values) {
  return llvm::map_to_vector<4>(values, [&](Value v) { return b.wrap(v); });
}

static SmallVector<Type> getTypes(ArrayRef<Expr> exprs) {
  return llvm::map_to_vector(exprs, [](Expr e) { return e.getType(); });
}

void KernelBuilder::forEach(Expr begin, Expr end, Expr step,
                            function_ref<void(Expr)> body) {
  emitFor(begin, end, step, {}, [&](Expr i, ArrayRef<Expr>) {
    body(i);
    return Exprs();
  });
}

Exprs KernelBuilder::emitFor(Expr begin, Expr end, Expr step,
                             ArrayRef<Expr> init,
                             function_ref<Exprs(Expr, ArrayRef<Expr>)> body) {
  auto loop = scf::ForOp::create(*this, begin, end, step, toValues(init));
  OpBuilder::InsertionGuard guard(*this);
  Block *block = loop.getBody();
  // Without carried values the loop comes with its terminator.
  if (block->mightHaveTerminator())
    block->getTerminator()->erase();
  setInsertionPointToStart(block);
  Exprs next = body(wrap(loop.getInductionVar()),
                    toExprs(*this, loop.getRegionIterArgs()));
  scf::YieldOp::create(*this, toValues(next));
  return toExprs(*this, loop.getResults());
}

Exprs KernelBuilder::emitWhile(ArrayRef<Expr> init,
                               function_ref<Expr(ArrayRef<Expr>)> condition,
                               function_ref<Exprs(ArrayRef<Expr>)> body) {
  auto loop = scf::WhileOp::create(*this, getTypes(init), toValues(init));
  OpBuilder::InsertionGuard guard(*this);
  SmallVector<Location> locs(init.size(), getLoc());
  Block *before = createBlock(&loop.getBefore(), {}, getTypes(init), locs);
  scf::ConditionOp::create(*this,
                           condition(toExprs(*this, before->getArguments())),
                           before->getArguments());
  Block *after = createBlock(&loop.getAfter(), {}, getTypes(init), locs);
  scf::YieldOp::create(*this,
                       toValues(body(toExprs(*this, after->getArguments()))));
  return toExprs(*this, loop.getResults());
}

void KernelBuilder::ifThen(Expr condition, function_ref<void()> body) {
  auto branch = scf::IfOp::create(*this, condition, /*withElseRegion=*/false);
  OpBuilder::InsertionGuard guard(*this);
  setInsertionPointToStart(branch.thenBlock());
  body();
}

Exprs KernelBuilder::emitIf(Expr condition, function_ref<Exprs()> then,
                            function_ref<Exprs()> otherwise) {
  // The op's own builder moves to each branch and back: it is this one.
  auto branch = scf::IfOp::create(
      *this, condition,
      [&](OpBuilder &, Location) {
        scf::YieldOp::create(*this, toValues(then()));
      },
      [&](OpBuilder &, Location) {
        scf::YieldOp::create(*this, toValues(otherwise()));
      });
  return toExprs(*this, branch.getResults());
}

//===----------------------------------------------------------------------===//
// Values that no optimizer sees through
//===----------------------------------------------------------------------===//

Expr KernelBuilder::emitAsm(StringRef text, StringRef constraints,
                            ValueRange operands, bool hasSideEffects) {
  auto code = LLVM::InlineAsmOp::create(
      *this, getI32Type(), operands, text, constraints, hasSideEffects,
      /*is_align_stack=*/false, LLVM::TailCallKind::None,
      LLVM::AsmDialectAttr::get(getContext(), LLVM::AsmDialect::AD_ATT),
      /*operand_attrs=*/ArrayAttr());
  return wrap(code.getResult(0));
}

Expr KernelBuilder::opaque(Expr value) {
  return emitAsm("mov.u32 $0, $1;", "=r,r", Value(value),
                 /*hasSideEffects=*/false);
}

Expr KernelBuilder::threadAnew() {
  // With side effects, it stays where it is.
  return emitAsm("mov.u32 $0, %tid.x;", "=r", {}, /*hasSideEffects=*/true);
}

//===----------------------------------------------------------------------===//
// Threads together
//===----------------------------------------------------------------------===//

static constexpr int64_t kAllLanes = -1;

void KernelBuilder::barrier() { NVVM::Barrier0Op::create(*this); }

void KernelBuilder::barrier(Expr id, int64_t count) {
  NVVM::BarrierOp::create(*this, TypeRange(), id, i32(count),
                          NVVM::BarrierReductionAttr(), Value());
}

void KernelBuilder::syncWarp() {
  NVVM::SyncWarpOp::create(*this, i32(kAllLanes));
}

static Expr emitShuffle(KernelBuilder &k, NVVM::ShflKind kind, Expr value,
                        Expr operand) {
  // Lanes are clamped to the last of the warp; for `up` to the first.
  int64_t clamp = kind == NVVM::ShflKind::up ? 0 : kWarpSize - 1;
  return k.wrap(NVVM::ShflOp::create(k, value.getType(), k.i32(kAllLanes),
                                     value, operand, k.i32(clamp), kind,
                                     UnitAttr()));
}

Expr KernelBuilder::shuffle(Expr value, Expr lane) {
  return emitShuffle(*this, NVVM::ShflKind::idx, value, lane);
}

Expr KernelBuilder::shuffleXor(Expr value, int64_t mask) {
  return emitShuffle(*this, NVVM::ShflKind::bfly, value, i32(mask));
}

Expr KernelBuilder::shuffleUp(Expr value, int64_t delta) {
  return emitShuffle(*this, NVVM::ShflKind::up, value, i32(delta));
}

Expr KernelBuilder::reduceLanes(Expr value,
                                function_ref<Expr(Expr, Expr)> combine,
                                int64_t lanes) {
  for (int64_t distance = lanes / 2; distance > 0; distance /= 2)
    value = combine(value, shuffleXor(value, distance));
  return value;
}

Expr KernelBuilder::sumLanes(Expr value, int64_t lanes) {
  return reduceLanes(value, [](Expr a, Expr b) { return a + b; }, lanes);
}

static Expr emitRedux(KernelBuilder &k, NVVM::ReduxKind kind, Expr value) {
  return k.wrap(
      NVVM::ReduxOp::create(k, k.getI32Type(), value, kind, k.i32(kAllLanes)));
}

Expr KernelBuilder::maxLanes(Expr value) {
  if (!value.isFloat())
    return emitRedux(*this, NVVM::ReduxKind::MAX, value);
  return reduceLanes(value, [](Expr a, Expr b) { return max(a, b); });
}

Expr KernelBuilder::minLanes(Expr value) {
  if (!value.isFloat())
    return emitRedux(*this, NVVM::ReduxKind::MIN, value);
  return reduceLanes(value, [](Expr a, Expr b) { return min(a, b); });
}

Expr KernelBuilder::scanLanes(Expr value) {
  Expr here = lane();
  for (int64_t distance = 1; distance < kWarpSize; distance *= 2) {
    Expr before = shuffleUp(value, distance);
    value = value + select(here >= distance, before, i32(0));
  }
  return value;
}

std::pair<Expr, Expr> KernelBuilder::scanBlock(Expr value, int64_t warps) {
  Array totals = shared("totals", {warps}, getI32Type());
  Expr last = i32(kWarpSize - 1);
  Expr upTo = scanLanes(value);
  ifThen(lane() == last, [&] { store(upTo, totals, warp()); });
  barrier();
  // Every warp adds up the warps before it for itself.
  Expr total = load(totals, min(lane(), warps - 1));
  total = select(lane() < warps, total, i32(0));
  Expr upToWarp = scanLanes(total);
  barrier();
  return {upTo - value + shuffle(upToWarp - total, warp()),
          shuffle(upToWarp, last)};
}

Expr KernelBuilder::ballot(Expr condition) {
  return wrap(NVVM::VoteSyncOp::create(*this, getI32Type(), i32(kAllLanes),
                                       condition, NVVM::VoteSyncKind::ballot));
}

Expr KernelBuilder::matchLanes(Expr value) {
  return wrap(NVVM::MatchSyncOp::create(*this, getI32Type(), i32(kAllLanes),
                                        value, NVVM::MatchSyncKind::any));
}

Expr KernelBuilder::lanesBefore() {
  return wrap(NVVM::LaneMaskLtOp::create(*this, getI32Type()));
}

Expr KernelBuilder::countBits(Expr value) {
  return wrap(LLVM::CtPopOp::create(*this, value.getType(), value));
}

void KernelBuilder::startDependents() {
  NVVM::GriddepcontrolOp::create(*this,
                                 NVVM::GridDepActionKind::launch_dependents);
}

void KernelBuilder::awaitPrevious() {
  NVVM::GriddepcontrolOp::create(*this, NVVM::GridDepActionKind::wait);
}
