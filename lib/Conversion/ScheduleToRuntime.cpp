//===- ScheduleToRuntime.cpp - Schedules to calls of the runtime ----------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A scheduled function becomes the artefact's entry. Buffers keep their memref
// types until MLIR's own conversions take them away, so sizes, branches and
// arithmetic are none of this pass's business: it only replaces the schedule
// dialect and the function's boundary.
//
//===----------------------------------------------------------------------===//

#include "EntryBuilder.h"
#include "moe-mlir/Conversion/Passes.h"
#include "moe-mlir/Dialect/Schedule/IR/Schedule.h"

#include "moert/moert.h"

#include "mlir/Conversion/LLVMCommon/MemRefBuilder.h"
#include "mlir/Conversion/LLVMCommon/TypeConverter.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/ControlFlow/IR/ControlFlowOps.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/SCF/IR/SCF.h"

namespace moe {
#define GEN_PASS_DEF_CONVERTSCHEDULETORUNTIME
#include "moe-mlir/Conversion/Passes.h.inc"
} // namespace moe

using namespace mlir;
using namespace moe;
using namespace moe::schedule;

/// The number of a stream in the runtime (moert_stream_kind). Communicators are
/// numbered in the order in which the function first uses them.
int64_t EntryBuilder::getStreamNumber(StreamAttr stream) {
  if (stream.getKind() != StreamKind::comm)
    return static_cast<int64_t>(stream.getKind());
  return MOERT_STREAM_COMM + collectives.getNumber(stream.getCommunicator());
}

bool EntryBuilder::runsOnGPU() {
  return function
      .walk([](LaunchOp launch) {
        return launch.getGpu() ? WalkResult::interrupt()
                               : WalkResult::advance();
      })
      .wasInterrupted();
}

LogicalResult EntryBuilder::collectInterface() {
  if (size_t count = axes.getNames().size(); count > MOERT_MAX_AXES)
    return function.emitError("expected at most ")
           << MOERT_MAX_AXES << " axes in 'schedule.axes' but got " << count;
  for (auto [index, type] : llvm::enumerate(function.getArgumentTypes())) {
    if (function.getArgAttr(index, "schedule.workspace"))
      continue;
    auto memref = dyn_cast<MemRefType>(type);
    if (!memref || !memref.getLayout().isIdentity())
      return function.emitOpError(
                 "expected arguments that are row-major buffers but got ")
             << type;
    InterfaceTensor tensor;
    auto name = function.getArgAttrOfType<StringAttr>(index, "moe.name");
    tensor.name = name ? name.str() : ("argument " + Twine(index)).str();
    tensor.elementType = memref.getElementType();
    for (unsigned dim = 0, rank = memref.getRank(); dim < rank; ++dim)
      tensor.dims.push_back(axes.getDim(index, dim));
    bool isOutput = function.getArgAttr(index, "bufferize.result") != nullptr;
    (isOutput ? outputs : inputs).push_back(std::move(tensor));
  }
  return success();
}

void EntryBuilder::emitWorkspaceSize() {
  auto map = function->getAttrOfType<AffineMapAttr>("schedule.workspace_size");
  Type i64 = b.getI64Type();
  auto size = LLVM::LLVMFuncOp::create(
      b, loc, sizeName(), LLVM::LLVMFunctionType::get(i64, {i64, i64}));
  OpBuilder::InsertionGuard guard(b);
  Block *body = size.addEntryBlock(b);
  b.setInsertionPointToStart(body);
  auto constant = [&](int64_t value) -> Value {
    return LLVM::ConstantOp::create(b, loc, i64, value);
  };
  Value total = constant(0);
  if (map) {
    SlotAttr::Bytes bytes = *SlotAttr::getCoefficients(map.getValue());
    total = constant(bytes[0]);
    for (unsigned i = 0; i < 2; ++i)
      total =
          LLVM::AddOp::create(b, loc, total,
                              LLVM::MulOp::create(b, loc, body->getArgument(i),
                                                  constant(bytes[i + 1])));
  }
  LLVM::ReturnOp::create(b, loc, total);
}

/// A row-major buffer at `pointer`; `sizes` (i64) are its dynamic dimensions.
Value EntryBuilder::makeBuffer(MemRefType type, Value pointer,
                               ArrayRef<Value> sizes) {
  auto descriptor =
      MemRefDescriptor::poison(b, loc, converter.convertType(type));
  descriptor.setAllocatedPtr(b, loc, pointer);
  descriptor.setAlignedPtr(b, loc, pointer);
  descriptor.setConstantOffset(b, loc, 0);
  SmallVector<Value> all;
  const Value *next = sizes.begin();
  for (int64_t size : type.getShape())
    all.push_back(ShapedType::isDynamic(size)
                      ? *next++
                      : LLVM::ConstantOp::create(b, loc, b.getI64Type(), size)
                            .getResult());
  Value stride = LLVM::ConstantOp::create(b, loc, b.getI64Type(), 1);
  for (int64_t i = type.getRank() - 1; i >= 0; --i) {
    descriptor.setSize(b, loc, i, all[i]);
    descriptor.setStride(b, loc, i, stride);
    if (i > 0)
      stride = LLVM::MulOp::create(b, loc, stride, all[i]);
  }
  Value value = descriptor;
  return UnrealizedConversionCastOp::create(b, loc, type, value).getResult(0);
}

/// Element `index` of an array of DLTensor pointers, as a buffer.
Value EntryBuilder::takeTensor(MemRefType type, Value tensors, int64_t index) {
  Type i64 = b.getI64Type(), i8 = b.getI8Type();
  using abi::DLTensor;
  Value slot =
      LLVM::GEPOp::create(b, loc, ptr, ptr, tensors,
                          ArrayRef<LLVM::GEPArg>{static_cast<int32_t>(index)});
  Value tensor = LLVM::LoadOp::create(b, loc, ptr, slot);
  Value data = loadField<DLTensor>(b, loc, tensor, DLTensor::data);
  Value offset = loadField<DLTensor>(b, loc, tensor, DLTensor::byte_offset);
  data = LLVM::GEPOp::create(b, loc, ptr, i8, data,
                             ArrayRef<LLVM::GEPArg>{offset});
  Value shape = loadField<DLTensor>(b, loc, tensor, DLTensor::shape);
  SmallVector<Value> sizes;
  for (auto [position, size] : llvm::enumerate(type.getShape()))
    if (ShapedType::isDynamic(size)) {
      Value address = LLVM::GEPOp::create(
          b, loc, ptr, i64, shape,
          ArrayRef<LLVM::GEPArg>{static_cast<int32_t>(position)});
      sizes.push_back(LLVM::LoadOp::create(b, loc, i64, address));
    }
  return makeBuffer(type, data, sizes);
}

//===----------------------------------------------------------------------===//
// The schedule dialect
//===----------------------------------------------------------------------===//

LogicalResult EntryBuilder::build(int64_t maxTokens, int64_t numRanks) {
  if (failed(collectInterface()))
    return failure();
  Type i32 = b.getI32Type(), i64 = b.getI64Type();
  emitWorkspaceSize();
  if (failed(collectives.collect(function)))
    return failure();
  std::string exchange;
  if (!collectives.empty()) {
    exchange = (function.getName() + "_exchange").str();
    if (failed(collectives.emit(runtime, function, exchange)))
      return failure();
  }
  std::string signature = (function.getName() + "_signature").str();
  runtime.emitSignature(loc, signature, function.getName(),
                        runsOnGPU() ? kDLCUDA : kDLCPU, inputs, outputs,
                        maxTokens, numRanks, sizeName(), exchange,
                        axes.getNames());

  auto entry = LLVM::LLVMFuncOp::create(
      b, loc, runName(), LLVM::LLVMFunctionType::get(i32, {ptr}));
  Block *begin = entry.addEntryBlock(b);
  call = begin->getArgument(0);
  // The old body follows; its arguments become buffers taken from the call.
  Region &region = entry.getBody();
  Block *body = &function.getBody().front();
  region.getBlocks().splice(region.end(), function.getBody().getBlocks());
  auto *refused = new Block();
  region.push_back(refused);

  b.setInsertionPointToStart(begin);
  Value address = LLVM::AddressOfOp::create(b, loc, ptr, signature);
  Value status = runtime.call(b, loc, "moert_call_begin", {call, address});
  Value accepted = LLVM::ICmpOp::create(b, loc, LLVM::ICmpPredicate::eq, status,
                                        constantI32(MOERT_SUCCESS));
  cf::CondBranchOp::create(b, loc, accepted, body, ValueRange(), refused,
                           ValueRange());
  b.setInsertionPointToStart(refused);
  LLVM::ReturnOp::create(b, loc, status);

  b.setInsertionPointToStart(body);
  using abi::moert_call;
  auto load = [&](moert_call::Field field) {
    return loadField<moert_call>(b, loc, call, field);
  };
  Value inputTensors = load(moert_call::inputs);
  Value outputTensors = load(moert_call::outputs);
  int64_t input = 0, output = 0;
  for (auto [index, argument] : llvm::enumerate(body->getArguments())) {
    auto type = cast<MemRefType>(argument.getType());
    Value buffer;
    if (function.getArgAttr(index, "schedule.workspace")) {
      // Slices compute their own addresses; the size was checked at entry.
      Value bytes = LLVM::ConstantOp::create(b, loc, i64, 0);
      buffer = makeBuffer(type, load(moert_call::workspace), {bytes});
    } else if (function.getArgAttr(index, "bufferize.result")) {
      buffer = takeTensor(type, outputTensors, output++);
    } else {
      buffer = takeTensor(type, inputTensors, input++);
    }
    argument.replaceAllUsesWith(buffer);
  }
  body->eraseArguments(0, body->getNumArguments());

  SmallVector<Operation *> ops;
  entry.walk<WalkOrder::PreOrder>([&](Operation *op) {
    if (isa_and_nonnull<ScheduleDialect>(op->getDialect()) ||
        isa<func::ReturnOp>(op))
      ops.push_back(op);
    // A run's launches are converted with it.
    return isa<RunOp>(op) ? WalkResult::skip() : WalkResult::advance();
  });
  for (Operation *op : ops)
    if (failed(convert(op)))
      return failure();
  // Slices are converted and read their workspace no more.
  entry.walk([](WorkspaceOp op) { op.erase(); });
  return success();
}

LogicalResult EntryBuilder::convert(Operation *op) {
  b.setInsertionPoint(op);
  if (auto run = dyn_cast<RunOp>(op)) {
    convertRun(run);
  } else if (auto mark = dyn_cast<MarkOp>(op)) {
    Value stream = constantI32(getStreamNumber(mark.getStream()));
    mark.getEvent().replaceAllUsesWith(
        UnrealizedConversionCastOp::create(
            b, loc, mark.getEvent().getType(),
            runtime.call(b, loc, "moert_event_record", {call, stream}))
            .getResult(0));
    mark.erase();
  } else if (auto slice = dyn_cast<SliceOp>(op)) {
    convertSlice(slice);
  } else if (auto rows = dyn_cast<RowsOp>(op)) {
    convertRows(rows);
  } else if (isa<TotalTokensOp, MaxTokensOp, CallValueOp, RankOp>(op)) {
    convertCallValue(op);
  } else if (isa<CollectiveOp, LaunchOp>(op)) {
    return op->emitOpError("expected to lie in a 'schedule.run'");
  } else if (auto ret = dyn_cast<func::ReturnOp>(op)) {
    Value status = runtime.call(b, loc, "moert_call_end", {call});
    LLVM::ReturnOp::create(b, loc, status);
    ret.erase();
  }
  return success();
}

namespace {
struct ConvertScheduleToRuntime
    : moe::impl::ConvertScheduleToRuntimeBase<ConvertScheduleToRuntime> {
  void runOnOperation() override {
    ModuleOp module = getOperation();
    RuntimeInterface runtime(module);
    SmallVector<func::FuncOp> functions;
    for (auto function : module.getOps<func::FuncOp>())
      if (!function.isDeclaration() && isScheduled(function))
        functions.push_back(function);
    auto descriptor = module->getAttrOfType<StringAttr>(kDescriptorAttrName);
    for (func::FuncOp function : functions) {
      EntryBuilder entry(function, runtime);
      auto most = function->getAttrOfType<IntegerAttr>(kMaxNumTokensAttrName);
      GridAttr grid = getGrid(function);
      if (failed(entry.build(most ? most.getInt() : -1,
                             grid ? grid.getNumRanks() : 1)))
        return signalPassFailure();
      if (functions.size() == 1)
        runtime.emitArtefact(function.getLoc(), function.getName(),
                             descriptor ? descriptor.getValue() : "{}",
                             entry.runName(), entry.sizeName());
      function.erase();
    }
    if (failed(runtime.emitGPUModule()))
      return signalPassFailure();
  }

  static bool isScheduled(func::FuncOp function) {
    return function
        .walk([](Operation *op) {
          return isa<RunOp, MarkOp>(op) ? WalkResult::interrupt()
                                        : WalkResult::advance();
        })
        .wasInterrupted();
  }
};
} // namespace
