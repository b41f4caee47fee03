//===- KernelBuilder.cpp - What the bodies of CPU kernels are made of -----===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "KernelBuilder.h"

#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Utils/StaticValueUtils.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/xxhash.h"

using namespace mlir;
using namespace moe;
using namespace moe::codegen;
using namespace moe::codegen::cpu;

//===----------------------------------------------------------------------===//
// Indices and control flow
//===----------------------------------------------------------------------===//

Value KernelBuilder::index(int64_t value) {
  return arith::ConstantIndexOp::create(*this, value);
}

Value KernelBuilder::dim(Value memref, int64_t position) {
  int64_t size = getMemRefType(memref).getDimSize(position);
  if (!ShapedType::isDynamic(size))
    return index(size);
  return memref::DimOp::create(*this, memref, position);
}

Value KernelBuilder::add(Value lhs, Value rhs) {
  return createOrFold<arith::AddIOp>(lhs, rhs);
}

Value KernelBuilder::sub(Value lhs, Value rhs) {
  return createOrFold<arith::SubIOp>(lhs, rhs);
}

Value KernelBuilder::mul(Value lhs, Value rhs) {
  return createOrFold<arith::MulIOp>(lhs, rhs);
}

Value KernelBuilder::div(Value lhs, Value rhs) {
  return createOrFold<arith::DivUIOp>(lhs, rhs);
}

Value KernelBuilder::rem(Value lhs, Value rhs) {
  return createOrFold<arith::RemUIOp>(lhs, rhs);
}

Value KernelBuilder::ceilDiv(Value lhs, int64_t rhs) {
  return div(add(lhs, index(rhs - 1)), index(rhs));
}

Value KernelBuilder::minimum(Value lhs, Value rhs) {
  return createOrFold<arith::MinUIOp>(lhs, rhs);
}

Value KernelBuilder::compare(arith::CmpIPredicate predicate, Value lhs,
                             Value rhs) {
  return createOrFold<arith::CmpIOp>(predicate, lhs, rhs);
}

Value KernelBuilder::load(Value memref, ValueRange indices) {
  return memref::LoadOp::create(*this, memref, indices);
}

void KernelBuilder::store(Value value, Value memref, ValueRange indices) {
  memref::StoreOp::create(*this, value, memref, indices);
}

Value KernelBuilder::loadIndex(Value memref, ValueRange indices) {
  return arith::IndexCastOp::create(*this, getIndexType(),
                                    load(memref, indices));
}

void KernelBuilder::storeIndex(Value index, Value memref, ValueRange indices) {
  store(arith::IndexCastOp::create(*this, getI32Type(), index), memref,
        indices);
}

void KernelBuilder::forEach(Value begin, Value end, int64_t step,
                            function_ref<void(Value)> body) {
  auto loop = scf::ForOp::create(*this, begin, end, index(step));
  OpBuilder::InsertionGuard guard(*this);
  setInsertionPointToStart(loop.getBody());
  body(loop.getInductionVar());
}

void KernelBuilder::ifThen(Value condition, function_ref<void()> body) {
  auto branch = scf::IfOp::create(*this, condition, /*withElseRegion=*/false);
  OpBuilder::InsertionGuard guard(*this);
  setInsertionPointToStart(branch.thenBlock());
  body();
}

void KernelBuilder::forEachChunk(Value count,
                                 function_ref<void(Value, unsigned)> body) {
  int64_t lanes = getLanes();
  Value whole = mul(div(count, index(lanes)), index(lanes));
  if (getConstantIntValue(whole) != 0)
    forEach(index(0), whole, lanes, [&](Value i) { body(i, lanes); });
  std::optional<int64_t> size = getConstantIntValue(count);
  if (!size || *size % lanes != 0)
    forEach(whole, count, 1, [&](Value i) { body(i, 1); });
}

Value KernelBuilder::blockLocal(ArrayRef<int64_t> shape, Type element) {
  OpBuilder::InsertionGuard guard(*this);
  auto kernel =
      getInsertionBlock()->getParent()->getParentOfType<func::FuncOp>();
  setInsertionPointToStart(&kernel.getBody().front());
  // A cache line, which is also the widest vector register.
  return memref::AllocaOp::create(*this, MemRefType::get(shape, element),
                                  getI64IntegerAttr(64));
}

Value KernelBuilder::blockLocal(Value size, Type element) {
  if (std::optional<int64_t> count = getConstantIntValue(size))
    return blockLocal(*count, element);
  return memref::AllocaOp::create(
      *this, MemRefType::get(ShapedType::kDynamic, element), size,
      getI64IntegerAttr(64));
}

Value KernelBuilder::subview(Value source, ArrayRef<OpFoldResult> offsets,
                             ArrayRef<OpFoldResult> sizes,
                             ArrayRef<int64_t> strides, ArrayRef<bool> keep) {
  SmallVector<int64_t> shape;
  for (auto [size, kept] : llvm::zip_equal(sizes, keep))
    if (kept)
      shape.push_back(getConstantIntValue(size).value_or(ShapedType::kDynamic));
  SmallVector<OpFoldResult> steps =
      getAsIndexOpFoldResult(getContext(), strides);
  MemRefType type = memref::SubViewOp::inferRankReducedResultType(
      shape, getMemRefType(source), offsets, sizes, steps);
  return memref::SubViewOp::create(*this, type, source, offsets, sizes, steps);
}

Value KernelBuilder::row(Value source, ValueRange indices) {
  MemRefType type = getMemRefType(source);
  SmallVector<OpFoldResult> offsets = getAsOpFoldResult(indices);
  offsets.push_back(getIndexAttr(0));
  SmallVector<OpFoldResult> sizes(indices.size(), getIndexAttr(1));
  sizes.push_back(getAsOpFoldResult(dim(source, type.getRank() - 1)));
  SmallVector<int64_t> strides(type.getRank(), 1);
  SmallVector<bool> keep(indices.size(), false);
  keep.push_back(true);
  return subview(source, offsets, sizes, strides, keep);
}

//===----------------------------------------------------------------------===//
// Vectors of f32
//===----------------------------------------------------------------------===//

VectorType KernelBuilder::vector(unsigned width) {
  return VectorType::get(width, getF32Type());
}

Value KernelBuilder::constant(double value, unsigned width) {
  return arith::ConstantOp::create(
      *this, DenseElementsAttr::get(vector(width), static_cast<float>(value)));
}

Value KernelBuilder::constantLike(double value, Value like) {
  if (auto type = dyn_cast<VectorType>(like.getType()))
    return constant(value, type.getNumElements());
  return arith::ConstantOp::create(*this, getF32FloatAttr(value));
}

Value KernelBuilder::splat(Value scalar, unsigned width) {
  return vector::BroadcastOp::create(*this, vector(width), scalar);
}

Value KernelBuilder::loadVector(Value memref, ValueRange indices,
                                unsigned width) {
  Type element = getMemRefType(memref).getElementType();
  Value loaded = vector::LoadOp::create(*this, VectorType::get(width, element),
                                        memref, indices);
  if (element.isF32())
    return loaded;
  return arith::ExtFOp::create(*this, vector(width), loaded);
}

void KernelBuilder::storeVector(Value value, Value memref, ValueRange indices) {
  Type element = getMemRefType(memref).getElementType();
  auto type = cast<VectorType>(value.getType());
  if (!element.isF32())
    value = arith::TruncFOp::create(*this, type.clone(element), value);
  vector::StoreOp::create(*this, value, memref, indices);
}

Value KernelBuilder::loadFloat(Value memref, ValueRange indices) {
  Value loaded = load(memref, indices);
  if (loaded.getType().isF32())
    return loaded;
  return arith::ExtFOp::create(*this, getF32Type(), loaded);
}

Value KernelBuilder::addf(Value lhs, Value rhs) {
  return arith::AddFOp::create(*this, lhs, rhs);
}

Value KernelBuilder::subf(Value lhs, Value rhs) {
  return arith::SubFOp::create(*this, lhs, rhs);
}

Value KernelBuilder::mulf(Value lhs, Value rhs) {
  return arith::MulFOp::create(*this, lhs, rhs);
}

Value KernelBuilder::divf(Value lhs, Value rhs) {
  return arith::DivFOp::create(*this, lhs, rhs);
}

Value KernelBuilder::fma(Value a, Value b, Value c) {
  return vector::FMAOp::create(*this, a, b, c);
}

Value KernelBuilder::comparef(arith::CmpFPredicate predicate, Value lhs,
                              Value rhs) {
  return arith::CmpFOp::create(*this, predicate, lhs, rhs);
}

Value KernelBuilder::select(Value condition, Value then, Value otherwise) {
  return arith::SelectOp::create(*this, condition, then, otherwise);
}

Value KernelBuilder::exp(Value x) { return math::ExpOp::create(*this, x); }

Value KernelBuilder::sigmoid(Value x) {
  Value one = constantLike(1.0, x);
  Value negated = arith::NegFOp::create(*this, x);
  return divf(one, addf(one, exp(negated)));
}

//===----------------------------------------------------------------------===//
// Kernels
//===----------------------------------------------------------------------===//

MemRefType moe::codegen::cpu::getMemRefType(Value value) {
  return cast<MemRefType>(value.getType());
}

func::FuncOp moe::codegen::cpu::getOrEmitKernel(
    const Emission &emission, StringRef stem, ValueRange reads,
    ValueRange writes, StringRef parameters,
    function_ref<void(KernelBuilder &, Value, ValueRange, ValueRange)> body) {
  return getOrEmitKernel(
      emission, stem, reads, writes, ValueRange(), parameters,
      [&](KernelBuilder &k, Value block, ValueRange reads, ValueRange writes,
          ValueRange) { body(k, block, reads, writes); });
}

func::FuncOp moe::codegen::cpu::getOrEmitKernel(
    const Emission &emission, StringRef stem, ValueRange reads,
    ValueRange writes, ValueRange scalars, StringRef parameters,
    function_ref<void(KernelBuilder &, Value, ValueRange, ValueRange,
                      ValueRange)>
        body) {
  const Target &target = emission.target;
  ModuleOp module = emission.module;
  std::string key =
      describeParameters(stem, parameters, target.triple, target.cpu,
                         target.features, target.vectorBits, reads.size());
  OpBuilder builder(module.getContext());
  SmallVector<Type> types{builder.getIndexType()};
  llvm::append_range(types, reads.getTypes());
  llvm::append_range(types, writes.getTypes());
  llvm::append_range(types, scalars.getTypes());
  auto type = builder.getFunctionType(types, {});
  llvm::raw_string_ostream(key) << type;
  std::string name =
      llvm::formatv("moe_{0}_{1:x-16}", stem, llvm::xxh3_64bits(key));
  std::replace(name.begin(), name.end(), '.', '_');
  if (auto known = module.lookupSymbol<func::FuncOp>(name))
    return known;

  builder.setInsertionPointToEnd(module.getBody());
  auto kernel = func::FuncOp::create(builder, emission.loc, name, type);
  kernel->setAttr(kKernelAttrName, builder.getUnitAttr());
  Block *entry = kernel.addEntryBlock();
  builder.setInsertionPointToStart(entry);
  auto end = func::ReturnOp::create(builder, emission.loc);
  builder.setInsertionPoint(end);
  KernelBuilder kernelBuilder(emission.loc, builder, target);
  ValueRange arguments = entry->getArguments().drop_front();
  body(kernelBuilder, entry->getArgument(0), arguments.take_front(reads.size()),
       arguments.drop_front(reads.size()).take_front(writes.size()),
       arguments.take_back(scalars.size()));
  return kernel;
}

void moe::codegen::cpu::emitLaunches(const Emission &emission,
                                     ArrayRef<Launch> launches) {
  for (const Launch &launch : launches)
    schedule::LaunchOp::create(emission.builder, emission.loc,
                               SymbolRefAttr::get(launch.kernel), launch.grid,
                               launch.reads, launch.writes, launch.scalars,
                               emission.builder.getStringAttr(launch.label),
                               schedule::GPULaunchAttr());
}

KernelBuilder moe::codegen::cpu::gridBuilder(const Emission &emission) {
  return KernelBuilder(emission.loc, emission.builder, emission.target);
}

Value moe::codegen::cpu::allocateScratch(const Emission &emission, Value rows,
                                         int64_t columns, Type element) {
  KernelBuilder k(emission.loc, emission.scratch, emission.target);
  int64_t count = getMemRefType(rows).getDimSize(0);
  auto type = MemRefType::get({count, columns}, element);
  SmallVector<Value> sizes;
  if (ShapedType::isDynamic(count))
    sizes.push_back(k.dim(rows, 0));
  return memref::AllocOp::create(k, type, sizes, k.getI64IntegerAttr(64));
}
