//===- ScheduleOps.cpp - The schedule dialect's ops -----------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moe-mlir/Dialect/Schedule/IR/DestinationStyle.h"
#include "moe-mlir/Dialect/Schedule/IR/Schedule.h"

#include "mlir/IR/DialectImplementation.h"
#include "mlir/IR/Matchers.h"
#include "mlir/Interfaces/FunctionInterfaces.h"
#include "llvm/ADT/StringSet.h"

using namespace mlir;
using namespace moe::schedule;

/// `compute`, `aux`, or `comm #ranks[dp, tp]`.
static ParseResult parseStream(OpAsmParser &parser, StreamAttr &stream) {
  StringRef keyword;
  SMLoc loc = parser.getCurrentLocation();
  if (parser.parseKeyword(&keyword))
    return failure();
  std::optional<StreamKind> kind = symbolizeStreamKind(keyword);
  if (!kind)
    return parser.emitError(loc)
           << "expected stream 'compute', 'aux' or 'comm' but got '" << keyword
           << "'";
  CommunicatorAttr communicator;
  if (*kind == StreamKind::comm && parseCommunicator(parser, communicator))
    return failure();
  stream = StreamAttr::get(parser.getContext(), *kind, communicator);
  return success();
}

static void printStream(OpAsmPrinter &printer, Operation *, StreamAttr stream) {
  printer << stringifyStreamKind(stream.getKind());
  if (CommunicatorAttr communicator = stream.getCommunicator()) {
    printer << ' ';
    printCommunicator(printer, communicator);
  }
}

#define GET_OP_CLASSES
#include "moe-mlir/Dialect/Schedule/IR/ScheduleOps.cpp.inc"

//===----------------------------------------------------------------------===//
// schedule.mark
//===----------------------------------------------------------------------===//

void MarkOp::getAsmResultNames(OpAsmSetValueNameFn setName) {
  setName(getEvent(), "fork");
}

//===----------------------------------------------------------------------===//
// schedule.run
//===----------------------------------------------------------------------===//

/// Events print with the name of the work that they follow.
void RunOp::getAsmResultNames(OpAsmSetValueNameFn setName) {
  if (!getDone())
    return;
  std::string name = getLabel().value_or("work").str();
  for (char &c : name)
    if (!llvm::isAlnum(c))
      c = '_';
  setName(getDone(), name + "_done");
}

LogicalResult RunOp::verify() {
  WalkResult result = getBody().walk([&](Operation *op) {
    // schedule.run C1
    if (isa<RunOp, MarkOp>(op)) {
      emitOpError("expected a body without nested issue but got '")
          << op->getName() << "'";
      return WalkResult::interrupt();
    }
    // schedule.run C2
    auto effects = dyn_cast<MemoryEffectOpInterface>(op);
    if (effects && (effects.hasEffect<MemoryEffects::Allocate>() ||
                    effects.hasEffect<MemoryEffects::Free>())) {
      emitOpError("expected a body that allocates and frees nothing but got '")
          << op->getName() << "'";
      return WalkResult::interrupt();
    }
    return WalkResult::advance();
  });
  if (result.wasInterrupted())
    return failure();
  // schedule.run C3
  for (Value event : getAfter()) {
    Operation *source = event.getDefiningOp();
    StreamAttr stream;
    if (auto run = dyn_cast_or_null<RunOp>(source))
      stream = run.getStream();
    else if (auto mark = dyn_cast_or_null<MarkOp>(source))
      stream = mark.getStream();
    if (stream == getStream())
      return emitOpError("expected events of other streams but waits for one "
                         "of its own stream '")
             << stream.getDisplayName() << "'";
  }
  return success();
}

//===----------------------------------------------------------------------===//
// schedule.launch
//===----------------------------------------------------------------------===//

void LaunchOp::getEffects(
    SmallVectorImpl<SideEffects::EffectInstance<MemoryEffects::Effect>>
        &effects) {
  effects.emplace_back(MemoryEffects::Write::get(), StreamResource::get());
  for (OpOperand &operand : getReadsMutable())
    effects.emplace_back(MemoryEffects::Read::get(), &operand);
  for (OpOperand &operand : getWritesMutable())
    effects.emplace_back(MemoryEffects::Write::get(), &operand, /*stage=*/0,
                         /*effectOnFullRegion=*/true);
}

LogicalResult LaunchOp::verify() {
  // schedule.launch C1
  if (!(*this)->getParentOfType<RunOp>())
    return emitOpError("expected to lie in a 'schedule.run'");
  // schedule.launch C3
  if (!getGpu())
    return success();
  SmallVector<Type> buffers = llvm::to_vector(getReads().getTypes());
  llvm::append_range(buffers, getWrites().getTypes());
  int64_t numScalars = getScalars().size();
  for (Attribute parameter : getGpu()->getParameters()) {
    if (auto scalar = dyn_cast<ScalarAttr>(parameter)) {
      if (scalar.getOperand() < 0 || scalar.getOperand() >= numScalars)
        return emitOpError("expected parameters of ")
               << numScalars << " scalars but got " << parameter;
      continue;
    }
    int64_t operand = -1;
    if (auto pointer = dyn_cast<PointerAttr>(parameter))
      operand = pointer.getOperand();
    else if (auto size = dyn_cast<SizeAttr>(parameter))
      operand = size.getOperand();
    else if (auto map = dyn_cast<TensorMapAttr>(parameter))
      operand = map.getOperand();
    if (operand < 0 || operand >= static_cast<int64_t>(buffers.size()))
      return emitOpError("expected parameters of ")
             << buffers.size() << " buffers but got " << parameter;
    int64_t rank = cast<MemRefType>(buffers[operand]).getRank();
    if (auto size = dyn_cast<SizeAttr>(parameter);
        size && (size.getDim() < 0 || size.getDim() >= rank))
      return emitOpError("expected a dimension of ")
             << buffers[operand] << " but got " << parameter;
    if (auto map = dyn_cast<TensorMapAttr>(parameter);
        map && static_cast<int64_t>(map.getBox().size()) != rank)
      return emitOpError("expected a box of ")
             << rank << " dimensions for " << buffers[operand] << " but got "
             << parameter;
  }
  return success();
}

LogicalResult LaunchOp::verifySymbolUses(SymbolTableCollection &symbols) {
  // schedule.launch C2
  auto kernel = symbols.lookupNearestSymbolFrom<FunctionOpInterface>(
      *this, getKernelAttr());
  if (!kernel) {
    // In a `gpu.binary` kernels have no symbols any more.
    SymbolRefAttr name = getKernelAttr();
    Operation *root =
        symbols.lookupNearestSymbolFrom(*this, name.getRootReference());
    if (root && !root->hasTrait<OpTrait::SymbolTable>() &&
        !name.getNestedReferences().empty())
      return success();
    return emitOpError("expected a kernel named ") << name;
  }
  SmallVector<Type> expected = {IndexType::get(getContext())};
  llvm::append_range(expected, getReads().getTypes());
  llvm::append_range(expected, getWrites().getTypes());
  llvm::append_range(expected, getScalars().getTypes());
  // Once a kernel is lowered to LLVM its signature is the target's business;
  // GPU kernels are from the start.
  ArrayRef<Type> found = kernel.getArgumentTypes();
  if (found.empty() || !isa<IndexType>(found.front()))
    return success();
  if (found != ArrayRef<Type>(expected)) {
    InFlightDiagnostic diag = emitOpError("expected kernel ")
                              << getKernelAttr() << " of arguments ("
                              << expected << ") but got (" << found << ")";
    diag.attachNote(kernel.getLoc()) << "kernel defined here";
    return diag;
  }
  return success();
}

//===----------------------------------------------------------------------===//
// schedule.collective
//===----------------------------------------------------------------------===//

void CollectiveOp::getEffects(
    SmallVectorImpl<SideEffects::EffectInstance<MemoryEffects::Effect>>
        &effects) {
  effects.emplace_back(MemoryEffects::Write::get(),
                       CommunicatorResource::get());
  if (!hasPureBufferSemantics())
    return;
  effects.emplace_back(MemoryEffects::Write::get(), StreamResource::get());
  for (OpOperand &operand : getSendsMutable())
    effects.emplace_back(MemoryEffects::Read::get(), &operand);
  for (OpOperand &operand : getCountsMutable())
    effects.emplace_back(MemoryEffects::Read::get(), &operand);
  // By counts only the rows that come are written.
  for (OpOperand &operand : getReceivesMutable())
    effects.emplace_back(MemoryEffects::Write::get(), &operand, /*stage=*/0,
                         /*effectOnFullRegion=*/getCounts().empty());
}

bool CollectiveOp::bufferizesToMemoryRead(
    OpOperand &operand, const bufferization::AnalysisState &) {
  return !isDpsInit(&operand);
}

bool CollectiveOp::bufferizesToMemoryWrite(
    OpOperand &operand, const bufferization::AnalysisState &) {
  return isDpsInit(&operand);
}

bufferization::AliasingValueList
CollectiveOp::getAliasingValues(OpOperand &operand,
                                const bufferization::AnalysisState &) {
  return getAliasesOfInit(*this, operand);
}

LogicalResult
CollectiveOp::bufferize(RewriterBase &rewriter,
                        const bufferization::BufferizationOptions &options,
                        bufferization::BufferizationState &state) {
  return bufferizeDestinationStyle(*this, rewriter, options, state);
}

/// Results print with the name of what they are.
void CollectiveOp::getAsmResultNames(OpAsmSetValueNameFn setName) {
  static constexpr StringRef names[] = {"gathered", "scattered", "reduced",
                                        "received"};
  for (Value result : getResults())
    setName(result, names[static_cast<size_t>(getKind())]);
}

std::string CollectiveOp::getCommunicatorName() {
  return getCommunicator().getName();
}

std::string CollectiveOp::getCollectiveName() {
  std::string name = stringifyCollectiveKind(getKind()).str();
  llvm::raw_string_ostream os(name);
  os << " of";
  for (Type type : getSends().getTypes()) {
    auto shaped = cast<ShapedType>(type);
    os << ' ';
    for (int64_t size : shaped.getShape().drop_front())
      os << size << 'x';
    os << shaped.getElementType();
  }
  if (getRowsPerToken() != 1)
    os << ", " << getRowsPerToken() << " rows per token";
  if (getBlocks())
    os << " in blocks of " << getBlocksAttr()
       << (getBlocksBySource() ? " by source" : "");
  if (!getCounts().empty())
    os << " by counts";
  if (std::optional<PartAttr> part = getPart())
    os << " of part " << part->getIndex() << " of " << part->getCount();
  return name;
}

/// True if the rows of a buffer lie one behind the other, wherever it begins:
/// some rows of another buffer do.
static bool hasContiguousRows(MemRefType type) {
  if (type.getLayout().isIdentity())
    return true;
  SmallVector<int64_t> strides;
  int64_t offset, expected = 1;
  if (failed(type.getStridesAndOffset(strides, offset)))
    return false;
  for (int64_t dim = type.getRank() - 1; dim >= 0; --dim) {
    if (strides[dim] != expected)
      return false;
    if (dim > 0 && type.isDynamicDim(dim))
      return false;
    expected *= type.getDimSize(dim);
  }
  return true;
}

static LogicalResult verifyPair(CollectiveOp op, Type send, Type receive) {
  // schedule.collective C3
  for (Type type : {send, receive}) {
    auto shaped = dyn_cast<ShapedType>(type);
    auto memref = dyn_cast<MemRefType>(type);
    bool hasRows = shaped && shaped.hasRank() && shaped.getRank() > 0;
    if (!hasRows || (memref && !hasContiguousRows(memref)))
      return op.emitOpError("expected contiguous buffers of rows but got ")
             << type;
  }
  auto from = cast<ShapedType>(send), to = cast<ShapedType>(receive);
  Type element = from.getElementType();
  bool sums = op.getKind() == CollectiveKind::reduce_scatter ||
              op.getKind() == CollectiveKind::all_reduce;
  if (sums && !isa<Float32Type, BFloat16Type, Float16Type>(element))
    return op.emitOpError("expected sums of f32, bf16 or f16 but got ") << send;
  // schedule.collective C2
  if (element != to.getElementType() ||
      from.getShape().drop_front() != to.getShape().drop_front())
    return op.emitOpError("expected pairs of buffers that differ in their rows "
                          "alone but got ")
           << send << " and " << receive;
  int64_t rows = from.getDimSize(0), received = to.getDimSize(0);
  if (op.getKind() == CollectiveKind::all_reduce && rows != received &&
      !ShapedType::isDynamic(rows) && !ShapedType::isDynamic(received))
    return op.emitOpError("expected as many rows of a sum as are sent, ")
           << rows << ", but got " << received;
  return success();
}

LogicalResult CollectiveOp::verify() {
  // schedule.collective C1
  if (!hasPureTensorSemantics() && !hasPureBufferSemantics())
    return emitOpError("expected tensors or buffers but got both");
  // schedule.collective C4
  GridAttr grid = getGrid(*this);
  if (grid && getCommunicator().getGrid() != grid)
    return emitOpError("expected a communicator of the function's grid ")
           << grid << " but got one of " << getCommunicator().getGrid();
  int64_t ranks = getNumRanks();
  // schedule.collective C2
  constexpr size_t maxBuffers = 4;
  if (getSends().empty() || getSends().size() > maxBuffers ||
      getSends().size() != getReceives().size())
    return emitOpError("expected 1 to ")
           << maxBuffers << " pairs of buffers but got " << getSends().size()
           << " to send and " << getReceives().size() << " to receive";
  for (auto [send, receive] :
       llvm::zip_equal(getSends().getTypes(), getReceives().getTypes()))
    if (failed(verifyPair(*this, send, receive)))
      return failure();
  // schedule.collective C5
  bool hasCounts = !getCounts().empty();
  if ((hasCounts || getBlocks()) && getKind() != CollectiveKind::all_to_all)
    return emitOpError("expected blocks and counts with 'all_to_all' only");
  if (hasCounts && getBlocks())
    return emitOpError("expected blocks or counts but got both");
  if (getBlocks() && static_cast<int64_t>(getBlocks()->size()) != ranks)
    return emitOpError("expected ")
           << ranks << " blocks but got " << getBlocks()->size();
  if (getBlocksBySource() && !getBlocks())
    return emitOpError("expected 'blocks_by_source' with blocks only");
  if (hasCounts && getCounts().size() != 2)
    return emitOpError("expected counts to send and to receive but got ")
           << getCounts().size() << " buffers";
  for (Type type : getCounts().getTypes())
    if (cast<ShapedType>(type).getDimSize(0) != ranks)
      return emitOpError("expected counts of ")
             << ranks << " ranks but got " << type;
  // schedule.collective C6
  if (getRowsPerToken() < 1)
    return emitOpError("expected at least 1 row per token but got ")
           << getRowsPerToken();
  return success();
}

//===----------------------------------------------------------------------===//
// schedule.call_value and schedule.rows
//===----------------------------------------------------------------------===//

LogicalResult CallValueOp::verify() {
  // schedule.call_value C1
  if (getName().empty())
    return emitOpError("expected a name but got \"\"");
  return success();
}

Value RowsOp::getViewSource() { return getSource(); }

LogicalResult RowsOp::verify() {
  // schedule.rows C1
  auto from = dyn_cast<MemRefType>(getSource().getType());
  auto to = dyn_cast<MemRefType>(getResult().getType());
  for (MemRefType type : {from, to})
    if (!type || !type.getLayout().isIdentity() || type.getRank() == 0 ||
        !ShapedType::isStaticShape(type.getShape().drop_front()))
      return emitOpError("expected row-major buffers whose rows have a static "
                         "size but got ")
             << getSource().getType() << " and " << getResult().getType();
  if (from.getElementType() != to.getElementType() ||
      from.getShape().drop_front() != to.getShape().drop_front() ||
      from.getMemorySpace() != to.getMemorySpace())
    return emitOpError("expected buffers that differ in their rows alone but "
                       "got ")
           << from << " and " << to;
  // schedule.rows C2
  if (to.isDynamicDim(0) != static_cast<bool>(getSize()))
    return emitOpError("expected a size exactly where the number of rows is "
                       "dynamic but got ")
           << (getSize() ? "one for " : "none for ") << to;
  return success();
}

//===----------------------------------------------------------------------===//
// schedule.workspace and schedule.slice
//===----------------------------------------------------------------------===//

SlotAttr WorkspaceOp::getSlot(StringRef name) {
  for (auto slot : getSlots().getAsRange<SlotAttr>())
    if (slot.getName() == name)
      return slot;
  return {};
}

LogicalResult WorkspaceOp::verify() {
  // schedule.workspace C1
  llvm::StringSet<> names;
  for (auto slot : getSlots().getAsRange<SlotAttr>())
    if (!names.insert(slot.getName()).second)
      return emitOpError("expected unique slot names but got ")
             << slot.getName() << " twice";
  // schedule.workspace C2
  auto type = cast<MemRefType>(getBytes().getType());
  if (!type.isDynamicDim(0) || !type.getLayout().isIdentity())
    return emitOpError("expected bytes of type 'memref<?xi8>' but got ")
           << type;
  return success();
}

SlotAttr SliceOp::getSlotAttrValue() {
  auto workspace = getWorkspace().getDefiningOp<WorkspaceOp>();
  return workspace ? workspace.getSlot(getSlot()) : SlotAttr();
}

namespace {
/// The bytes of a slice: `factor`, times one count of tokens if `axis` says so.
struct NeededBytes {
  int64_t factor;
  int axis = 0; ///< As in SlotAttr::Bytes.
  bool isLinear = true;
};
} // namespace

/// What the slice needs, if its sizes are the workspace's tokens and constants.
static std::optional<NeededBytes> getNeededBytes(SliceOp slice,
                                                 WorkspaceOp workspace) {
  auto type = cast<MemRefType>(slice.getBuffer().getType());
  std::optional<int64_t> element = getElementBytes(type.getElementType());
  if (!element)
    return std::nullopt;
  NeededBytes needed{*element};
  auto size = slice.getSizes().begin();
  for (int64_t extent : type.getShape()) {
    llvm::APInt constant;
    int axis = 0;
    if (ShapedType::isDynamic(extent)) {
      Value value = *size++;
      if (value == workspace.getTokens())
        axis = 1;
      else if (value == workspace.getTotalTokens())
        axis = 2;
      else if (!matchPattern(value, m_ConstantInt(&constant)))
        return std::nullopt;
      extent = axis ? 1 : constant.getSExtValue();
    }
    if (axis) {
      needed.isLinear &= needed.axis == 0;
      needed.axis = axis;
    }
    needed.factor *= extent;
  }
  return needed;
}

LogicalResult SliceOp::verify() {
  // schedule.slice C1
  auto workspace = getWorkspace().getDefiningOp<WorkspaceOp>();
  if (!workspace)
    return emitOpError("expected the workspace of a 'schedule.workspace'");
  SlotAttr slot = workspace.getSlot(getSlot());
  if (!slot) {
    InFlightDiagnostic diag =
        emitOpError("expected a slot of the workspace but got ")
        << getSlotAttr();
    diag.attachNote(workspace.getLoc()) << "slots are listed here";
    return diag;
  }
  // schedule.slice C2
  auto type = cast<MemRefType>(getBuffer().getType());
  if (getSizes().size() != static_cast<size_t>(type.getNumDynamicDims()))
    return emitOpError("expected ") << type.getNumDynamicDims()
                                    << " sizes but got " << getSizes().size();
  // schedule.slice C4
  if (!type.getLayout().isIdentity())
    return emitOpError("expected a contiguous buffer but got ") << type;
  // schedule.slice C3
  std::optional<NeededBytes> needed = getNeededBytes(*this, workspace);
  if (!needed ||
      (needed->isLinear && needed->factor <= slot.getSizeBytes()[needed->axis]))
    return success();
  InFlightDiagnostic diag = emitOpError("expected a buffer that fits slot ")
                            << slot.getName() << " of "
                            << AffineMapAttr::get(slot.getSize())
                            << " bytes whatever the tokens but got ";
  static constexpr StringRef units[] = {" bytes", " bytes per token",
                                        " bytes per token of all ranks"};
  if (needed->isLinear)
    diag << needed->factor << units[needed->axis];
  else
    diag << "a size that is not linear in them";
  diag.attachNote(workspace.getLoc()) << "slots are listed here";
  return diag;
}
