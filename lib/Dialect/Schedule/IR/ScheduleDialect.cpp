//===- ScheduleDialect.cpp - The schedule dialect's attributes and types --===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moe-mlir/Dialect/Schedule/IR/Schedule.h"

#include "mlir/Analysis/FlatLinearValueConstraints.h"
#include "mlir/IR/DialectImplementation.h"
#include "mlir/Interfaces/FunctionInterfaces.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using namespace moe::schedule;

#include "moe-mlir/Dialect/Schedule/IR/ScheduleDialect.cpp.inc"
#include "moe-mlir/Dialect/Schedule/IR/ScheduleEnums.cpp.inc"
#include "moe-mlir/Dialect/Schedule/IR/ScheduleInterfaces.cpp.inc"

#define GET_ATTRDEF_CLASSES
#include "moe-mlir/Dialect/Schedule/IR/ScheduleAttributes.cpp.inc"

#define GET_TYPEDEF_CLASSES
#include "moe-mlir/Dialect/Schedule/IR/ScheduleTypes.cpp.inc"

namespace {
/// Modules say what their grid is once, at their top.
struct GridAliases : public OpAsmDialectInterface {
  using OpAsmDialectInterface::OpAsmDialectInterface;

  AliasResult getAlias(Attribute attr, llvm::raw_ostream &os) const override {
    if (!isa<GridAttr>(attr))
      return AliasResult::NoAlias;
    os << "ranks";
    return AliasResult::FinalAlias;
  }
};
} // namespace

void ScheduleDialect::initialize() {
  addInterfaces<GridAliases>();
  addAttributes<
#define GET_ATTRDEF_LIST
#include "moe-mlir/Dialect/Schedule/IR/ScheduleAttributes.cpp.inc"
      >();
  addTypes<
#define GET_TYPEDEF_LIST
#include "moe-mlir/Dialect/Schedule/IR/ScheduleTypes.cpp.inc"
      >();
  addOperations<
#define GET_OP_LIST
#include "moe-mlir/Dialect/Schedule/IR/ScheduleOps.cpp.inc"
      >();
}

std::optional<int64_t> moe::schedule::getElementBytes(Type type) {
  if (isa<IndexType>(type))
    return 8;
  if (type.isIntOrFloat())
    return llvm::PowerOf2Ceil(
        llvm::divideCeil(type.getIntOrFloatBitWidth(), 8));
  if (auto complex = dyn_cast<ComplexType>(type)) {
    std::optional<int64_t> part = getElementBytes(complex.getElementType());
    return part ? std::optional(2 * *part) : std::nullopt;
  }
  if (auto vector = dyn_cast<VectorType>(type)) {
    std::optional<int64_t> lane = getElementBytes(vector.getElementType());
    if (lane && !vector.isScalable())
      return llvm::PowerOf2Ceil(*lane * vector.getNumElements());
  }
  return std::nullopt;
}

//===----------------------------------------------------------------------===//
// Attributes on functions, arguments and branches
//===----------------------------------------------------------------------===//

LogicalResult
ScheduleDialect::verifyOperationAttribute(Operation *op,
                                          NamedAttribute attribute) {
  StringRef name = attribute.getName();
  if (name == kGridAttrName &&
      !(isa<FunctionOpInterface>(op) && isa<GridAttr>(attribute.getValue())))
    return op->emitError() << "expected '" << name
                           << "' to be a '#schedule.grid' on a function but "
                              "got "
                           << attribute.getValue();
  if (name == kMaxNumTokensAttrName) {
    auto most = dyn_cast<IntegerAttr>(attribute.getValue());
    if (!isa<FunctionOpInterface>(op) || !most || most.getInt() < 1)
      return op->emitError()
             << "expected '" << name << "' of at least 1 on a function but got "
             << attribute.getValue();
  }
  if (name == kDescriptorAttrName && !isa<StringAttr>(attribute.getValue()))
    return op->emitError() << "expected '" << name
                           << "' to be a string but got "
                           << attribute.getValue();
  if (name == "schedule.uniform" && !isa<UnitAttr>(attribute.getValue()))
    return op->emitError() << "expected '" << name
                           << "' to be a unit attribute but got "
                           << attribute.getValue();
  if (name != "schedule.workspace_size")
    return success();
  auto size = dyn_cast<AffineMapAttr>(attribute.getValue());
  if (!isa<FunctionOpInterface>(op) || !size ||
      !SlotAttr::getCoefficients(size.getValue()))
    return op->emitError() << "expected '" << name
                           << "' to be a linear map from (tokens, total "
                              "tokens) to bytes on a function but got "
                           << attribute.getValue();
  return success();
}

/// An attribute of an argument says something of each of its dimensions.
static LogicalResult
verifyPerDimension(Operation *op, unsigned argIndex, size_t count,
                   StringRef what, function_ref<InFlightDiagnostic()> emit) {
  // Once lowered, arguments have no shape to compare with.
  auto function = dyn_cast<FunctionOpInterface>(op);
  auto shaped =
      function ? dyn_cast<ShapedType>(function.getArgumentTypes()[argIndex])
               : ShapedType();
  if (shaped && shaped.hasRank() && shaped.getRank() != int64_t(count))
    return emit() << shaped.getRank() << " " << what << " but got " << count;
  return success();
}

LogicalResult
ScheduleDialect::verifyRegionArgAttribute(Operation *op, unsigned regionIndex,
                                          unsigned argIndex,
                                          NamedAttribute attribute) {
  StringRef name = attribute.getName();
  auto emit = [&]() -> InFlightDiagnostic {
    return op->emitError() << "expected '" << name << "' of argument #"
                           << argIndex << " to be ";
  };
  if (name == "schedule.inout" || name == "schedule.workspace" ||
      name == "schedule.tokens" || name == "schedule.uniform") {
    if (!isa<UnitAttr>(attribute.getValue()))
      return emit() << "a unit attribute but got " << attribute.getValue();
    return success();
  }
  if (name == "schedule.axes") {
    auto axes = dyn_cast<ArrayAttr>(attribute.getValue());
    if (!axes || !llvm::all_of(axes, llvm::IsaPred<StringAttr>))
      return emit() << "an array of names but got " << attribute.getValue();
    return verifyPerDimension(op, argIndex, axes.size(), "names", emit);
  }
  if (name != "schedule.max_shape")
    return success();
  auto bounds = dyn_cast<DenseI64ArrayAttr>(attribute.getValue());
  if (!bounds)
    return emit() << "an array of i64 but got " << attribute.getValue();
  return verifyPerDimension(op, argIndex, bounds.size(), "bounds", emit);
}

//===----------------------------------------------------------------------===//
// Ranks
//===----------------------------------------------------------------------===//

Attribute GridAttr::parse(AsmParser &parser, Type) {
  SmallVector<StringAttr> axes;
  SmallVector<int64_t> sizes;
  auto parseAxis = [&]() -> ParseResult {
    std::string name;
    if (parser.parseKeywordOrString(&name) || parser.parseEqual() ||
        parser.parseInteger(sizes.emplace_back()))
      return failure();
    axes.push_back(StringAttr::get(parser.getContext(), name));
    return success();
  };
  SMLoc loc = parser.getCurrentLocation();
  if (parser.parseCommaSeparatedList(AsmParser::Delimiter::LessGreater,
                                     parseAxis))
    return {};
  return parser.getChecked<GridAttr>(loc, parser.getContext(), axes, sizes);
}

void GridAttr::print(AsmPrinter &printer) const {
  printer << '<';
  llvm::interleaveComma(llvm::zip_equal(getAxes(), getSizes()), printer,
                        [&](auto axis) {
                          printer.printKeywordOrString(std::get<0>(axis));
                          printer << " = " << std::get<1>(axis);
                        });
  printer << '>';
}

LogicalResult GridAttr::verify(function_ref<InFlightDiagnostic()> emitError,
                               ArrayRef<StringAttr> axes,
                               ArrayRef<int64_t> sizes) {
  // #schedule.grid C1
  if (axes.empty() || axes.size() != sizes.size())
    return emitError() << "expected a size for each of at least 1 axis but got "
                       << axes.size() << " axes and " << sizes.size()
                       << " sizes";
  for (auto [index, axis] : llvm::enumerate(axes))
    if (axis.empty() || llvm::is_contained(axes.take_front(index), axis))
      return emitError() << "expected axes with names of their own but got "
                         << axis << (axis.empty() ? "" : " twice");
  // #schedule.grid C2
  constexpr int64_t mostRanks = std::numeric_limits<int32_t>::max();
  int64_t ranks = 1;
  for (auto [axis, size] : llvm::zip_equal(axes, sizes)) {
    if (size < 1)
      return emitError() << "expected at least 1 rank along axis " << axis
                         << " but got " << size;
    if (size > mostRanks / ranks)
      return emitError() << "expected at most " << mostRanks
                         << " ranks but got more";
    ranks *= size;
  }
  return success();
}

int64_t GridAttr::getNumRanks() const {
  int64_t ranks = 1;
  for (int64_t size : getSizes())
    ranks *= size;
  return ranks;
}

std::string GridAttr::getText() const {
  std::string text;
  llvm::raw_string_ostream os(text);
  llvm::interleaveComma(
      llvm::zip_equal(getAxes(), getSizes()), os, [&](auto axis) {
        os << std::get<0>(axis).getValue() << " = " << std::get<1>(axis);
      });
  return text;
}

ParseResult moe::schedule::parseCommunicator(AsmParser &parser,
                                             CommunicatorAttr &communicator) {
  GridAttr grid;
  SmallVector<StringAttr> axes;
  SMLoc loc = parser.getCurrentLocation();
  auto parseAxis = [&]() -> ParseResult {
    std::string name;
    if (parser.parseKeywordOrString(&name))
      return failure();
    axes.push_back(StringAttr::get(parser.getContext(), name));
    return success();
  };
  if (parser.parseCustomAttributeWithFallback(grid) ||
      parser.parseCommaSeparatedList(AsmParser::Delimiter::Square, parseAxis))
    return failure();
  communicator =
      parser.getChecked<CommunicatorAttr>(loc, parser.getContext(), grid, axes);
  return success(static_cast<bool>(communicator));
}

ParseResult
moe::schedule::parseCommunicator(AsmParser &parser,
                                 FailureOr<CommunicatorAttr> &communicator) {
  CommunicatorAttr parsed;
  if (parseCommunicator(parser, parsed))
    return failure();
  communicator = parsed;
  return success();
}

void moe::schedule::printCommunicator(AsmPrinter &printer,
                                      CommunicatorAttr communicator) {
  printer.printStrippedAttrOrType(communicator.getGrid());
  printer << '[';
  llvm::interleaveComma(communicator.getAxes(), printer, [&](StringAttr axis) {
    printer.printKeywordOrString(axis);
  });
  printer << ']';
}

void moe::schedule::printCommunicator(OpAsmPrinter &printer, Operation *,
                                      CommunicatorAttr communicator) {
  printCommunicator(printer, communicator);
}

Attribute CommunicatorAttr::parse(AsmParser &parser, Type) {
  CommunicatorAttr communicator;
  if (parser.parseLess() || parseCommunicator(parser, communicator) ||
      parser.parseGreater())
    return {};
  return communicator;
}

void CommunicatorAttr::print(AsmPrinter &printer) const {
  printer << '<';
  printCommunicator(printer, *this);
  printer << '>';
}

LogicalResult
CommunicatorAttr::verify(function_ref<InFlightDiagnostic()> emitError,
                         GridAttr grid, ArrayRef<StringAttr> axes) {
  // #schedule.communicator C1
  if (axes.empty())
    return emitError() << "expected at least 1 axis of the grid but got none";
  ArrayRef<StringAttr> left = axes;
  // Whether an axis that is left out comes between two that are not.
  bool began = false, wasLeftOut = false;
  for (auto [axis, size] : llvm::zip_equal(grid.getAxes(), grid.getSizes())) {
    bool isIn = !left.empty() && left.front() == axis;
    if (isIn)
      left = left.drop_front();
    if (size == 1)
      continue;
    // #schedule.communicator C2
    if (isIn && wasLeftOut)
      return emitError() << "expected axes that lie side by side but '"
                         << axis.getValue() << "' is behind one of " << grid
                         << " that is left out";
    began |= isIn;
    wasLeftOut |= began && !isIn;
  }
  if (!left.empty())
    return emitError() << "expected axes of " << grid
                       << ", in its order, but got '" << left.front().getValue()
                       << "'";
  return success();
}

CommunicatorAttr CommunicatorAttr::getOver(GridAttr grid,
                                           ArrayRef<StringRef> axes) {
  SmallVector<StringAttr> several;
  StringAttr last;
  for (auto [axis, size] : llvm::zip_equal(grid.getAxes(), grid.getSizes())) {
    if (!llvm::is_contained(axes, axis.getValue()))
      continue;
    last = axis;
    if (size > 1)
      several.push_back(axis);
  }
  if (several.empty())
    several.push_back(last);
  return get(grid.getContext(), grid, several);
}

int64_t CommunicatorAttr::getNumRanks() const {
  int64_t ranks = 1;
  for (auto [axis, size] :
       llvm::zip_equal(getGrid().getAxes(), getGrid().getSizes()))
    if (llvm::is_contained(getAxes(), axis))
      ranks *= size;
  return ranks;
}

int64_t CommunicatorAttr::getStride() const {
  int64_t stride = 1;
  for (auto [axis, size] : llvm::reverse(
           llvm::zip_equal(getGrid().getAxes(), getGrid().getSizes()))) {
    if (size > 1 && llvm::is_contained(getAxes(), axis))
      return stride;
    stride *= size;
  }
  return 1;
}

SmallVector<int64_t> CommunicatorAttr::getGroup(int64_t rank) const {
  int64_t stride = getStride(), size = getNumRanks();
  int64_t first = rank - rank / stride % size * stride;
  SmallVector<int64_t> ranks;
  for (int64_t member = 0; member < size; ++member)
    ranks.push_back(first + member * stride);
  return ranks;
}

bool CommunicatorAttr::hasAxis(StringRef name) const {
  return llvm::any_of(getAxes(), [&](StringAttr axis) { return axis == name; });
}

std::string CommunicatorAttr::getName() const {
  std::string name;
  llvm::raw_string_ostream os(name);
  llvm::interleave(
      getAxes(), os, [&](StringAttr axis) { os << axis.getValue(); }, " x ");
  return name;
}

GridAttr moe::schedule::getGrid(Operation *op) {
  auto function = dyn_cast<FunctionOpInterface>(op);
  if (!function)
    function = op->getParentOfType<FunctionOpInterface>();
  return function ? function->getAttrOfType<GridAttr>(kGridAttrName)
                  : GridAttr();
}

LogicalResult PartAttr::verify(function_ref<InFlightDiagnostic()> emitError,
                               int64_t index, int64_t count) {
  // #schedule.part C1
  if (index >= 0 && index < count)
    return success();
  return emitError() << "expected a part from 0 to below " << count
                     << " but got " << index;
}

//===----------------------------------------------------------------------===//
// Streams
//===----------------------------------------------------------------------===//

LogicalResult StreamAttr::verify(function_ref<InFlightDiagnostic()> emitError,
                                 StreamKind kind,
                                 CommunicatorAttr communicator) {
  if ((kind == StreamKind::comm) != static_cast<bool>(communicator))
    return emitError() << "expected a communicator with 'comm' and only "
                          "there, but got '"
                       << stringifyStreamKind(kind) << "' "
                       << (communicator ? "with" : "without") << " one";
  return success();
}

std::string StreamAttr::getDisplayName() const {
  std::string name = stringifyStreamKind(getKind()).str();
  if (CommunicatorAttr communicator = getCommunicator())
    name += " " + communicator.getName();
  return name;
}

//===----------------------------------------------------------------------===//
// Workspace slots
//===----------------------------------------------------------------------===//

std::optional<SlotAttr::Bytes> SlotAttr::getCoefficients(AffineMap map) {
  if (map.getNumDims() != 2 || map.getNumSymbols() != 0 ||
      map.getNumResults() != 1)
    return std::nullopt;
  SmallVector<int64_t> flat;
  if (failed(getFlattenedAffineExpr(map.getResult(0), 2, 0, &flat)) ||
      flat.size() != 3)
    return std::nullopt;
  return SlotAttr::Bytes{flat[2], flat[0], flat[1]};
}

LogicalResult SlotAttr::verify(function_ref<InFlightDiagnostic()> emitError,
                               StringAttr name, AffineMap offset,
                               AffineMap size) {
  for (auto [what, map] : {std::pair<StringRef, AffineMap>("offset", offset),
                           std::pair<StringRef, AffineMap>("size", size)}) {
    std::optional<Bytes> bytes = getCoefficients(map);
    if (!bytes)
      return emitError() << "expected the " << what << " of slot " << name
                         << " to be linear in (tokens, total tokens) but got "
                         << AffineMapAttr::get(map);
    for (int64_t coefficient : *bytes)
      if (coefficient < 0 || coefficient % 256 != 0)
        return emitError() << "expected coefficients of the " << what
                           << " of slot " << name
                           << " that are multiples of 256 and not negative "
                              "but got "
                           << coefficient;
  }
  return success();
}

SlotAttr::Bytes SlotAttr::getOffsetBytes() const {
  return *getCoefficients(getOffset());
}

SlotAttr::Bytes SlotAttr::getSizeBytes() const {
  return *getCoefficients(getSize());
}

bool SlotAttr::isDisjointFrom(SlotAttr other) const {
  auto endsBefore = [](SlotAttr first, SlotAttr second) {
    Bytes offset = first.getOffsetBytes(), size = first.getSizeBytes(),
          start = second.getOffsetBytes();
    for (int i = 0; i < 3; ++i)
      if (offset[i] + size[i] > start[i])
        return false;
    return true;
  };
  return endsBefore(*this, other) || endsBefore(other, *this);
}

//===----------------------------------------------------------------------===//
// GPU launches
//===----------------------------------------------------------------------===//

LogicalResult
TensorMapAttr::verify(function_ref<InFlightDiagnostic()> emitError,
                      int64_t operand, ArrayRef<int64_t> box, int64_t swizzle) {
  if (!llvm::is_contained({0, 32, 64, 128}, swizzle))
    return emitError()
           << "expected a swizzle of 0, 32, 64 or 128 bytes but got "
           << swizzle;
  // The limits of cuTensorMapEncodeTiled.
  if (box.empty() || box.size() > 5)
    return emitError() << "expected a box of 1 to 5 dimensions but got "
                       << box.size();
  for (int64_t extent : box)
    if (extent < 1 || extent > 256)
      return emitError() << "expected extents of a box from 1 to 256 but got "
                         << extent;
  return success();
}

LogicalResult
GPULaunchAttr::verify(function_ref<InFlightDiagnostic()> emitError,
                      int64_t threads, int64_t sharedBytes, int64_t cluster,
                      bool earlyStart, ArrayRef<Attribute> parameters) {
  if (threads < 1 || threads > 1024)
    return emitError() << "expected 1 to 1024 threads but got " << threads;
  if (sharedBytes < 0)
    return emitError() << "expected no less than 0 bytes of shared memory but "
                          "got "
                       << sharedBytes;
  if (cluster < 1 || cluster > 8)
    return emitError() << "expected 1 to 8 blocks per cluster but got "
                       << cluster;
  for (Attribute parameter : parameters)
    if (!isa<PointerAttr, SizeAttr, ScalarAttr, TensorMapAttr>(parameter))
      return emitError() << "expected parameters that are '#schedule.pointer', "
                            "'#schedule.size', '#schedule.scalar' or "
                            "'#schedule.tensor_map' but got "
                         << parameter;
  return success();
}
