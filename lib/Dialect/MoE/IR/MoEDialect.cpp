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

/// Sizes whose product cannot overflow, and a rank of them.
static LogicalResult checkGrid(function_ref<InFlightDiagnostic()> emitError,
                               int64_t tensor, int64_t data,
                               int64_t prefillContext, int64_t rank) {
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
  return success();
}

/// That none of some numbers is negative.
static LogicalResult
checkCounts(function_ref<InFlightDiagnostic()> emitError,
            ArrayRef<std::pair<const char *, int64_t>> counts) {
  for (auto [name, count] : counts)
    if (count < 0)
      return emitError() << "expected " << name << " of at least 0 but got "
                         << count;
  return success();
}

LogicalResult ParallelAttr::verify(
    function_ref<InFlightDiagnostic()> emitError, int64_t tensor, int64_t data,
    int64_t prefillContext, int64_t rank, bool, All2AllBackend, bool,
    int64_t redundantExperts, PlacementKind, SequenceParallel, bool, bool, bool,
    int64_t decodeThreshold, int64_t prefillThreshold) {
  // #moe.parallel C1
  if (failed(checkGrid(emitError, tensor, data, prefillContext, rank)))
    return failure();
  // #moe.parallel C2, C3
  return checkCounts(emitError, {{"redundant_experts", redundantExperts},
                                 {"dbo_decode_threshold", decodeThreshold},
                                 {"dbo_prefill_threshold", prefillThreshold}});
}

ParallelAttr ParallelAttr::get(MLIRContext *context,
                               const ParallelConfig &config,
                               bool sequenceParallelFamily) {
  return get(context, config.tensorParallelSize, config.dataParallelSize,
             config.prefillContextParallelSize, config.rank,
             config.enableExpertParallel, config.all2allBackend,
             config.enableEplb, config.numRedundantExperts,
             config.expertPlacementStrategy, config.sequenceParallel,
             sequenceParallelFamily, config.shardSharedExperts,
             config.enableDbo, config.dboDecodeTokenThreshold,
             config.dboPrefillTokenThreshold);
}

ParallelConfig ParallelAttr::getConfig() const {
  ParallelConfig config;
  config.tensorParallelSize = getTensor();
  config.dataParallelSize = getData();
  config.prefillContextParallelSize = getPrefillContext();
  config.rank = getRank();
  config.enableExpertParallel = getExpertParallel();
  config.all2allBackend = getAll2allBackend();
  config.enableEplb = getEplb();
  config.numRedundantExperts = getRedundantExperts();
  config.expertPlacementStrategy = getExpertPlacement();
  config.sequenceParallel = getSequenceParallel();
  config.shardSharedExperts = getShardSharedExperts();
  config.enableDbo = getDbo();
  config.dboDecodeTokenThreshold = getDboDecodeThreshold();
  config.dboPrefillTokenThreshold = getDboPrefillThreshold();
  return config;
}

LogicalResult ParallelPlanAttr::verify(
    function_ref<InFlightDiagnostic()> emitError, int64_t tensor, int64_t data,
    int64_t prefillContext, int64_t rank, bool expertParallel, All2AllBackend,
    Transport transport, bool sequenceParallel, bool sharedExperts,
    bool sharedExpertsSharded, int64_t experts, int64_t redundantExperts,
    PlacementKind, bool, bool, int64_t decodeThreshold,
    int64_t prefillThreshold) {
  // #moe.parallel_plan C1
  if (failed(checkGrid(emitError, tensor, data, prefillContext, rank)))
    return failure();
  // #moe.parallel_plan C2
  if (expertParallel && tensor * data * prefillContext == 1)
    return emitError() << "expected more than 1 rank with expert_parallel";
  // #moe.parallel_plan C3
  if ((transport == Transport::none) != (data == 1) ||
      (data > 1 && !expertParallel && transport != Transport::all_gather))
    return emitError() << "expected transport '"
                       << (data == 1 ? "none" : "all_gather")
                       << "' with data = " << data
                       << (expertParallel ? " and" : " without")
                       << " expert_parallel but got '" << moe::name(transport)
                       << "'";
  // #moe.parallel_plan C4
  if (sequenceParallel && (!expertParallel || tensor == 1 || data == 1))
    return emitError() << "expected expert_parallel, tensor > 1 and data > 1 "
                          "with sequence_parallel but got tensor = "
                       << tensor << " and data = " << data
                       << (expertParallel ? "" : ", and no expert_parallel");
  if (sharedExpertsSharded && (!sequenceParallel || !sharedExperts))
    return emitError() << "expected sequence_parallel and shared_experts with "
                          "shared_experts_sharded";
  // #moe.parallel_plan C5
  return checkCounts(emitError, {{"experts", experts},
                                 {"redundant_experts", redundantExperts},
                                 {"dbo_decode_threshold", decodeThreshold},
                                 {"dbo_prefill_threshold", prefillThreshold}});
}

ParallelPlanAttr ParallelPlanAttr::get(MLIRContext *context,
                                       const ParallelPlan &plan) {
  return get(context, plan.tensor, plan.data, plan.prefillContext, plan.rank,
             plan.useEp, plan.backend, plan.transport, plan.isSequenceParallel,
             plan.hasSharedExperts, plan.sharedExpertsSharded, plan.numExperts,
             plan.numRedundantExperts, plan.expertPlacement, plan.enableEplb,
             plan.enableDbo, plan.dboDecodeTokenThreshold,
             plan.dboPrefillTokenThreshold);
}

ParallelPlan ParallelPlanAttr::getPlan() const {
  ParallelPlan plan;
  plan.tensor = getTensor();
  plan.data = getData();
  plan.prefillContext = getPrefillContext();
  plan.rank = getRank();
  plan.useEp = getExpertParallel();
  plan.backend = getAll2allBackend();
  plan.transport = getTransport();
  plan.isSequenceParallel = getSequenceParallel();
  plan.hasSharedExperts = getSharedExperts();
  plan.sharedExpertsSharded = getSharedExpertsSharded();
  plan.numExperts = getExperts();
  plan.numRedundantExperts = getRedundantExperts();
  plan.expertPlacement = getPlacement();
  plan.enableEplb = getEplb();
  plan.enableDbo = getDbo();
  plan.dboDecodeTokenThreshold = getDboDecodeThreshold();
  plan.dboPrefillTokenThreshold = getDboPrefillThreshold();
  return plan;
}

LogicalResult
LayerInfoAttr::verify(function_ref<InFlightDiagnostic()> emitError, StringRef,
                      int64_t hidden, int64_t topK, int64_t intermediate,
                      int64_t sharedIntermediate, bool, ParallelPlanAttr,
                      ArrayAttr warnings) {
  // #moe.layer_info C1
  if (failed(checkCounts(emitError,
                         {{"hidden", hidden},
                          {"top_k", topK},
                          {"intermediate", intermediate},
                          {"shared_intermediate", sharedIntermediate}})))
    return failure();
  // #moe.layer_info C2
  if (warnings && !llvm::all_of(warnings, llvm::IsaPred<StringAttr>))
    return emitError() << "expected warnings to be strings but got "
                       << warnings;
  return success();
}

LogicalResult BatchesAttr::verify(function_ref<InFlightDiagnostic()> emitError,
                                  bool, int64_t decodeThreshold,
                                  int64_t prefillThreshold, StringRef,
                                  StringRef, StringRef) {
  // #moe.batches C1
  return checkCounts(emitError, {{"decode_threshold", decodeThreshold},
                                 {"prefill_threshold", prefillThreshold}});
}

LogicalResult DecisionAttr::verify(function_ref<InFlightDiagnostic()> emitError,
                                   StringRef, StringRef, int64_t threshold,
                                   OutcomeAttr, OutcomeAttr above,
                                   BatchesAttr) {
  // #moe.decision C1
  if (threshold < -1 || (threshold >= 0) != static_cast<bool>(above))
    return emitError() << "expected 'above' exactly with a threshold of at "
                          "least 0 but got "
                       << threshold << (above ? " with it" : " without it");
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
  return op->emitError() << "expected '" << kParallelAttrName
                         << "' to be a #moe.parallel but got " << value;
}

/// An array of attributes of one kind.
template <typename Entry>
static LogicalResult verifyArray(Operation *op, StringRef name,
                                 Attribute value) {
  auto array = dyn_cast<ArrayAttr>(value);
  if (array && llvm::all_of(array, llvm::IsaPred<Entry>))
    return success();
  return op->emitError() << "expected '" << name << "' to be an array of #moe."
                         << Entry::getMnemonic() << " but got " << value;
}

static LogicalResult verifyName(Operation *op, Attribute value) {
  if (isa<StringAttr>(value))
    return success();
  return op->emitError() << "expected '" << kNameAttrName
                         << "' to be a string but got " << value;
}

LogicalResult MoEDialect::verifyOperationAttribute(Operation *op,
                                                   NamedAttribute attribute) {
  StringRef name = attribute.getName();
  Attribute value = attribute.getValue();
  if (name == kPartAttrName)
    return verifyPart(op, value);
  if (name == kGemmTilesAttrName)
    return verifyGemmTiles(op, value);
  if (name == kParallelAttrName)
    return verifyParallel(op, value);
  if (name == kLayersAttrName)
    return verifyArray<LayerInfoAttr>(op, name, value);
  if (name == kDecisionsAttrName)
    return verifyArray<DecisionAttr>(op, name, value);
  return op->emitError() << "expected an attribute that the dialect has but "
                            "got '"
                         << name << "'";
}

LogicalResult MoEDialect::verifyRegionArgAttribute(Operation *op, unsigned,
                                                   unsigned,
                                                   NamedAttribute attribute) {
  if (attribute.getName() == kNameAttrName)
    return verifyName(op, attribute.getValue());
  return op->emitError() << "expected an attribute that the dialect has on "
                            "arguments but got '"
                         << attribute.getName().getValue() << "'";
}

schedule::PartAttr moe::getPart(Operation *op) {
  if (auto collective = dyn_cast<schedule::CollectiveOp>(op))
    return collective.getPartAttr();
  return op->getAttrOfType<schedule::PartAttr>(kPartAttrName);
}

int64_t moe::getMaxTokens(schedule::PartAttr part, int64_t maxTokens) {
  return part ? llvm::divideCeil(maxTokens, part.getCount()) : maxTokens;
}

ParallelAttr moe::getParallel(Operation *op) {
  for (Operation *at = op; at; at = at->getParentOp())
    if (auto parallel = at->getAttrOfType<ParallelAttr>(kParallelAttrName))
      return parallel;
  return ParallelAttr::get(op->getContext(), ParallelConfig());
}
