//===- WeightSource.cpp - Where a layer's weights come from ---------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moe-mlir/Import/WeightSource.h"
#include "moe-mlir/Support/JSONFields.h"

using namespace moe;
using nlohmann::json;

const char *moe::name(WeightLayout layout) {
  switch (layout) {
  case WeightLayout::Rows:
    return "rows";
  case WeightLayout::Interleaved:
    return "interleaved";
  case WeightLayout::Transposed:
    return "transposed";
  case WeightLayout::TransposedInterleaved:
    return "transposed_interleaved";
  }
  return "";
}

json moe::toJSON(const WeightMap &map) {
  json sources = json::array();
  for (const WeightSource &source : map.sources) {
    json alternatives = json::array();
    for (const WeightAlternative &alternative : source.alternatives)
      alternatives.push_back(
          {{"names", alternative.names}, {"layout", name(alternative.layout)}});
    sources.push_back(
        {{"input", source.input}, {"alternatives", alternatives}});
  }
  return {{"layer", map.layer},
          {"modules", map.modules},
          {"quantization", map.quantization},
          {"sources", sources}};
}

static Status readSource(const json &object, WeightSource &source) {
  JSONFields fields(object, "weights.sources");
  fields.read("input", source.input);
  if (const json *alternatives = fields.array("alternatives"))
    for (const json &element : *alternatives) {
      WeightAlternative alternative;
      JSONFields inner(element, "weights.sources." + source.input);
      inner.read("names", alternative.names);
      inner.readEnum<WeightLayout>(
          "layout", alternative.layout,
          {WeightLayout::Rows, WeightLayout::Interleaved,
           WeightLayout::Transposed, WeightLayout::TransposedInterleaved});
      fields.take(inner.finish());
      source.alternatives.push_back(std::move(alternative));
    }
  return fields.finish();
}

Result<WeightMap> moe::weightMapFromJSON(const json &object) {
  WeightMap map;
  JSONFields fields(object, "weights");
  fields.read("layer", map.layer);
  fields.read("modules", map.modules);
  fields.read("quantization", map.quantization);
  if (const json *sources = fields.array("sources"))
    for (const json &element : *sources) {
      WeightSource source;
      fields.take(readSource(element, source));
      map.sources.push_back(std::move(source));
    }
  if (Status status = fields.finish(); !status)
    return Failure{status.error()};
  return map;
}

std::string moe::toJSONText(const WeightMap &map) {
  return toJSON(map).dump(2, ' ', false, json::error_handler_t::replace);
}

Result<WeightMap> moe::weightMapFromJSONText(const std::string &text) {
  Result<json> parsed = parseJSON(text);
  if (!parsed)
    return Failure{"weights: " + parsed.error()};
  return weightMapFromJSON(*parsed);
}
