//===- EntryBuilder.cpp - Work as calls of the runtime --------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "EntryBuilder.h"
#include "moe-mlir/Codegen/CPU/Lowering.h"

#include "mlir/Conversion/LLVMCommon/MemRefBuilder.h"
#include "mlir/Dialect/Arith/IR/Arith.h"

using namespace mlir;
using namespace moe;
using namespace moe::schedule;

void EntryBuilder::convertRun(RunOp run) {
  Location loc = run.getLoc();
  Value stream = constantI32(getStreamNumber(run.getStream()));
  auto ticketOf = [&](Value event) {
    return UnrealizedConversionCastOp::create(b, loc, b.getI64Type(), event)
        .getResult(0);
  };
  for (Value event : run.getAfter())
    runtime.call(b, loc, "moert_stream_wait", {call, stream, ticketOf(event)});
  SmallVector<Operation *> work;
  run.walk([&](Operation *op) {
    if (isa<LaunchOp, CollectiveOp>(op))
      work.push_back(op);
  });
  for (Operation *op : work) {
    b.setInsertionPoint(op);
    if (auto collective = dyn_cast<CollectiveOp>(op)) {
      convertCollective(collective, stream);
      collective.erase();
      continue;
    }
    auto launch = cast<LaunchOp>(op);
    StringRef label = launch.getLabel().value_or(run.getLabel().value_or(""));
    if (launch.getGpu())
      convertGPULaunch(launch, stream, label);
    else
      convertLaunch(launch, stream, label);
    launch.erase();
  }
  // What is left is sizes and views of the launches' operands, and branches
  // between variants.
  for (Operation &op : llvm::make_early_inc_range(run.getBody().front()))
    op.moveBefore(run);
  b.setInsertionPoint(run);
  if (Value done = run.getDone()) {
    Value ticket = runtime.call(b, loc, "moert_event_record", {call, stream});
    done.replaceAllUsesWith(
        UnrealizedConversionCastOp::create(b, loc, done.getType(), ticket)
            .getResult(0));
  }
  run.erase();
}

SmallVector<Value> EntryBuilder::getDescriptors(ValueRange buffers) {
  return llvm::map_to_vector(buffers, [&](Value buffer) -> Value {
    return UnrealizedConversionCastOp::create(
               b, loc, converter.convertType(buffer.getType()), buffer)
        .getResult(0);
  });
}

static SmallVector<Value> getBuffers(LaunchOp launch) {
  SmallVector<Value> buffers = llvm::to_vector(launch.getReads());
  llvm::append_range(buffers, launch.getWrites());
  return buffers;
}

void EntryBuilder::convertCollective(CollectiveOp op, Value stream) {
  using Data = abi::moert_collective_data;
  SmallVector<Value> data;
  SmallVector<Value> sends = getDescriptors(op.getSends());
  SmallVector<Value> receives = getDescriptors(op.getReceives());
  for (auto [send, receive] : llvm::zip_equal(sends, receives)) {
    MemRefDescriptor from(send), to(receive);
    data.push_back(StructValue<Data>(b, loc)
                       .set(Data::send, from.alignedPtr(b, loc))
                       .set(Data::receive, to.alignedPtr(b, loc))
                       .set(Data::send_rows, from.size(b, loc, 0))
                       .set(Data::receive_rows, to.size(b, loc, 0))
                       .get());
  }
  SmallVector<Value> counts(2, LLVM::ZeroOp::create(b, loc, ptr));
  if (!op.getCounts().empty())
    for (auto [count, descriptor] :
         llvm::zip_equal(counts, getDescriptors(op.getCounts())))
      count = MemRefDescriptor(descriptor).alignedPtr(b, loc);
  runtime.call(b, loc, "moert_collective_enqueue",
               {call, stream, constantI32(collectives.getStep(op)),
                storeArray(Data::getType(b.getContext()), data), counts[0],
                counts[1]});
}

void EntryBuilder::convertLaunch(LaunchOp launch, Value stream,
                                 StringRef label) {
  SmallVector<MemRefType> types;
  for (Type type : llvm::concat<const Type>(launch.getReads().getTypes(),
                                            launch.getWrites().getTypes()))
    types.push_back(cast<MemRefType>(type));
  SmallVector<Value> scalars;
  for (Value scalar : launch.getScalars())
    scalars.push_back(
        arith::IndexCastOp::create(b, loc, b.getI64Type(), scalar));
  codegen::cpu::PackedArguments packed = codegen::cpu::packArguments(
      b, loc, types, getDescriptors(getBuffers(launch)), scalars);
  Value kernel = LLVM::AddressOfOp::create(
      b, loc, ptr, launch.getKernel().getLeafReference());
  runtime.call(b, loc, "moert_launch",
               {call, stream, kernel, runtime.getString(b, loc, label),
                packed.pointer, constantI64(packed.bytes), getGrid(launch)});
}

Value EntryBuilder::getGrid(LaunchOp launch) {
  return arith::IndexCastOp::create(b, loc, b.getI64Type(), launch.getGrid());
}

/// The address of an array of such values, in the entry's stack frame.
Value EntryBuilder::storeArray(Type element, ValueRange values) {
  Value array;
  {
    OpBuilder::InsertionGuard guard(b);
    auto function =
        b.getInsertionBlock()->getParent()->getParentOfType<LLVM::LLVMFuncOp>();
    b.setInsertionPointToStart(&function.getBody().front());
    array = LLVM::AllocaOp::create(
        b, loc, ptr, element, constantI64(std::max<int64_t>(values.size(), 1)));
  }
  for (auto [index, value] : llvm::enumerate(values))
    LLVM::StoreOp::create(
        b, loc, value,
        LLVM::GEPOp::create(
            b, loc, ptr, element, array,
            ArrayRef<LLVM::GEPArg>{static_cast<int32_t>(index)}));
  return array;
}

void EntryBuilder::convertGPULaunch(LaunchOp launch, Value stream,
                                    StringRef label) {
  GPULaunchAttr gpu = launch.getGpu().value();
  SmallVector<Type> types = llvm::to_vector(launch.getReads().getTypes());
  llvm::append_range(types, launch.getWrites().getTypes());
  SmallVector<Value> descriptors = getDescriptors(getBuffers(launch));
  auto sizeOf = [&](int64_t operand, int64_t dim) {
    return MemRefDescriptor(descriptors[operand]).size(b, loc, dim);
  };
  // What the driver takes: one pointer to the value of each parameter.
  SmallVector<Value> parameters;
  for (Attribute parameter : gpu.getParameters()) {
    if (auto pointer = dyn_cast<PointerAttr>(parameter)) {
      MemRefDescriptor descriptor(descriptors[pointer.getOperand()]);
      parameters.push_back(storeArray(ptr, descriptor.alignedPtr(b, loc)));
    } else if (auto size = dyn_cast<SizeAttr>(parameter)) {
      parameters.push_back(
          storeArray(b.getI64Type(), sizeOf(size.getOperand(), size.getDim())));
    } else if (auto scalar = dyn_cast<ScalarAttr>(parameter)) {
      Value value = launch.getScalars()[scalar.getOperand()];
      if (isa<IndexType>(value.getType()))
        value = arith::IndexCastOp::create(b, loc, b.getI64Type(), value);
      parameters.push_back(storeArray(value.getType(), value));
    } else {
      auto map = cast<TensorMapAttr>(parameter);
      auto type = cast<MemRefType>(types[map.getOperand()]);
      Type element = type.getElementType();
      SmallVector<Value> extents, box;
      for (auto [dim, extent] : llvm::enumerate(map.getBox())) {
        extents.push_back(sizeOf(map.getOperand(), dim));
        box.push_back(constantI64(extent));
      }
      int64_t dtype =
          getDLPackTypeCode(element) << 8 | element.getIntOrFloatBitWidth();
      MemRefDescriptor descriptor(descriptors[map.getOperand()]);
      parameters.push_back(runtime.call(
          b, loc, "moert_tensor_map",
          {call, descriptor.alignedPtr(b, loc), constantI32(dtype),
           constantI32(type.getRank()), storeArray(b.getI64Type(), extents),
           storeArray(b.getI64Type(), box), constantI32(map.getSwizzle())}));
    }
  }
  Value kernel =
      runtime.call(b, loc, "moert_kernel",
                   {call, runtime.getGPUModule(b, loc),
                    constantI32(runtime.getKernelIndex(launch.getKernel()))});
  runtime.call(
      b, loc, "moert_launch_gpu",
      {call, stream, kernel, runtime.getString(b, loc, label),
       storeArray(ptr, parameters), getGrid(launch),
       constantI32(gpu.getThreads()), constantI32(gpu.getSharedBytes()),
       constantI32(gpu.getCluster()), constantI32(gpu.getEarlyStart())});
}

/// What the runtime knows of the call.
void EntryBuilder::convertCallValue(Operation *op) {
  Value value;
  if (auto total = dyn_cast<TotalTokensOp>(op))
    value = total.getPart()
                ? runtime.call(b, loc, "moert_call_part_tokens",
                               {call, constantI32(total.getPart()->getIndex()),
                                constantI32(total.getPart()->getCount())})
                : runtime.call(b, loc, "moert_call_total_tokens", {call});
  else if (isa<MaxTokensOp>(op))
    value = runtime.call(b, loc, "moert_call_max_tokens", {call});
  else if (auto given = dyn_cast<CallValueOp>(op))
    value = runtime.call(b, loc, "moert_call_get_value",
                         {call, runtime.getString(b, loc, given.getName())});
  else
    value = runtime.call(b, loc, "moert_call_rank", {call});
  Value result = op->getResult(0);
  if (result.getType().isIndex())
    value = arith::IndexCastOp::create(b, loc, b.getIndexType(), value);
  else if (result.getType().isInteger(1)) // Any number but 0 is true.
    value = LLVM::ICmpOp::create(b, loc, LLVM::ICmpPredicate::ne, value,
                                 constantI64(0));
  result.replaceAllUsesWith(value);
  op->erase();
}

void EntryBuilder::convertRows(RowsOp rows) {
  auto type = cast<MemRefType>(rows.getResult().getType());
  Type i64 = b.getI64Type();
  auto toI64 = [&](Value index) -> Value {
    return arith::IndexCastOp::create(b, loc, i64, index);
  };
  int64_t rowBytes = *getElementBytes(type.getElementType()) *
                     ShapedType::getNumElements(type.getShape().drop_front());
  Value offset = LLVM::MulOp::create(b, loc, toI64(rows.getFirst()),
                                     constantI64(rowBytes));
  MemRefDescriptor source(getDescriptors(rows.getSource()).front());
  Value pointer =
      LLVM::GEPOp::create(b, loc, ptr, b.getI8Type(), source.alignedPtr(b, loc),
                          ArrayRef<LLVM::GEPArg>{offset});
  SmallVector<Value> sizes;
  if (rows.getSize())
    sizes.push_back(toI64(rows.getSize()));
  rows.getResult().replaceAllUsesWith(makeBuffer(type, pointer, sizes));
  rows.erase();
}

void EntryBuilder::convertSlice(SliceOp slice) {
  auto workspace = slice.getWorkspace().getDefiningOp<WorkspaceOp>();
  SlotAttr::Bytes bytes = slice.getSlotAttrValue().getOffsetBytes();
  Type i64 = b.getI64Type();
  auto toI64 = [&](Value index) -> Value {
    return arith::IndexCastOp::create(b, loc, i64, index);
  };
  Value offset = LLVM::ConstantOp::create(b, loc, i64, bytes[0]);
  Value counts[] = {workspace.getTokens(), workspace.getTotalTokens()};
  for (unsigned i = 0; i < 2; ++i) {
    if (bytes[i + 1] == 0)
      continue;
    Value factor = LLVM::ConstantOp::create(b, loc, i64, bytes[i + 1]);
    offset = LLVM::AddOp::create(
        b, loc, offset, LLVM::MulOp::create(b, loc, toI64(counts[i]), factor));
  }
  MemRefDescriptor descriptor(
      UnrealizedConversionCastOp::create(
          b, loc, converter.convertType(workspace.getBytes().getType()),
          workspace.getBytes())
          .getResult(0));
  Value pointer = LLVM::GEPOp::create(b, loc, ptr, b.getI8Type(),
                                      descriptor.alignedPtr(b, loc),
                                      ArrayRef<LLVM::GEPArg>{offset});
  SmallVector<Value> sizes = llvm::map_to_vector(slice.getSizes(), toI64);
  slice.getBuffer().replaceAllUsesWith(makeBuffer(
      cast<MemRefType>(slice.getBuffer().getType()), pointer, sizes));
  slice.erase();
}
