//===- CollectiveTable.cpp - A function's collectives ---------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "CollectiveTable.h"
#include "RuntimeStructs.h"

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
  if (failed(collect(function.getBody(), step)))
    return failure();
  if (collectives.empty())
    return success();
  schedule::GridAttr grid = schedule::getGrid(function);
  if (!grid)
    return function.emitOpError("expected '")
           << schedule::kGridAttrName
           << "' to say what ranks the communicators have";
  WalkResult found = function.walk([&](Operation *op) -> WalkResult {
    schedule::CommunicatorAttr communicator;
    if (auto run = dyn_cast<schedule::RunOp>(op))
      communicator = run.getStream().getCommunicator();
    else if (auto collective = dyn_cast<CollectiveOp>(op))
      communicator = collective.getCommunicator();
    if (!communicator)
      return WalkResult::advance();
    if (communicator.getGrid() != grid)
      return op->emitOpError("expected a communicator of the function's grid ")
             << grid << " but got one of " << communicator.getGrid();
    getNumber(communicator);
    return WalkResult::advance();
  });
  return failure(found.wasInterrupted());
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
  // The runtime gets the address of a buffer, and no offset.
  for (Type type : op->getOperandTypes())
    if (auto buffer = dyn_cast<MemRefType>(type);
        buffer && !buffer.getLayout().isIdentity())
      return op.emitOpError("expected row-major buffers without an offset, "
                            "such as those of 'schedule.rows', but got ")
             << buffer;
  if (step == collectives.size()) {
    collectives.push_back(op);
    return success();
  }
  CollectiveOp first = collectives[step];
  if (op.getCommunicator() == first.getCommunicator() &&
      op.getCollectiveName() == first.getCollectiveName())
    return success();
  InFlightDiagnostic diag =
      op.emitOpError("expected all paths to have one sequence of collectives, "
                     "with '")
      << first.getCollectiveName() << "' on '" << first.getCommunicatorName()
      << "' as number " << step << ", but got '" << op.getCollectiveName()
      << "' on '" << op.getCommunicatorName() << "'";
  diag.attachNote(first.getLoc()) << "the other path has it here";
  return diag;
}

int64_t CollectiveTable::getNumber(schedule::CommunicatorAttr communicator) {
  communicators.insert(communicator);
  return llvm::find(communicators, communicator) - communicators.begin();
}

//===----------------------------------------------------------------------===//
// Emitting
//===----------------------------------------------------------------------===//

/// What the ranks' programs must have in common, as text.
std::string CollectiveTable::describe(schedule::GridAttr grid) {
  std::string text = grid.getText();
  llvm::raw_string_ostream os(text);
  for (CollectiveOp op : collectives)
    os << '\n' << op.getCommunicatorName() << ' ' << op.getCollectiveName();
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
         (op.getBlocksBySource() ? MOERT_COLLECTIVE_BLOCKS_BY_SOURCE : 0);
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
  Location loc = function.getLoc();
  Builder types(function.getContext());
  Type i32 = types.getI32Type(), i64 = types.getI64Type();
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
          auto all = schedule::PartAttr::get(op.getContext(), 0, 1);
          schedule::PartAttr taken = op.getPart().value_or(all);
          StructValue<moert_collective> element(b, loc);
          element
              .set(moert_collective::kind, static_cast<int64_t>(op.getKind()))
              .set(moert_collective::communicator,
                   getNumber(op.getCommunicator()))
              .set(moert_collective::label,
                   runtime.getString(b, loc, op.getLabel().value_or("")))
              .set(moert_collective::num_buffers, op.getSends().size())
              .set(moert_collective::flags, getFlags(op))
              .set(moert_collective::dtypes,
                   runtime.address(b, loc, part("dtypes", step)))
              .set(moert_collective::columns,
                   runtime.address(b, loc, part("columns", step)))
              .set(moert_collective::rows_per_token, op.getRowsPerToken())
              .set(moert_collective::part, taken.getIndex())
              .set(moert_collective::num_parts, taken.getCount());
          if (op.getBlocks())
            element.set(moert_collective::blocks,
                        runtime.address(b, loc, part("blocks", step)));
          else
            element.setNull(moert_collective::blocks);
          elements.push_back(element.get());
        }
        return aggregate(b, loc, collectivesType, elements);
      });
  using abi::moert_communicator;
  auto communicatorsType = LLVM::LLVMArrayType::get(
      moert_communicator::getType(function.getContext()), communicators.size());
  std::string communicatorsSymbol = (symbol + "_communicators").str();
  runtime.emitConstant(
      loc, communicatorsSymbol, communicatorsType, LLVM::Linkage::Private,
      [&](OpBuilder &b) {
        SmallVector<Value> elements;
        for (schedule::CommunicatorAttr communicator : communicators)
          elements.push_back(
              StructValue<moert_communicator>(b, loc)
                  .set(moert_communicator::name,
                       runtime.getString(b, loc, communicator.getName()))
                  .set(moert_communicator::stride, communicator.getStride())
                  .set(moert_communicator::size, communicator.getNumRanks())
                  .get());
        return aggregate(b, loc, communicatorsType, elements);
      });

  schedule::GridAttr grid = schedule::getGrid(function);
  uint64_t hash = llvm::xxh3_64bits(describe(grid));
  using abi::moert_exchange;
  runtime.emitStruct<moert_exchange>(
      loc, symbol, LLVM::Linkage::Private,
      [&](OpBuilder &b, StructValue<moert_exchange> &exchange) {
        exchange
            .set(moert_exchange::grid,
                 runtime.getString(b, loc, grid.getText()))
            .set(moert_exchange::num_communicators, communicators.size())
            .set(moert_exchange::communicators,
                 runtime.address(b, loc, communicatorsSymbol))
            .set(moert_exchange::num_collectives, collectives.size())
            .set(moert_exchange::collectives,
                 runtime.address(b, loc, collectivesSymbol))
            .set(moert_exchange::hash, static_cast<int64_t>(hash));
      });
  return success();
}
