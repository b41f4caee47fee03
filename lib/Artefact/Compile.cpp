//===- Compile.cpp - From a layer to an artefact --------------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moe-mlir/Artefact/Compile.h"

#include "Descriptor.h"
#include "moe-mlir/Codegen/CPU/Lowering.h"
#include "moe-mlir/Dialect/MoE/IR/MoE.h"
#include "moe-mlir/Import/ImportLayer.h"
#include "moe-mlir/Pipelines/Pipelines.h"
#include "moe-mlir/Pipelines/Register.h"
#include "moe-mlir/Transforms/Parallel.h"
#include "moe-mlir/Transforms/Passes.h"
#include "moe-mlir/Transforms/Schedule.h"

#include "mlir/AsmParser/AsmParser.h"
#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/IR/Verifier.h"
#include "mlir/Pass/PassManager.h"

using namespace mlir;
using namespace moe;

std::optional<Form> moe::parseForm(StringRef name) {
  constexpr std::pair<StringLiteral, Form> names[] = {
      {"layer", Form::Layer},       {"phases", Form::Phases},
      {"schedule", Form::Schedule}, {"kernels", Form::Kernels},
      {"ptx", Form::PTX},           {"cubin", Form::Cubin},
      {"llvm", Form::LLVM},         {"object", Form::Object},
      {"shared", Form::Shared}};
  for (auto [known, form] : names)
    if (name == known)
      return form;
  return std::nullopt;
}

void moe::prepareContext(MLIRContext &context) {
  DialectRegistry registry;
  registerDialects(registry);
  context.appendDialectRegistry(registry);
  context.loadAllAvailableDialects();
}

FailureOr<func::FuncOp> moe::findLayerFunction(ModuleOp module) {
  func::FuncOp found;
  for (auto function : module.getOps<func::FuncOp>()) {
    auto layers = function.getFunctionBody().getOps<LayerOp>();
    if (layers.empty())
      continue;
    if (found || std::next(layers.begin()) != layers.end())
      return module.emitError("expected one 'moe.layer' but found several; an "
                              "artefact is one layer");
    found = function;
  }
  if (!found)
    return module.emitError("expected a function with a 'moe.layer' but found "
                            "none");
  return found;
}

/// The CPU that code is for. What a host does for a GPU needs no instructions
/// that another host might lack.
static std::string getCPU(const ArtefactOptions &options) {
  return options.target == "cuda" && options.cpu == "host"
             ? codegen::cpu::Target::getBaseline()
             : options.cpu;
}

LogicalResult moe::compileTo(ModuleOp module, Form form,
                             const ArtefactOptions &options) {
  return compileAndExplain(module, form, options, std::nullopt);
}

std::optional<int64_t> moe::getStaticTokens(func::FuncOp function) {
  LayerOp layer = *function.getFunctionBody().getOps<LayerOp>().begin();
  int64_t tokens = layer.getHiddenStates().getType().getDimSize(0);
  if (ShapedType::isDynamic(tokens))
    return std::nullopt;
  return tokens;
}

/// Puts tiles that are given as text on the function.
static LogicalResult setGemmTiles(func::FuncOp function,
                                  ArrayRef<std::string> texts) {
  if (texts.empty())
    return success();
  MLIRContext *context = function.getContext();
  NamedAttrList tiles(
      function->getAttrOfType<DictionaryAttr>(kGemmTilesAttrName));
  for (StringRef text : texts) {
    auto [product, fields] = text.split('=');
    std::string problem;
    Attribute tile;
    {
      ScopedDiagnosticHandler keep(context, [&](Diagnostic &diagnostic) {
        problem = diagnostic.str();
        return success();
      });
      tile = parseAttribute(("#moe.gemm_tile<" + fields + ">").str(), context);
    }
    if (!tile)
      return function.emitError("tile '")
             << text << "': " << StringRef(problem).trim();
    tiles.set(product, tile);
  }
  function->setAttr(kGemmTilesAttrName, tiles.getDictionary(context));
  return verify(function);
}

FailureOr<policy::Explanation>
moe::compileAndExplain(ModuleOp module, Form form,
                       const ArtefactOptions &givenOptions,
                       std::optional<int64_t> tokens) {
  FailureOr<func::FuncOp> found = findLayerFunction(module);
  if (failed(found))
    return failure();
  func::FuncOp function = *found;
  ArtefactOptions options = givenOptions;
  options.cpu = getCPU(options);
  // A layer may say itself how many tokens it has.
  if (!options.staticNumTokens)
    options.staticNumTokens = getStaticTokens(function);
  if (failed(setGemmTiles(function, options.gemmTiles)))
    return failure();
  policy::Explanation explanation;
  if (form == Form::Layer)
    return explanation;
  LayerOp layer = *function.getFunctionBody().getOps<LayerOp>().begin();
  nameLayerArguments(layer);
  auto run = [&](function_ref<void(OpPassManager &)> build) -> LogicalResult {
    PassManager pm(module.getContext());
    build(pm);
    if (options.instrument && failed(options.instrument(pm)))
      return failure();
    return pm.run(module);
  };

  if (form == Form::Phases) {
    if (failed(run(
            [&](OpPassManager &pm) { buildExpansionPipeline(pm, options); })))
      return failure();
    return explanation;
  }

  // The description of the layer is read while it is one op.
  DescriptorInput descriptor;
  descriptor.weights = options.weights;
  if (form > Form::Cubin) {
    FailureOr<LayerSpec> spec = getLayerSpec(layer);
    if (failed(spec))
      return failure();
    descriptor.layer = *spec;
  }
  std::string name = function.getName().str();

  if (failed(run([&](OpPassManager &pm) {
        buildSchedulePipeline(pm, options);
        if (form > Form::Schedule)
          buildKernelPipeline(pm, options);
      })))
    return failure();
  function = module.lookupSymbol<func::FuncOp>(name);
  FailureOr<policy::Explanation> explained = explainFunction(function, tokens);
  if (failed(explained) || form <= Form::Kernels)
    return explained;
  if (form <= Form::Cubin) {
    if (options.target != "cuda")
      return module.emitError("PTX and cubin need target 'cuda' but the target "
                              "is '")
             << options.target << "'";
    if (failed(run([&](OpPassManager &pm) {
          buildGPUKernelPipeline(pm, options,
                                 form == Form::PTX ? "ptx" : "cubin");
        })))
      return failure();
    return explained;
  }

  auto cpuTarget = codegen::cpu::Target::parse(options.cpu);
  if (!cpuTarget)
    return module.emitError(llvm::toString(cpuTarget.takeError()));
  // The descriptor is about the whole layer, whatever share a rank has.
  const LayerInfoAttr info = getLayerInfo(function);
  descriptor.layer.intermediateSize = info.getIntermediate();
  descriptor.layer.shared.intermediateSize = info.getSharedIntermediate();
  descriptor.target = options.target;
  descriptor.instructionSet =
      options.target == "cuda" ? options.chip : cpuTarget->cpu;
  descriptor.cpuFeatures = cpuTarget->getFeatureNames();
  descriptor.staticTokens = options.staticNumTokens;
  descriptor.maxTokens = options.maxNumTokens;
  FailureOr<std::string> text = makeDescriptor(function, descriptor);
  if (failed(text))
    return failure();
  module->setAttr("schedule.descriptor",
                  StringAttr::get(module.getContext(), *text));
  if (failed(
          run([&](OpPassManager &pm) { buildRuntimePipeline(pm, options); })))
    return failure();
  return explained;
}

LogicalResult moe::emitGPUKernels(ModuleOp module, std::string &kernels) {
  for (auto binary : module.getOps<gpu::BinaryOp>()) {
    auto object = cast<gpu::ObjectAttr>(binary.getObjects()[0]);
    kernels += object.getObject().getValue();
    return success();
  }
  return module.emitError("expected GPU kernels but found none");
}

LogicalResult moe::emitObject(ModuleOp module, const ArtefactOptions &options,
                              SmallVectorImpl<char> &object) {
  auto target = codegen::cpu::Target::parse(getCPU(options));
  if (!target)
    return module.emitError(llvm::toString(target.takeError()));
  return codegen::cpu::compileToObject(module, *target, object);
}
