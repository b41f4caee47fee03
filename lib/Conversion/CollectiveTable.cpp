//===- CollectiveTable.cpp - A function's collectives ---------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "CollectiveTable.h"
#include "RuntimeStructs.h"
#include "moe-mlir/Dialect/MoE/IR/MoE.h"

#include "moert/moert.h"

#include "mlir/Dialect/SCF/IR/SCF.h"
#include "llvm/Support/xxhash.h"

using namespace mlir;
using namespace moe;
using schedule::CollectiveOp;

//===----------------------------------------------------------------------===//
// Collecting
//===----------------------------------------------------------------------===//

LogicalResult CollectiveTable::collect(func::FuncOp function) {
  size_t step = 0;
  return collect(function.getBody(), step);
}

/// Numbers the collectives from `step` on and moves it behind the last.
LogicalResult CollectiveTable::collect(Region &region, size_t &step) {
  for (Operation &op : region.getOps()) {
    if (auto collective = dyn_cast<CollectiveOp>(op)) {
      if (failed(collect(collective, step++)))
        return failure();
      continue;
    }
    size_t begin = step;
    std::optional<size_t> end;
    // Where all ranks take the same arm, its sequence is its own.
    bool isUniform = op.hasAttr("schedule.uniform");
    for (Region &inner : op.getRegions()) {
      if (isUniform) {
        if (failed(collect(inner, step)))
          return failure();
        continue;
      }
      step = begin;
      if (failed(collect(inner, step)))
        return failure();
      if (end && *end != step)
        return op.emitOpError("expected arms with equally many collectives "
                              "but got ")
               << *end - begin << " and " << step - begin;
      end = step;
    }
    if (step != begin && !isa<schedule::RunOp, scf::IfOp>(op))
      return op.emitOpError("expected collectives in straight-line code and "
                            "in 'scf.if': every call has the same sequence");
  }
  return success();
}

LogicalResult CollectiveTable::collect(CollectiveOp op, size_t step) {
  steps[op] = step;
  if (step == collectives.size()) {
    collectives.push_back(op);
    return success();
  }
  CollectiveOp first = collectives[step];
  if (op.getCommunicatorAttr() == first.getCommunicatorAttr() &&
      op.getCollectiveName() == first.getCollectiveName())
    return success();
  InFlightDiagnostic diag =
      op.emitOpError("expected all paths to have one sequence of collectives, "
                     "with '")
      << first.getCollectiveName() << "' on " << first.getCommunicatorAttr()
      << " as number " << step << ", but got '" << op.getCollectiveName()
      << "' on " << op.getCommunicatorAttr();
  diag.attachNote(first.getLoc()) << "the other path has it here";
  return diag;
}

int64_t CollectiveTable::getNumber(StringAttr communicator) {
  communicators.insert(communicator);
  return llvm::find(communicators, communicator) - communicators.begin();
}

//===----------------------------------------------------------------------===//
// Emitting
//===----------------------------------------------------------------------===//

/// What the ranks' programs must have in common, as text.
std::string CollectiveTable::describe(ArrayRef<int64_t> sizes) {
  std::string text;
  llvm::raw_string_ostream os(text);
  llvm::interleaveComma(sizes, os);
  for (CollectiveOp op : collectives)
    os << '\n' << op.getCommunicator() << ' ' << op.getCollectiveName();
  return text;
}

/// The dtypes of the send buffers, as the runtime numbers them.
static SmallVector<int32_t> getDTypes(CollectiveOp op) {
  SmallVector<int32_t> dtypes;
  for (Type type : op.getSends().getTypes()) {
    Type element = cast<MemRefType>(type).getElementType();
    dtypes.push_back(getDLPackTypeCode(element) << 8 |
                     static_cast<int32_t>(element.getIntOrFloatBitWidth()));
  }
  return dtypes;
}

static int64_t getFlags(CollectiveOp op) {
  return (op.getCounts().empty() ? 0 : MOERT_COLLECTIVE_COUNTS) |
         (op.getBlocksBySource() ? MOERT_COLLECTIVE_BLOCKS_BY_SOURCE : 0) |
         (op.getHalf() ? (*op.getHalf() == 0 ? MOERT_COLLECTIVE_FIRST_HALF
                                             : MOERT_COLLECTIVE_SECOND_HALF)
                       : 0);
}

static SmallVector<int64_t> getColumns(CollectiveOp op) {
  SmallVector<int64_t> columns;
  for (Type type : op.getSends().getTypes())
    columns.push_back(ShapedType::getNumElements(
        cast<MemRefType>(type).getShape().drop_front()));
  return columns;
}

LogicalResult CollectiveTable::emit(RuntimeInterface &runtime,
                                    func::FuncOp function, StringRef symbol) {
  for (CollectiveOp op : collectives)
    for (Type type : op.getSends().getTypes())
      if (!ShapedType::isStaticShape(
              cast<MemRefType>(type).getShape().drop_front()))
        return op.emitOpError("expected rows of a static size but got ")
               << type;
  auto parallel = function->getAttrOfType<ParallelAttr>("moe.parallel");
  if (!parallel)
    return function.emitOpError("expected 'moe.parallel' to say what ranks the "
                                "communicators have");
  Location loc = function.getLoc();
  Builder types(function.getContext());
  Type i32 = types.getI32Type(), i64 = types.getI64Type();
  Type ptr = LLVM::LLVMPointerType::get(function.getContext());
  auto part = [&](StringRef what, size_t step) {
    return (symbol + "_" + what + "_" + Twine(step)).str();
  };
  for (auto [step, op] : llvm::enumerate(collectives)) {
    runtime.emitNumbers(loc, part("dtypes", step), i32,
                        llvm::to_vector_of<int64_t>(getDTypes(op)));
    runtime.emitNumbers(loc, part("columns", step), i64, getColumns(op));
    if (op.getBlocks())
      runtime.emitNumbers(loc, part("blocks", step), i64, *op.getBlocks());
  }

  using abi::moert_collective;
  auto collectivesType = LLVM::LLVMArrayType::get(
      moert_collective::getType(function.getContext()), collectives.size());
  std::string collectivesSymbol = (symbol + "_collectives").str();
  runtime.emitConstant(
      loc, collectivesSymbol, collectivesType, LLVM::Linkage::Private,
      [&](OpBuilder &b) {
        SmallVector<Value> elements;
        for (auto [step, op] : llvm::enumerate(collectives)) {
          int64_t communicator =
              llvm::find(communicators, op.getCommunicatorAttr()) -
              communicators.begin();
          StructValue<moert_collective> element(b, loc);
          element
              .set(moert_collective::kind, static_cast<int64_t>(op.getKind()))
              .set(moert_collective::communicator, communicator)
              .set(moert_collective::label,
                   runtime.getString(b, loc, op.getLabel().value_or("")))
              .set(moert_collective::num_buffers, op.getSends().size())
              .set(moert_collective::flags, getFlags(op))
              .set(moert_collective::dtypes,
                   runtime.address(b, loc, part("dtypes", step)))
              .set(moert_collective::columns,
                   runtime.address(b, loc, part("columns", step)))
              .set(moert_collective::rows_per_token, op.getRowsPerToken());
          if (op.getBlocks())
            element.set(moert_collective::blocks,
                        runtime.address(b, loc, part("blocks", step)));
          else
            element.setNull(moert_collective::blocks);
          elements.push_back(element.get());
        }
        return aggregate(b, loc, collectivesType, elements);
      });
  auto namesType = LLVM::LLVMArrayType::get(ptr, communicators.size());
  std::string namesSymbol = (symbol + "_communicators").str();
  runtime.emitConstant(loc, namesSymbol, namesType, LLVM::Linkage::Private,
                       [&](OpBuilder &b) {
                         SmallVector<Value> names;
                         for (StringAttr name : communicators)
                           names.push_back(runtime.getString(b, loc, name));
                         return aggregate(b, loc, namesType, names);
                       });

  int64_t sizes[] = {parallel.getTensor(), parallel.getPrefillContext(),
                     parallel.getData()};
  uint64_t hash = llvm::xxh3_64bits(describe(sizes));
  using abi::moert_exchange;
  runtime.emitStruct<moert_exchange>(
      loc, symbol, LLVM::Linkage::Private,
      [&](OpBuilder &b, StructValue<moert_exchange> &exchange) {
        exchange.set(moert_exchange::tp_size, sizes[0])
            .set(moert_exchange::pcp_size, sizes[1])
            .set(moert_exchange::dp_size, sizes[2])
            .set(moert_exchange::num_communicators, communicators.size())
            .set(moert_exchange::communicators,
                 runtime.address(b, loc, namesSymbol))
            .set(moert_exchange::num_collectives, collectives.size())
            .set(moert_exchange::collectives,
                 runtime.address(b, loc, collectivesSymbol))
            .set(moert_exchange::hash, static_cast<int64_t>(hash));
      });
  return success();
}
