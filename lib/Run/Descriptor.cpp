//===- Descriptor.cpp - What an artefact says of itself -------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moe-mlir/Run/Artefact.h"

#include "moe-mlir/Support/Format.h"
#include "moe-mlir/Support/JSONFields.h"

using namespace moe;
using namespace moe::run;
using nlohmann::json;

namespace {
/// Reads the descriptor's fields and keeps the first error. Fields that it does
/// not know may be there: later compilers say more.
class Reader {
public:
  Reader(const json &object, std::string path)
      : object(object), path(std::move(path)) {}

  const json *get(const char *key) {
    auto field = object.find(key);
    if (field != object.end())
      return &*field;
    fail("descriptor of '" + path + "' lacks '" + key + "'");
    return nullptr;
  }

  void read(const char *key, std::string &value) {
    const json *field = get(key);
    if (field && !field->is_string())
      return expected(key, "a text", *field);
    if (field)
      value = field->get<std::string>();
  }

  void read(const char *key, int64_t &value) {
    const json *field = get(key);
    if (field && (!field->is_number_integer() || field->get<int64_t>() < 1))
      return expected(key, "a positive number", *field);
    if (field)
      value = field->get<int64_t>();
  }

  void read(const char *key, std::optional<int64_t> &value) {
    const json *field = get(key);
    if (!field || field->is_null())
      return;
    if (!field->is_number_integer() || field->get<int64_t>() < 0)
      return expected(key, "a number or null", *field);
    value = field->get<int64_t>();
  }

  void expected(const std::string &key, const char *what, const json &found) {
    fail("descriptor of '" + path + "': expected '" + key + "' to be " + what +
         " but got " + describe(found));
  }

  void fail(const std::string &message) {
    if (error.empty())
      error = message;
  }

  const json &object;
  std::string path;
  std::string error;
};
} // namespace

/// The names of the artefact's axes.
static std::vector<std::string> readAxes(Reader &reader) {
  const json *list = reader.get("axes");
  std::vector<std::string> axes;
  if (!list)
    return axes;
  if (!list->is_array())
    reader.expected("axes", "a list of names", *list);
  else
    for (const json &axis : *list)
      axes.push_back(axis.is_string() ? axis.get<std::string>() : "");
  return axes;
}

/// Reads the list of tensors under `key`. The experts of a rank are replaced by
/// all experts, which is right for the one rank that is run.
static void readTensors(Reader &reader, const char *key, int64_t numExperts,
                        const std::vector<std::string> &axes,
                        std::vector<TensorSpec> &tensors) {
  const json *list = reader.get(key);
  if (!list)
    return;
  if (!list->is_array())
    return reader.expected(key, "a list of tensors", *list);
  for (const json &item : *list) {
    const bool fits = item.is_object() && item.contains("name") &&
                      item["name"].is_string() && item.contains("dtype") &&
                      item["dtype"].is_string() && item.contains("shape") &&
                      item["shape"].is_array();
    if (!fits)
      return reader.expected(key, "tensors with 'name', 'dtype' and 'shape'",
                             item);
    TensorSpec tensor;
    tensor.name = item["name"].get<std::string>();
    Result<DType> dtype = parseDType(item["dtype"].get<std::string>());
    if (!dtype)
      return reader.fail("descriptor of '" + reader.path + "': '" +
                         tensor.name + "': " + dtype.error());
    tensor.dtype = *dtype;
    for (const json &dim : item["shape"]) {
      if (!dim.is_number_integer())
        return reader.expected(tensor.name + ".shape", "numbers", dim);
      const int64_t size = dim.get<int64_t>();
      const size_t axis = size_t(MOERT_DIM_AXIS(size));
      const bool isExperts = size < MOERT_DIM_TOKENS && axis < axes.size() &&
                             axes[axis] == getSymbol(Axis::Expert);
      tensor.shape.push_back(isExperts ? numExperts : size);
    }
    tensors.push_back(std::move(tensor));
  }
}

Status moe::run::checkTokens(const Descriptor &descriptor, int64_t T,
                             const std::string &where) {
  auto expected = [&](const char *bound, int64_t rows) {
    return badInput(where + ": expected " + bound + count(rows, "row") +
                    ", which '" + descriptor.name +
                    "' was compiled for, but got " + std::to_string(T));
  };
  if (descriptor.staticNumTokens && T != *descriptor.staticNumTokens)
    return expected("", *descriptor.staticNumTokens);
  if (descriptor.maxNumTokens && T > *descriptor.maxNumTokens)
    return expected("at most ", *descriptor.maxNumTokens);
  return {};
}

Status moe::run::readDescriptor(const std::string &text,
                                const std::string &path,
                                Descriptor &descriptor) {
  Result<json> parsed = parseJSON(text);
  if (!parsed)
    return badInput("descriptor of '" + path + "': " + parsed.error());
  if (!parsed->is_object())
    return badInput("descriptor of '" + path +
                    "': expected an object but got " + describe(*parsed));
  Reader reader(*parsed, path);
  reader.read("name", descriptor.name);
  reader.read("target", descriptor.target);
  reader.read("instruction_set", descriptor.instructionSet);
  reader.read("num_ranks", descriptor.numRanks);
  reader.read("max_num_tokens", descriptor.maxNumTokens);
  reader.read("static_num_tokens", descriptor.staticNumTokens);
  if (const json *layer = reader.get("layer")) {
    Result<LayerSpec> spec = layerSpecFromJSON(*layer);
    if (spec)
      descriptor.layer = *spec;
    else
      reader.fail("descriptor of '" + path + "': " + spec.error());
  }
  const json *weights = reader.get("weights");
  if (weights && !weights->is_null()) {
    Result<WeightMap> map = weightMapFromJSON(*weights);
    if (map)
      descriptor.weights = *map;
    else
      reader.fail("descriptor of '" + path + "': " + map.error());
  }
  const std::vector<std::string> axes = readAxes(reader);
  readTensors(reader, "inputs", descriptor.layer.numExperts, axes,
              descriptor.inputs);
  readTensors(reader, "outputs", descriptor.layer.numExperts, axes,
              descriptor.outputs);
  if (const json *decision = reader.get("decision")) {
    if (decision->is_object())
      // A second parse, for the order of the keys.
      descriptor.decision = nlohmann::ordered_json::parse(text)["decision"];
    else
      reader.expected("decision", "an object", *decision);
  }
  if (!reader.error.empty())
    return badInput(reader.error);
  return {};
}
