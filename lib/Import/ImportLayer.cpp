//===- ImportLayer.cpp - Layer descriptions to and from moe.layer ---------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moe-mlir/Import/ImportLayer.h"

#include "moe-mlir/Policy/ExpertPlacement.h"
#include "moe-mlir/Transforms/Parallel.h"

#include "llvm/ADT/StringMap.h"

using namespace mlir;
using namespace moe;

//===----------------------------------------------------------------------===//
// Enumerations of the description and of the dialect, which have one spelling
//===----------------------------------------------------------------------===//

static ScoreFunction toAttr(RoutingSpec::Score score) {
  return *symbolizeScoreFunction(name(score));
}
static WeightFunction toAttr(RoutingSpec::Weight weight) {
  return *symbolizeWeightFunction(name(weight));
}
static GroupScore toAttr(RoutingSpec::GroupScore score) {
  return *symbolizeGroupScore(name(score));
}
static ActivationKind toAttr(ActivationSpec::Kind kind) {
  return *symbolizeActivationKind(name(kind));
}

/// The value of a description's enumeration that is spelled `text`.
template <typename Enum>
static Enum fromName(StringRef text, std::initializer_list<Enum> values) {
  for (Enum value : values)
    if (text == name(value))
      return value;
  llvm_unreachable("the dialect and the description share their spellings");
}

static Type toType(MLIRContext *context, DType dtype) {
  Builder b(context);
  switch (dtype) {
  case DType::F32:
    return b.getF32Type();
  case DType::BF16:
    return b.getBF16Type();
  case DType::F16:
    return b.getF16Type();
  case DType::I32:
    return b.getI32Type();
  }
  llvm_unreachable("unknown dtype");
}

//===----------------------------------------------------------------------===//
// Description to IR
//===----------------------------------------------------------------------===//

policy::LayerTraits moe::getLayerTraits(const LayerSpec &spec,
                                        bool sequenceParallelFamily) {
  policy::LayerTraits traits;
  traits.numExperts = spec.numExperts;
  traits.intermediateSize = spec.intermediateSize;
  traits.sharedIntermediateSize = spec.shared.intermediateSize;
  traits.numExpertGroups = spec.routing.nGroup;
  traits.hasSharedExperts = spec.shared.intermediateSize > 0;
  traits.optsIntoSequenceParallel = sequenceParallelFamily;
  return traits;
}

/// The shapes of one rank's tensors: widths are sharded over the
/// tensor-parallel ranks, experts over the expert-parallel ones.
static SmallVector<int64_t>
getLocalShape(const TensorSpec &tensor, const LayerSpec &spec,
              const policy::ParallelProperties &properties) {
  SmallVector<int64_t> shape(tensor.shape.begin(), tensor.shape.end());
  for (int64_t &size : shape)
    if (size < 0)
      size = ShapedType::kDynamic;
  StringRef name = tensor.name;
  bool first = name == "w13" || name == "w1" || name == "b13" || name == "b1";
  if (first || name == "w2" || name == "b2") {
    bool equal = properties.numPhysicalExperts % properties.ep.size == 0;
    shape[0] = equal ? properties.numLocalExperts : ShapedType::kDynamic;
    // The output of w2 is whole; b2 is added once, by its rank of tp.
    if (first)
      shape[1] /= properties.tp.size;
    else if (name == "w2")
      shape[2] /= properties.tp.size;
  }
  bool replicated =
      properties.isSequenceParallel && !properties.sharedExpertsSharded;
  int64_t sharedRanks = replicated ? 1 : properties.outerTp.size;
  if (name == "shared_w13" || name == "shared_w1")
    shape[0] /= sharedRanks;
  else if (name == "shared_w2")
    shape[1] /= sharedRanks;
  return shape;
}

static RoutingAttr getRouting(MLIRContext *context, const LayerSpec &spec) {
  const RoutingSpec &routing = spec.routing;
  Builder b(context);
  return RoutingAttr::get(
      context, spec.topK, toAttr(routing.score), toAttr(routing.weight),
      routing.nGroup, routing.topkGroup, toAttr(routing.groupScore),
      routing.renormalize, b.getF64FloatAttr(routing.renormalizeEpsilon),
      b.getF64FloatAttr(routing.renormalizeMinimum),
      b.getF64FloatAttr(routing.scale), routing.weightOnInput,
      routing.zeroExperts);
}

static ActivationAttr getActivation(MLIRContext *context,
                                    const ActivationSpec &activation) {
  if (activation.kind != ActivationSpec::Kind::SwiGLUOAI)
    return ActivationAttr::get(context, toAttr(activation.kind));
  Builder b(context);
  return ActivationAttr::get(context, toAttr(activation.kind),
                             b.getF64FloatAttr(activation.limit),
                             b.getF64FloatAttr(activation.alpha));
}

FailureOr<func::FuncOp>
moe::buildLayerFunction(ModuleOp module, const LayerSpec &spec,
                        const policy::ParallelConfig &config,
                        bool sequenceParallelFamily, bool recordsExpertLoad) {
  MLIRContext *context = module.getContext();
  Location loc = UnknownLoc::get(context);
  policy::DerivedParallelism derived =
      policy::derive(config, getLayerTraits(spec, sequenceParallelFamily));
  for (const std::string &warning : derived.warnings)
    emitWarning(loc) << warning;
  if (!derived.ok()) {
    for (const std::string &error : derived.errors)
      emitError(loc) << error;
    return failure();
  }
  const policy::ParallelProperties &properties = derived.properties;

  SmallVector<Type> types;
  SmallVector<std::string> names;
  for (const TensorSpec &tensor : layerInputs(spec)) {
    types.push_back(
        RankedTensorType::get(getLocalShape(tensor, spec, properties),
                              toType(context, tensor.dtype)));
    names.push_back(tensor.name);
  }
  if (config.enableEplb) {
    Type i32 = IntegerType::get(context, 32);
    types.push_back(RankedTensorType::get(
        {spec.numExperts, config.numRedundantExperts + 1}, i32));
    names.push_back("logical_to_physical");
    types.push_back(RankedTensorType::get({spec.numExperts}, i32));
    names.push_back("replica_count");
  }

  OpBuilder b = OpBuilder::atBlockEnd(module.getBody());
  TensorSpec output = layerOutput(spec);
  SmallVector<Type> results = {types.front()};
  if (recordsExpertLoad)
    results.push_back(
        RankedTensorType::get({properties.numPhysicalExperts}, b.getI32Type()));
  auto function = func::FuncOp::create(b, loc, spec.name,
                                       b.getFunctionType(types, results));
  auto nameAttr = b.getStringAttr("moe.name");
  for (auto [index, name] : llvm::enumerate(names))
    function.setArgAttr(index, nameAttr, b.getStringAttr(name));
  function.setArgAttr(0, "schedule.tokens", b.getUnitAttr());
  // Where ranks own different numbers of experts, none owns more than the
  // first.
  int64_t mostExperts = policy::getNumLocalExperts(
      properties.numPhysicalExperts, properties.ep.size, 0);
  for (auto [index, type] : llvm::enumerate(types)) {
    auto shape = cast<RankedTensorType>(type).getShape();
    StringRef name = names[index];
    if (!ShapedType::isDynamic(shape[0]) ||
        !(shape.size() == 3 || name == "b13" || name == "b1" || name == "b2"))
      continue;
    SmallVector<int64_t> bounds(shape.size(), -1);
    bounds[0] = mostExperts;
    function.setArgAttr(index, "schedule.max_shape",
                        b.getDenseI64ArrayAttr(bounds));
  }
  function.setResultAttr(0, nameAttr, b.getStringAttr(output.name));
  if (recordsExpertLoad)
    function.setResultAttr(1, nameAttr, b.getStringAttr("expert_load"));

  Block *body = function.addEntryBlock();
  b.setInsertionPointToStart(body);
  llvm::StringMap<Value> inputs;
  for (auto [name, argument] : llvm::zip_equal(names, body->getArguments())) {
    inputs[name] = argument;
    // Printed IR calls it by its name.
    argument.setLoc(NameLoc::get(b.getStringAttr(name), loc));
  }
  auto input = [&](StringRef name) { return inputs.lookup(name); };
  // Layers without a gate name their first weights w1 and so on.
  bool gated = spec.activation.isGated();
  ParallelAttr parallel =
      moe::getParallelAttr(context, config, sequenceParallelFamily);
  function->setAttr("moe.parallel", parallel);
  auto layer = LayerOp::create(
      b, loc, results, input("hidden_states"), input("router_weight"),
      input("router_bias"), input("correction_bias"), input("topk_ids"),
      input("topk_weights"), input(gated ? "w13" : "w1"), input("w2"),
      input(gated ? "b13" : "b1"), input("b2"), /*w13_scale=*/Value(),
      /*w2_scale=*/Value(), input(gated ? "shared_w13" : "shared_w1"),
      input("shared_w2"), input("shared_gate"), input("latent_in"),
      input("latent_out"), input("logical_to_physical"), input("replica_count"),
      getRouting(context, spec), getActivation(context, spec.activation),
      QuantAttr(), ParallelAttr(),
      spec.routing.source == RoutingSpec::Source::Given
          ? b.getI64IntegerAttr(spec.numRouted())
          : IntegerAttr(),
      b.getStringAttr(spec.name));
  func::ReturnOp::create(b, loc, layer.getResults());
  return function;
}

//===----------------------------------------------------------------------===//
// IR to description
//===----------------------------------------------------------------------===//

void moe::nameLayerArguments(LayerOp layer) {
  auto function = layer->getParentOfType<func::FuncOp>();
  bool gated = layer.getActivation().isGated();
  const std::pair<Value, StringRef> operands[] = {
      {layer.getHiddenStates(), "hidden_states"},
      {layer.getRouterWeight(), "router_weight"},
      {layer.getRouterBias(), "router_bias"},
      {layer.getCorrectionBias(), "correction_bias"},
      {layer.getTopkIds(), "topk_ids"},
      {layer.getTopkWeights(), "topk_weights"},
      {layer.getW13(), gated ? "w13" : "w1"},
      {layer.getW2(), "w2"},
      {layer.getB13(), gated ? "b13" : "b1"},
      {layer.getB2(), "b2"},
      {layer.getSharedW13(), gated ? "shared_w13" : "shared_w1"},
      {layer.getSharedW2(), "shared_w2"},
      {layer.getSharedGate(), "shared_gate"},
      {layer.getLatentIn(), "latent_in"},
      {layer.getLatentOut(), "latent_out"},
      {layer.getLogicalToPhysical(), "logical_to_physical"},
      {layer.getReplicaCount(), "replica_count"}};
  auto key = StringAttr::get(layer.getContext(), "moe.name");
  auto makeName = [&](StringRef name) {
    return StringAttr::get(layer.getContext(), name);
  };
  for (auto [value, name] : operands)
    if (auto argument = dyn_cast_or_null<BlockArgument>(value))
      if (!function.getArgAttr(argument.getArgNumber(), key))
        function.setArgAttr(argument.getArgNumber(), key, makeName(name));
  Operation *end = function.getFunctionBody().front().getTerminator();
  for (OpOperand &operand : end->getOpOperands())
    if (operand.get().getDefiningOp() == layer &&
        !function.getResultAttr(operand.getOperandNumber(), key))
      function.setResultAttr(operand.getOperandNumber(), key,
                             makeName(operand.get() == layer.getResult()
                                          ? "output"
                                          : "expert_load"));
}

FailureOr<LayerSpec> moe::getLayerSpec(LayerOp layer) {
  if (layer.getQuantAttr())
    return layer.emitOpError("has quantized weights, which have no reference");
  LayerSpec spec;
  if (auto name = layer.getLayerName())
    spec.name = name->str();
  else if (auto function = layer->getParentOfType<func::FuncOp>())
    spec.name = function.getName().str();
  Type dtype = layer.getHiddenStates().getType().getElementType();
  spec.dtype = dtype.isF32()    ? DType::F32
               : dtype.isBF16() ? DType::BF16
                                : DType::F16;
  RoutingAttr routing = layer.getRouting();
  spec.hiddenSize = layer.getHiddenSize();
  spec.intermediateSize = layer.getIntermediateSize();
  spec.numExperts = layer.getNumRouterOutputs() - routing.getZeroExperts();
  spec.topK = routing.getTopK();
  if (ShapedType::isDynamic(spec.numExperts))
    return layer.emitOpError("expected a known number of experts");
  if (layer.getLatentIn())
    spec.latentSize = layer.getExpertInputSize();
  spec.hasExpertBias = layer.getB13() != nullptr;

  RoutingSpec &r = spec.routing;
  using R = RoutingSpec;
  r.source = layer.getTopkIds() ? R::Source::Given : R::Source::Router;
  r.score = fromName(stringifyScoreFunction(routing.getScore()),
                     {R::Score::Softmax, R::Score::Sigmoid,
                      R::Score::SqrtSoftplus, R::Score::Logits});
  r.weight = fromName(stringifyWeightFunction(routing.getWeight()),
                      {R::Weight::Score, R::Weight::SoftmaxOfChosen,
                       R::Weight::SigmoidOfChosen});
  r.groupScore = fromName(stringifyGroupScore(routing.getGroupScore()),
                          {R::GroupScore::Max, R::GroupScore::Top2Sum});
  r.hasRouterBias = layer.getRouterBias() != nullptr;
  r.hasCorrectionBias = layer.getCorrectionBias() != nullptr;
  r.nGroup = routing.getNGroup();
  r.topkGroup = routing.getTopkGroup();
  r.renormalize = routing.getRenormalize();
  r.renormalizeEpsilon = routing.getRenormalizeEpsilon().getValueAsDouble();
  r.renormalizeMinimum = routing.getRenormalizeMinimum().getValueAsDouble();
  r.scale = routing.getScale().getValueAsDouble();
  r.weightOnInput = routing.getWeightOnInput();
  r.zeroExperts = routing.getZeroExperts();

  using A = ActivationSpec;
  ActivationAttr activation = layer.getActivation();
  spec.activation.kind =
      fromName(stringifyActivationKind(activation.getKind()),
               {A::Kind::SwiGLU, A::Kind::GeGLU, A::Kind::GeGLUTanh,
                A::Kind::SwiGLUOAI, A::Kind::ReLU2});
  if (spec.activation.kind == A::Kind::SwiGLUOAI) {
    spec.activation.limit = activation.getLimit().getValueAsDouble();
    spec.activation.alpha = activation.getAlpha().getValueAsDouble();
  }
  spec.shared.intermediateSize = layer.getSharedIntermediateSize();
  if (layer.getSharedGate())
    spec.shared.gate = SharedSpec::Gate::Sigmoid;
  if (Status status = validate(spec); !status)
    return layer.emitOpError(status.error());
  return spec;
}
