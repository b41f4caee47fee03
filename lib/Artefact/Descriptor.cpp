//===- Descriptor.cpp - What an artefact says of itself -------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Descriptor.h"

#include "moe-mlir/Conversion/CallAxes.h"
#include "moe-mlir/Dialect/MoE/IR/MoE.h"
#include "moe-mlir/Dialect/Schedule/Analysis/Print.h"
#include "moe-mlir/Dialect/Schedule/IR/Schedule.h"
#include "moe-mlir/Import/ImportLayer.h"
#include "moe-mlir/Transforms/Schedule.h"

#include "moert/moert.h"

#include <nlohmann/json.hpp>

using namespace mlir;
using namespace moe;
using nlohmann::json;

static FailureOr<json> describeArgument(func::FuncOp function,
                                        const CallAxes &axes, unsigned index) {
  auto type = cast<MemRefType>(function.getArgumentTypes()[index]);
  auto nameAttr = function.getArgAttrOfType<StringAttr>(index, kNameAttrName);
  std::string name =
      nameAttr ? nameAttr.str() : ("argument " + Twine(index)).str();
  std::optional<DType> dtype = getDType(type.getElementType());
  if (!dtype)
    return function.emitOpError("expected '")
           << name << "' of f32, bf16, f16 or i32 but got "
           << type.getElementType();
  json shape = json::array();
  for (int64_t dim = 0; dim < type.getRank(); ++dim)
    shape.push_back(axes.getDim(index, dim));
  return json::object({{"name", name},
                       {"dtype", longName(*dtype)},
                       {"shape", std::move(shape)}});
}

static json describeParallel(const ParallelConfig &config) {
  return json::object(
      {{"tensor_parallel_size", config.tensorParallelSize},
       {"data_parallel_size", config.dataParallelSize},
       {"prefill_context_parallel_size", config.prefillContextParallelSize},
       {"enable_expert_parallel", config.enableExpertParallel},
       {"all2all_backend", name(config.all2allBackend)},
       {"enable_eplb", config.enableEplb},
       {"num_redundant_experts", config.numRedundantExperts},
       {"expert_placement_strategy", name(config.expertPlacementStrategy)},
       {"sequence_parallel", name(config.sequenceParallel)},
       {"shard_shared_experts", config.shardSharedExperts},
       {"enable_dbo", config.enableDbo},
       {"dbo_decode_token_threshold", config.dboDecodeTokenThreshold},
       {"dbo_prefill_token_threshold", config.dboPrefillTokenThreshold}});
}

static json orNull(const std::optional<int64_t> &value) {
  return value ? json(*value) : json(nullptr);
}

FailureOr<std::string> moe::makeDescriptor(func::FuncOp function,
                                           const DescriptorInput &input) {
  FailureOr<policy::Explanation> explanation =
      explainFunction(function, std::nullopt);
  if (failed(explanation))
    return failure();
  const ParallelAttr parallel = getParallel(function);

  json inputs = json::array(), outputs = json::array(), axes = json::array();
  const CallAxes callAxes(function);
  for (StringAttr axis : callAxes.getNames())
    axes.push_back(axis.str());
  for (unsigned i = 0, e = function.getNumArguments(); i < e; ++i) {
    if (function.getArgAttr(i, "schedule.workspace"))
      continue;
    bool isOutput = function.getArgAttr(i, "bufferize.result") != nullptr;
    FailureOr<json> argument = describeArgument(function, callAxes, i);
    if (failed(argument))
      return failure();
    (isOutput ? outputs : inputs).push_back(std::move(*argument));
  }

  schedule::SlotAttr::Bytes bytes = {0, 0, 0};
  if (auto size =
          function->getAttrOfType<AffineMapAttr>("schedule.workspace_size"))
    bytes = *schedule::SlotAttr::getCoefficients(size.getValue());

  // The schedule is printed by a part that knows LLVM's JSON alone.
  std::string schedule = llvm::formatv("{0}", schedule::toJson(function)).str();
  json descriptor = json::object(
      {{"abi", MOERT_ABI_VERSION},
       {"name", function.getName().str()},
       {"target", input.target},
       {"instruction_set", input.instructionSet},
       {"cpu_features", input.cpuFeatures},
       {"layer", json::parse(toJSONText(input.layer))},
       {"weights", input.weights ? json::parse(toJSONText(*input.weights))
                                 : json(nullptr)},
       {"inputs", std::move(inputs)},
       {"outputs", std::move(outputs)},
       {"axes", std::move(axes)},
       {"parallel", describeParallel(parallel.getConfig())},
       {"num_ranks", parallel.getNumRanks()},
       {"max_num_tokens", orNull(input.maxTokens)},
       {"static_num_tokens", orNull(input.staticTokens)},
       {"decision", json::parse(policy::explainJson(*explanation))},
       {"schedule", json::parse(schedule)},
       {"workspace",
        {{"bytes", bytes[0]},
         {"bytes_per_token", bytes[1]},
         {"bytes_per_total_token", bytes[2]}}}});
  // Names come from users' files; bytes that are not UTF-8 are replaced.
  return descriptor.dump(-1, ' ', false, json::error_handler_t::replace);
}
