//===- KernelBuilder.cpp - What CUDA kernels are made of ------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "KernelBuilder.h"

#include "moe-mlir/Dialect/Schedule/IR/Schedule.h"

#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Utils/StaticValueUtils.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/xxhash.h"

using namespace mlir;
using namespace moe;
using namespace moe::codegen::cuda;

/// What the driver wants of a CUtensorMap.
static constexpr int64_t kTensorMapBytes = 128;
static constexpr int64_t kTensorMapAlignment = 64;
/// Bytes; a line of the GPU's caches.
static constexpr int64_t kScratchAlignment = 128;

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
  forEach(begin, end, step, {}, [&](Expr i, ArrayRef<Expr>) {
    body(i);
    return Exprs();
  });
}

Exprs KernelBuilder::forEach(Expr begin, Expr end, Expr step,
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

Exprs KernelBuilder::whileTrue(ArrayRef<Expr> init,
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

Exprs KernelBuilder::ifElse(Expr condition, function_ref<Exprs()> then,
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

Expr KernelBuilder::choose(Expr condition, function_ref<Expr()> then,
                           function_ref<Expr()> otherwise) {
  return ifElse(
             condition, [&] { return Exprs{then()}; },
             [&] { return Exprs{otherwise()}; })
      .front();
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

//===----------------------------------------------------------------------===//
// Launches
//===----------------------------------------------------------------------===//

Buffer Launch::add(Value buffer, bool isWrite, Parameter parameter) {
  presence += buffer ? '1' : '0';
  if (!buffer)
    return {};
  SmallVector<Value> &operands = isWrite ? writes : reads;
  auto place = llvm::find(operands, buffer);
  parameter.isWrite = isWrite;
  parameter.operand = place - operands.begin();
  if (place == operands.end())
    operands.push_back(buffer);
  Buffer result{getMemRefType(buffer),
                static_cast<unsigned>(parameters.size())};
  parameters.push_back(parameter);
  for (int64_t dim = 0, rank = result.type.getRank(); dim < rank; ++dim)
    if (result.type.isDynamicDim(dim))
      parameters.push_back(
          {Parameter::Extent, isWrite, parameter.operand, dim});
  return result;
}

Buffer Launch::read(Value buffer) { return add(buffer, /*isWrite=*/false, {}); }

Buffer Launch::write(Value buffer) { return add(buffer, /*isWrite=*/true, {}); }

Buffer Launch::readTiles(Value buffer, ArrayRef<int64_t> box, int64_t swizzle) {
  return add(
      buffer, /*isWrite=*/false,
      {Parameter::TensorMap, false, 0, 0, llvm::to_vector(box), swizzle});
}

Buffer Launch::writeTiles(Value buffer, ArrayRef<int64_t> box,
                          int64_t swizzle) {
  return add(buffer, /*isWrite=*/true,
             {Parameter::TensorMap, true, 0, 0, llvm::to_vector(box), swizzle});
}

Scalar Launch::take(Value scalar) {
  parameters.push_back({Parameter::Scalar, /*isWrite=*/false,
                        static_cast<int64_t>(scalars.size())});
  scalars.push_back(scalar);
  return {static_cast<unsigned>(parameters.size() - 1)};
}

Attribute Launch::toAttribute(const Parameter &parameter) const {
  MLIRContext *context = emission.loc.getContext();
  // Operands are counted through the reads and then the writes.
  int64_t operand = parameter.operand + (parameter.isWrite ? reads.size() : 0);
  switch (parameter.kind) {
  case Parameter::Address:
    return schedule::PointerAttr::get(context, operand);
  case Parameter::Extent:
    return schedule::SizeAttr::get(context, operand, parameter.dim);
  case Parameter::Scalar:
    return schedule::ScalarAttr::get(context, operand);
  case Parameter::TensorMap:
    return schedule::TensorMapAttr::get(context, operand, parameter.box,
                                        parameter.swizzle);
  }
  llvm_unreachable("unknown parameter");
}

/// Kernels are equal if stem, operand types, shape of the launch, architecture
/// and key are.
std::string Launch::getKernelName(schedule::GPULaunchAttr shape) const {
  std::string text;
  llvm::raw_string_ostream stream(text);
  stream << shape << ';' << residentBlocks << ';' << emission.target.chip << ';'
         << emission.target.features << ';' << presence << ';' << key;
  for (Type type : ValueRange(reads).getTypes())
    stream << ';' << type;
  for (Type type : ValueRange(writes).getTypes())
    stream << ';' << type;
  return llvm::formatv("{0}_{1:x-16}", stem, llvm::xxh3_64bits(text));
}

static gpu::GPUModuleOp getOrCreateKernelModule(const Emission &emission) {
  ModuleOp module = emission.module;
  if (auto known = module.lookupSymbol<gpu::GPUModuleOp>(kKernelModuleName))
    return known;
  auto builder = OpBuilder::atBlockEnd(module.getBody());
  return gpu::GPUModuleOp::create(builder, emission.loc, kKernelModuleName);
}

LLVM::LLVMFuncOp Launch::createKernel(OpBuilder &builder,
                                      StringRef name) const {
  MLIRContext *context = builder.getContext();
  SmallVector<Type> types;
  for (const Parameter &parameter : parameters)
    switch (parameter.kind) {
    case Parameter::Address:
      types.push_back(
          LLVM::LLVMPointerType::get(context, AddressSpace::Global));
      break;
    case Parameter::Extent:
    case Parameter::Scalar:
      types.push_back(builder.getI64Type());
      break;
    case Parameter::TensorMap:
      types.push_back(LLVM::LLVMPointerType::get(context));
      break;
    }
  auto type =
      LLVM::LLVMFunctionType::get(LLVM::LLVMVoidType::get(context), types);
  auto kernel = LLVM::LLVMFuncOp::create(builder, emission.loc, name, type);
  auto set = [&](StringRef attribute, Attribute value) {
    kernel->setAttr(attribute, value);
  };
  set(gpu::GPUDialect::getKernelFuncAttrName(), builder.getUnitAttr());
  set(NVVM::NVVMDialect::getKernelFuncAttrName(), builder.getUnitAttr());
  set(NVVM::NVVMDialect::getReqntidAttrName(),
      builder.getDenseI32ArrayAttr({static_cast<int32_t>(threads), 1, 1}));
  if (cluster > 1)
    set(NVVM::NVVMDialect::getClusterDimAttrName(),
        builder.getDenseI32ArrayAttr({static_cast<int32_t>(cluster), 1, 1}));
  if (residentBlocks)
    set(NVVM::NVVMDialect::getMinctasmAttrName(),
        builder.getI32IntegerAttr(residentBlocks));
  // A tensor map is a `const __grid_constant__ CUtensorMap`: 128 bytes, aligned
  // to 64, whose address in parameter memory TMA takes.
  for (auto [i, parameter] : llvm::enumerate(parameters)) {
    if (parameter.kind != Parameter::TensorMap)
      continue;
    kernel.setArgAttr(i, LLVM::LLVMDialect::getByValAttrName(),
                      TypeAttr::get(LLVM::LLVMArrayType::get(
                          builder.getI8Type(), kTensorMapBytes)));
    kernel.setArgAttr(i, LLVM::LLVMDialect::getAlignAttrName(),
                      builder.getI64IntegerAttr(kTensorMapAlignment));
    kernel.setArgAttr(i, NVVM::NVVMDialect::getGridConstantAttrName(),
                      builder.getUnitAttr());
  }
  return kernel;
}

void Launch::emit(Value grid, function_ref<void(KernelBuilder &)> body) {
  MLIRContext *context = emission.loc.getContext();
  auto attributes = llvm::map_to_vector(
      parameters, [&](const Parameter &p) { return toAttribute(p); });
  auto shape = schedule::GPULaunchAttr::get(
      context, threads, sharedBytes, cluster, /*earlyStart=*/true, attributes);
  std::string name = getKernelName(shape);
  gpu::GPUModuleOp kernels = getOrCreateKernelModule(emission);
  if (!kernels.lookupSymbol(name)) {
    auto builder = OpBuilder::atBlockEnd(kernels.getBody());
    LLVM::LLVMFuncOp kernel = createKernel(builder, name);
    builder.setInsertionPointToStart(kernel.addEntryBlock(builder));
    KernelBuilder k(emission.loc, builder, kernel);
    body(k);
    LLVM::ReturnOp::create(k, ValueRange());
  }
  auto symbol = SymbolRefAttr::get(context, kKernelModuleName,
                                   FlatSymbolRefAttr::get(context, name));
  schedule::LaunchOp::create(emission.builder, emission.loc, symbol, grid,
                             reads, writes, scalars,
                             emission.builder.getStringAttr(label), shape);
}

//===----------------------------------------------------------------------===//
// The host's side
//===----------------------------------------------------------------------===//

MemRefType moe::codegen::cuda::getMemRefType(Value value) {
  return cast<MemRefType>(value.getType());
}

unsigned moe::codegen::cuda::getVectorWidth(int64_t columns, Type element) {
  int64_t width = kVectorBytes * 8 / element.getIntOrFloatBitWidth();
  while (columns % width != 0)
    width /= 2;
  return width;
}

unsigned moe::codegen::cuda::getVectorWidth(ArrayRef<Value> buffers) {
  unsigned width = kVectorBytes;
  for (Value buffer : buffers) {
    MemRefType type = getMemRefType(buffer);
    width = std::min(
        width, getVectorWidth(type.getShape().back(), type.getElementType()));
  }
  return width;
}

ExprBuilder moe::codegen::cuda::gridBuilder(const Emission &emission) {
  return ExprBuilder(emission.loc, emission.builder);
}

ExprBuilder moe::codegen::cuda::scratchBuilder(const Emission &emission) {
  return ExprBuilder(emission.loc, emission.scratch);
}

Expr moe::codegen::cuda::dimOf(ExprBuilder &host, Value buffer,
                               int64_t position) {
  int64_t size = getMemRefType(buffer).getDimSize(position);
  if (!ShapedType::isDynamic(size))
    return host.index(size);
  return host.wrap(memref::DimOp::create(host, buffer, position));
}

void moe::codegen::cuda::ifOnHost(const Emission &emission, Expr condition,
                                  function_ref<void()> then,
                                  function_ref<void()> otherwise) {
  if (std::optional<int64_t> known = getConstantIntValue(Value(condition)))
    return *known ? then() : otherwise();
  auto branch = scf::IfOp::create(emission.builder, emission.loc, condition,
                                  /*withElseRegion=*/true);
  OpBuilder::InsertionGuard guard(emission.builder);
  emission.builder.setInsertionPointToStart(branch.thenBlock());
  then();
  emission.builder.setInsertionPointToStart(branch.elseBlock());
  otherwise();
}

Value moe::codegen::cuda::allocateScratch(ArrayRef<Expr> sizes, Type element) {
  SmallVector<int64_t> shape;
  SmallVector<Value> dynamic;
  for (Expr size : sizes) {
    std::optional<int64_t> known = getConstantIntValue(Value(size));
    shape.push_back(known.value_or(ShapedType::kDynamic));
    if (!known)
      dynamic.push_back(size);
  }
  ExprBuilder &b = sizes.front().getBuilder();
  return memref::AllocOp::create(b, MemRefType::get(shape, element), dynamic,
                                 b.getI64IntegerAttr(kScratchAlignment));
}

Value moe::codegen::cuda::allocateScratch(const Emission &emission, Value rows,
                                          int64_t columns, Type element) {
  ExprBuilder b = scratchBuilder(emission);
  return allocateScratch({dimOf(b, rows, 0), b.index(columns)}, element);
}
