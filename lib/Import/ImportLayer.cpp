//===- ImportLayer.cpp - Layer descriptions to and from moe.layer ---------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moe-mlir/Import/ImportLayer.h"

#include "moe-mlir/Dialect/MoE/IR/LayerTensors.h"
#include "moe-mlir/Policy/ExpertPlacement.h"
#include "moe-mlir/Transforms/Parallel.h"

#include "llvm/ADT/DenseMap.h"

using namespace mlir;
using namespace moe;

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

std::optional<DType> moe::getDType(Type type) {
  for (DType dtype : {DType::F32, DType::BF16, DType::F16, DType::I32})
    if (type == toType(type.getContext(), dtype))
      return dtype;
  return std::nullopt;
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

/// What one rank of them has: widths are shared by the tensor-parallel ranks,
/// experts by the expert-parallel ones.
static RankShares getRankShares(const policy::ParallelProperties &properties) {
  RankShares shares;
  bool equal = properties.numPhysicalExperts % properties.ep.size == 0;
  shares.numExperts = equal ? properties.numLocalExperts : -1;
  shares.width.count = properties.tp.size;
  bool replicated =
      properties.isSequenceParallel && !properties.sharedExpertsSharded;
  shares.sharedWidth.count = replicated ? 1 : properties.outerTp.size;
  return shares;
}

static RoutingAttr getRouting(MLIRContext *context, const LayerSpec &spec) {
  const RoutingSpec &routing = spec.routing;
  Builder b(context);
  return RoutingAttr::get(context, spec.topK, routing.score, routing.weight,
                          routing.nGroup, routing.topkGroup, routing.groupScore,
                          routing.renormalize,
                          b.getF64FloatAttr(routing.renormalizeEpsilon),
                          b.getF64FloatAttr(routing.renormalizeMinimum),
                          b.getF64FloatAttr(routing.scale),
                          routing.weightOnInput, routing.zeroExperts);
}

static ActivationAttr getActivation(MLIRContext *context,
                                    const ActivationSpec &activation) {
  if (activation.kind != ActivationKind::swigluoai)
    return ActivationAttr::get(context, activation.kind);
  Builder b(context);
  return ActivationAttr::get(context, activation.kind,
                             b.getF64FloatAttr(activation.limit),
                             b.getF64FloatAttr(activation.alpha));
}

FailureOr<func::FuncOp> moe::buildLayerFunction(ModuleOp module,
                                                const LayerSpec &spec,
                                                const ParallelConfig &config,
                                                bool sequenceParallelFamily,
                                                bool recordsExpertLoad) {
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

  SignatureOptions options;
  options.hasEplb = config.enableEplb;
  options.redundantExperts = properties.numPhysicalExperts - spec.numExperts;
  options.recordsExpertLoad = recordsExpertLoad;
  const RankShares shares = getRankShares(properties);
  auto getType = [&](TensorId id) -> Type {
    std::vector<int64_t> shape = getLocalShape(id, spec, options, shares);
    std::replace(shape.begin(), shape.end(), int64_t(-1), ShapedType::kDynamic);
    return RankedTensorType::get(
        shape, toType(context, getTensorSpec(id, spec, options).dtype));
  };
  const std::vector<TensorId> inputs =
      getSignature(TensorRole::Input, spec, options);
  const std::vector<TensorId> outputs =
      getSignature(TensorRole::Output, spec, options);
  SmallVector<Type> types = llvm::map_to_vector(inputs, getType);
  SmallVector<Type> results = llvm::map_to_vector(outputs, getType);

  OpBuilder b = OpBuilder::atBlockEnd(module.getBody());
  auto function = func::FuncOp::create(b, loc, spec.name,
                                       b.getFunctionType(types, results));
  // Where ranks own different numbers of experts, none owns more than the
  // first.
  const int64_t mostExperts = policy::getNumLocalExperts(
      properties.numPhysicalExperts, properties.ep.size, 0);
  auto nameAttr = b.getStringAttr(kNameAttrName);
  auto getNameAttr = [&](TensorId id) {
    return b.getStringAttr(getName(id, spec.activation));
  };
  for (auto [index, id] : llvm::enumerate(inputs)) {
    function.setArgAttr(index, nameAttr, getNameAttr(id));
    const TensorInfo &info = getTensor(id);
    ArrayAttr axes =
        getAxesAttr(b, id, cast<RankedTensorType>(types[index]).getShape());
    if (!axes)
      continue;
    function.setArgAttr(index, "schedule.axes", axes);
    SmallVector<int64_t> bounds;
    for (size_t i = 0; i < info.rank; ++i)
      bounds.push_back(info.axes[i] == Axis::Expert ? mostExperts : -1);
    function.setArgAttr(index, "schedule.max_shape",
                        b.getDenseI64ArrayAttr(bounds));
  }
  function.setArgAttr(0, "schedule.tokens", b.getUnitAttr());
  for (auto [index, id] : llvm::enumerate(outputs))
    function.setResultAttr(index, nameAttr, getNameAttr(id));

  Block *body = function.addEntryBlock();
  b.setInsertionPointToStart(body);
  DenseMap<int64_t, Value> arguments;
  for (auto [id, argument] : llvm::zip_equal(inputs, body->getArguments())) {
    arguments[static_cast<int64_t>(id)] = argument;
    // Printed IR calls it by its name.
    argument.setLoc(NameLoc::get(getNameAttr(id), loc));
  }
  auto input = [&](TensorId id) {
    return arguments.lookup(static_cast<int64_t>(id));
  };
  ParallelAttr parallel =
      ParallelAttr::get(context, config, sequenceParallelFamily);
  function->setAttr(kParallelAttrName, parallel);
  auto layer = LayerOp::create(
      b, loc, results, input(TensorId::HiddenStates),
      input(TensorId::RouterWeight), input(TensorId::RouterBias),
      input(TensorId::CorrectionBias), input(TensorId::TopkIds),
      input(TensorId::TopkWeights), input(TensorId::W13), input(TensorId::W2),
      input(TensorId::B13), input(TensorId::B2), /*w13_scale=*/Value(),
      /*w2_scale=*/Value(), input(TensorId::SharedW13),
      input(TensorId::SharedW2), input(TensorId::SharedGate),
      input(TensorId::LatentIn), input(TensorId::LatentOut),
      input(TensorId::LogicalToPhysical), input(TensorId::ReplicaCount),
      getRouting(context, spec), getActivation(context, spec.activation),
      QuantAttr(), ParallelAttr(),
      spec.routing.source == RoutingSource::given
          ? b.getI64IntegerAttr(spec.numRouted())
          : IntegerAttr(),
      b.getStringAttr(spec.name));
  func::ReturnOp::create(b, loc, layer.getResults());
  return function;
}

//===----------------------------------------------------------------------===//
// IR to description
//===----------------------------------------------------------------------===//

static ActivationSpec getActivationSpec(ActivationAttr attr) {
  ActivationSpec activation;
  activation.kind = attr.getKind();
  if (activation.kind == ActivationKind::swigluoai) {
    activation.limit = attr.getLimit().getValueAsDouble();
    activation.alpha = attr.getAlpha().getValueAsDouble();
  }
  return activation;
}

void moe::nameLayerArguments(LayerOp layer) {
  auto function = layer->getParentOfType<func::FuncOp>();
  ActivationSpec activation = getActivationSpec(layer.getActivation());
  Builder b(layer.getContext());
  auto key = b.getStringAttr(kNameAttrName);
  auto makeName = [&](TensorId id) {
    return b.getStringAttr(getName(id, activation));
  };
  for (const TensorInfo &tensor : allTensors())
    if (auto argument =
            dyn_cast_or_null<BlockArgument>(getOperand(layer, tensor.id)))
      if (!function.getArgAttr(argument.getArgNumber(), key))
        function.setArgAttr(argument.getArgNumber(), key, makeName(tensor.id));
  Operation *end = function.getFunctionBody().front().getTerminator();
  for (OpOperand &operand : end->getOpOperands())
    if (operand.get().getDefiningOp() == layer &&
        !function.getResultAttr(operand.getOperandNumber(), key))
      function.setResultAttr(operand.getOperandNumber(), key,
                             makeName(operand.get() == layer.getResult()
                                          ? TensorId::Output
                                          : TensorId::ExpertLoad));
}

FailureOr<LayerSpec> moe::getLayerSpec(LayerOp layer) {
  if (layer.getQuantAttr())
    return layer.emitOpError("has quantized weights, which have no reference");
  LayerSpec spec;
  if (auto name = layer.getLayerName())
    spec.name = name->str();
  else if (auto function = layer->getParentOfType<func::FuncOp>())
    spec.name = function.getName().str();
  Type type = layer.getHiddenStates().getType().getElementType();
  std::optional<DType> dtype = getDType(type);
  if (!dtype)
    return layer.emitOpError("expected hidden states of f32, bf16 or f16 but "
                             "got ")
           << type;
  spec.dtype = *dtype;
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
  r.source = layer.getTopkIds() ? RoutingSource::given : RoutingSource::router;
  r.score = routing.getScore();
  r.weight = routing.getWeight();
  r.groupScore = routing.getGroupScore();
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

  spec.activation = getActivationSpec(layer.getActivation());
  spec.shared.intermediateSize = layer.getSharedIntermediateSize();
  if (layer.getSharedGate())
    spec.shared.gate = SharedGate::sigmoid;
  if (Status status = validate(spec); !status)
    return layer.emitOpError(status.error());
  return spec;
}
