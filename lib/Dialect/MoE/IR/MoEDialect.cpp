//===- MoEDialect.cpp - The moe dialect's attributes ----------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moe-mlir/Dialect/MoE/IR/MoE.h"

#include "mlir/IR/DialectImplementation.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using namespace moe;

#include "moe-mlir/Dialect/MoE/IR/MoEDialect.cpp.inc"
#include "moe-mlir/Dialect/MoE/IR/MoEEnums.cpp.inc"
#include "moe-mlir/Dialect/MoE/IR/MoEInterfaces.cpp.inc"

/// Attributes read enumerations of layers by their names.
template <typename Enum>
struct mlir::FieldParser<
    Enum, std::enable_if_t<(std::size(LayerEnum<Enum>::cases) > 0), Enum>> {
  static FailureOr<Enum> parse(AsmParser &parser) {
    SMLoc loc = parser.getCurrentLocation();
    std::string keyword;
    if (parser.parseKeywordOrString(&keyword))
      return failure();
    if (std::optional<Enum> value = parseName<Enum>(keyword))
      return *value;
    auto error = parser.emitError(loc, "expected one of ");
    llvm::interleaveComma(LayerEnum<Enum>::cases, error,
                          [&](const auto &known) { error << known.name; });
    return error << " but got '" << keyword << "'";
  }
};

#define GET_ATTRDEF_CLASSES
#include "moe-mlir/Dialect/MoE/IR/MoEAttributes.cpp.inc"

void MoEDialect::initialize() {
  addAttributes<
#define GET_ATTRDEF_LIST
#include "moe-mlir/Dialect/MoE/IR/MoEAttributes.cpp.inc"
      >();
  addOperations<
#define GET_OP_LIST
#include "moe-mlir/Dialect/MoE/IR/MoEOps.cpp.inc"
      >();
}

LogicalResult RoutingAttr::verify(function_ref<InFlightDiagnostic()> emitError,
                                  int64_t topK, ScoreFunction, WeightFunction,
                                  int64_t nGroup, int64_t topkGroup, GroupScore,
                                  bool, FloatAttr epsilon, FloatAttr minimum,
                                  FloatAttr, bool weightOnInput,
                                  int64_t zeroExperts) {
  // #moe.routing C1
  if (topK < 1)
    return emitError() << "expected top_k of at least 1 but got " << topK;
  if (nGroup < 1)
    return emitError() << "expected n_group of at least 1 but got " << nGroup;
  if (topkGroup < 1 || topkGroup > nGroup)
    return emitError() << "expected topk_group between 1 and n_group = "
                       << nGroup << " but got " << topkGroup;
  // #moe.routing C2
  if (weightOnInput && topK != 1)
    return emitError() << "expected top_k = 1 with weight_on_input but got "
                       << topK;
  // #moe.routing C3
  if (epsilon.getValueAsDouble() < 0 || minimum.getValueAsDouble() < 0)
    return emitError() << "expected renormalize_epsilon and "
                          "renormalize_minimum that are not negative";
  if (zeroExperts < 0)
    return emitError() << "expected zero_experts of at least 0 but got "
                       << zeroExperts;
  return success();
}

LogicalResult
ActivationAttr::verify(function_ref<InFlightDiagnostic()> emitError,
                       ActivationKind, FloatAttr limit, FloatAttr alpha) {
  // #moe.activation C1
  if (!limit.getValue().isFinite() || limit.getValueAsDouble() <= 0)
    return emitError() << "expected a finite limit above 0 but got "
                       << limit.getValueAsDouble();
  if (!alpha.getValue().isFinite())
    return emitError() << "expected a finite alpha but got "
                       << alpha.getValueAsDouble();
  return success();
}

LogicalResult QuantAttr::verify(function_ref<InFlightDiagnostic()> emitError,
                                QuantScheme, int64_t rows, int64_t columns) {
  // #moe.quant C1
  if (rows < 1 || columns < 1)
    return emitError() << "expected block_rows and block_columns of at least 1 "
                          "but got "
                       << rows << " and " << columns;
  return success();
}

LogicalResult ParallelAttr::verify(function_ref<InFlightDiagnostic()> emitError,
                                   int64_t tensor, int64_t data,
                                   int64_t prefillContext, int64_t rank, bool,
                                   StringAttr, bool, int64_t redundantExperts,
                                   StringAttr placement, StringAttr sequence,
                                   bool, bool, bool, int64_t decodeThreshold,
                                   int64_t prefillThreshold) {
  // #moe.parallel C1
  constexpr int64_t maxSize = int64_t(1) << 20;
  const std::pair<const char *, int64_t> sizes[] = {
      {"tensor", tensor}, {"data", data}, {"prefill_context", prefillContext}};
  for (auto [name, size] : sizes)
    if (size < 1 || size > maxSize)
      return emitError() << "expected " << name << " between 1 and " << maxSize
                         << " but got " << size;
  int64_t ranks = tensor * data * prefillContext;
  if (rank < 0 || rank >= ranks)
    return emitError() << "expected a rank between 0 and " << ranks - 1
                       << " but got " << rank;
  // #moe.parallel C2
  if (redundantExperts < 0)
    return emitError() << "expected redundant_experts of at least 0 but got "
                       << redundantExperts;
  // #moe.parallel C3
  if (!llvm::is_contained({"linear", "round_robin"}, placement.strref()))
    return emitError() << "expected expert_placement \"linear\" or "
                          "\"round_robin\" but got "
                       << placement;
  if (!llvm::is_contained({"auto", "on", "off"}, sequence.strref()))
    return emitError() << "expected sequence_parallel \"auto\", \"on\" or "
                          "\"off\" but got "
                       << sequence;
  // #moe.parallel C4
  if (decodeThreshold < 0 || prefillThreshold < 0)
    return emitError() << "expected dbo_decode_threshold and "
                          "dbo_prefill_threshold of at least 0 but got "
                       << decodeThreshold << " and " << prefillThreshold;
  return success();
}

LogicalResult ExchangeAttr::verify(function_ref<InFlightDiagnostic()> emitError,
                                   Transport transport,
                                   schedule::CommunicatorAttr,
                                   int64_t rowsPerToken) {
  // #moe.exchange C1
  if (transport == Transport::none)
    return emitError() << "expected a transport but got none; an op without "
                          "an exchange has no such attribute";
  // #moe.exchange C2
  if (rowsPerToken < 1)
    return emitError() << "expected at least 1 row per token but got "
                       << rowsPerToken;
  return success();
}

LogicalResult
PlacementAttr::verify(function_ref<InFlightDiagnostic()> emitError,
                      int64_t experts, int64_t ranks, PlacementKind kind) {
  // #moe.placement C1
  if (experts < 1 || ranks < 1)
    return emitError() << "expected at least 1 expert and 1 rank but got "
                       << experts << " and " << ranks;
  return success();
}

LogicalResult GemmTileAttr::verify(function_ref<InFlightDiagnostic()> emitError,
                                   int64_t rows, int64_t rowStep,
                                   int64_t weights, int64_t stages,
                                   int64_t consumers, bool swapped,
                                   int64_t residentBlocks, int64_t cluster) {
  // #moe.gemm_tile C1
  const std::tuple<const char *, int64_t, int64_t> least[] = {
      {"rows", rows, 1},
      {"weights", weights, 1},
      {"stages", stages, 2},
      {"consumers", consumers, 1},
      {"resident_blocks", residentBlocks, 1},
      {"cluster", cluster, 1}};
  for (auto [name, value, bound] : least)
    if (value < bound)
      return emitError() << "expected " << name << " of at least " << bound
                         << " but got " << value;
  // #moe.gemm_tile C2
  if (rowStep < 0 || (rowStep > 0 && rows % rowStep != 0))
    return emitError() << "expected row_step that divides rows = " << rows
                       << " but got " << rowStep;
  if (!swapped && rowStep > 0 && rowStep != rows)
    return emitError() << "expected row_step = rows = " << rows
                       << " of a tile that is not swapped but got " << rowStep;
  return success();
}

//===----------------------------------------------------------------------===//
// Discardable attributes (the table of MoEDialect.td)
//===----------------------------------------------------------------------===//

static LogicalResult verifyPart(Operation *op, Attribute value) {
  if (isa<PhaseOpInterface>(op) && isa<schedule::PartAttr>(value))
    return success();
  return op->emitError() << "expected '" << kPartAttrName
                         << "' to be a '#schedule.part' on a phase but got "
                         << value;
}

static LogicalResult verifyGemmTiles(Operation *op, Attribute value) {
  auto tiles = dyn_cast<DictionaryAttr>(value);
  if (!tiles)
    return op->emitError() << "expected '" << kGemmTilesAttrName
                           << "' as a dictionary but got " << value;
  for (NamedAttribute tile : tiles) {
    if (!llvm::is_contained(kGemmProducts, tile.getName().strref()))
      return op->emitError()
             << "expected '" << kGemmTilesAttrName << "' of experts.up, "
             << "experts.down, shared.up or shared.down but got "
             << tile.getName().strref();
    if (!isa<GemmTileAttr>(tile.getValue()))
      return op->emitError()
             << "expected '" << kGemmTilesAttrName << "' with a #moe.gemm_tile "
             << "for " << tile.getName().strref() << " but got "
             << tile.getValue();
  }
  return success();
}

static LogicalResult verifyParallel(Operation *op, Attribute value) {
  if (isa<ParallelAttr>(value))
    return success();
  return op->emitError()
         << "expected 'moe.parallel' to be a #moe.parallel but got " << value;
}

/// `name` of `op` is to be an array of dictionaries, of which `check` says
/// what is wrong, or "".
static LogicalResult
verifyDictionaries(Operation *op, StringRef name, Attribute value,
                   function_ref<std::string(DictionaryAttr)> check) {
  auto array = dyn_cast<ArrayAttr>(value);
  if (!array)
    return op->emitError() << "expected '" << name
                           << "' to be an array but got " << value;
  for (Attribute entry : array) {
    auto dictionary = dyn_cast<DictionaryAttr>(entry);
    std::string problem =
        dictionary ? check(dictionary) : "is to be a dictionary";
    if (!problem.empty())
      return op->emitError()
             << "expected '" << name << "' as --moe-"
             << (name == "moe.layers" ? "expand-layer" : "schedule")
             << " writes it, but in " << entry << " " << problem;
  }
  return success();
}

static LogicalResult verifyLayers(Operation *op, Attribute value) {
  return verifyDictionaries(
      op, "moe.layers", value, [](DictionaryAttr layer) -> std::string {
        for (NamedAttribute field : layer) {
          StringRef key = field.getName();
          bool known = key == "name"    ? isa<StringAttr>(field.getValue())
                       : key == "gated" ? isa<BoolAttr>(field.getValue())
                                        : isa<IntegerAttr>(field.getValue());
          if (!known)
            return "'" + key.str() + "' has another type";
        }
        return "";
      });
}

/// Says what an order of `moe.decisions` lacks, or "".
static std::string checkOutcome(DictionaryAttr decision, StringRef key) {
  auto outcome = decision.getAs<DictionaryAttr>(key);
  if (!outcome)
    return "'" + key.str() + "' is missing";
  for (StringRef field : {"order", "rule", "reason", "suggestion"})
    if (!outcome.getAs<StringAttr>(field))
      return "'" + key.str() + "' lacks '" + field.str() + "'";
  return "";
}

static LogicalResult verifyDecisions(Operation *op, Attribute value) {
  return verifyDictionaries(
      op, "moe.decisions", value, [](DictionaryAttr decision) -> std::string {
        if (!decision.getAs<StringAttr>("rule_set"))
          return "'rule_set' is missing";
        if (!decision.get("threshold"))
          return checkOutcome(decision, "always");
        std::string problem = checkOutcome(decision, "at_or_below_threshold");
        return problem.empty() ? checkOutcome(decision, "above_threshold")
                               : problem;
      });
}

LogicalResult MoEDialect::verifyOperationAttribute(Operation *op,
                                                   NamedAttribute attribute) {
  using Verify = LogicalResult (*)(Operation *, Attribute);
  constexpr std::pair<StringLiteral, Verify> known[] = {
      {kPartAttrName, verifyPart},
      {kGemmTilesAttrName, verifyGemmTiles},
      {"moe.parallel", verifyParallel},
      {"moe.layers", verifyLayers},
      {"moe.decisions", verifyDecisions}};
  for (auto [name, verify] : known)
    if (attribute.getName() == name)
      return verify(op, attribute.getValue());
  return success();
}

schedule::PartAttr moe::getPart(Operation *op) {
  if (auto collective = dyn_cast<schedule::CollectiveOp>(op))
    return collective.getPartAttr();
  return op->getAttrOfType<schedule::PartAttr>(kPartAttrName);
}

int64_t moe::getMaxTokens(schedule::PartAttr part, int64_t maxTokens) {
  return part ? llvm::divideCeil(maxTokens, part.getCount()) : maxTokens;
}
