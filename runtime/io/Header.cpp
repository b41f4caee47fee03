//===- Header.cpp - The JSON of safetensors files -------------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Header.h"

#include <nlohmann/json.hpp>
#include <set>

using namespace moert;
using nlohmann::json;

namespace {

/// Refuses every event; parsers override what their format allows where it
/// allows it. Parsing by events keeps nothing of a hostile file: depth,
/// duplicates and types are judged as they come.
class StrictHandler : public nlohmann::json_sax<json> {
public:
  bool null() override { return refuse("null"); }
  bool boolean(bool) override { return refuse("a boolean"); }
  bool number_integer(number_integer_t) override {
    return refuse("a negative number");
  }
  bool number_unsigned(number_unsigned_t) override {
    return refuse("a number");
  }
  bool number_float(number_float_t, const string_t &) override {
    return refuse("a number that is no 64-bit integer");
  }
  bool string(string_t &) override { return refuse("a string"); }
  bool binary(binary_t &) override { return refuse("binary data"); }
  bool start_object(size_t) override { return refuse("an object"); }
  bool key(string_t &) override { return refuse("a key"); }
  bool end_object() override { return refuse("the end of an object"); }
  bool start_array(size_t) override { return refuse("a list"); }
  bool end_array() override { return refuse("the end of a list"); }
  bool parse_error(size_t position, const std::string &,
                   const nlohmann::detail::exception &) override {
    return fail("is not JSON at byte " + std::to_string(position));
  }

  const std::string &error() const { return message; }

protected:
  bool fail(std::string text) {
    message = std::move(text);
    return false;
  }
  bool refuse(const char *found) {
    return fail(subject() + "is " + found + ", expected " + expectation());
  }
  /// What the next value belongs to, with a space behind.
  virtual std::string subject() const = 0;
  virtual std::string expectation() const = 0;

private:
  std::string message;
};

class HeaderHandler : public StrictHandler {
public:
  Header header;

  bool start_object(size_t size) override {
    switch (place) {
    case Place::Start:
      place = Place::Top;
      return true;
    case Place::MetadataValue:
      place = Place::Metadata;
      return true;
    case Place::TensorValue:
      place = Place::Tensor;
      return true;
    default:
      return StrictHandler::start_object(size);
    }
  }

  bool key(string_t &name) override {
    if (place == Place::Top) {
      if (!names.insert(name).second)
        return fail("names '" + name + "' twice");
      if (name == "__metadata__") {
        place = Place::MetadataValue;
        return true;
      }
      header.tensors.emplace_back();
      header.tensors.back().name = name;
      fields.clear();
      place = Place::TensorValue;
      return true;
    }
    if (place == Place::Metadata) {
      if (header.metadata.count(name))
        return fail("'__metadata__' has '" + name + "' twice");
      text = &header.metadata[name];
      place = Place::Text;
      return true;
    }
    if (!fields.insert(name).second)
      return fail("tensor '" + tensor().name + "' has '" + name + "' twice");
    if (name == "dtype")
      place = Place::DType;
    else if (name == "shape")
      place = Place::Shape;
    else if (name == "data_offsets")
      place = Place::Offsets;
    else
      return fail("tensor '" + tensor().name + "' has a field '" + name +
                  "', expected 'dtype', 'shape' and 'data_offsets'");
    return true;
  }

  bool string(string_t &value) override {
    if (place == Place::Text) {
      *text = value;
      place = Place::Metadata;
      return true;
    }
    if (place != Place::DType)
      return StrictHandler::string(value);
    std::optional<moert::DType> dtype = parseDType(value);
    if (!dtype)
      return fail("tensor '" + tensor().name + "' has the unknown dtype '" +
                  value + "'");
    tensor().dtype = *dtype;
    place = Place::Tensor;
    return true;
  }

  bool start_array(size_t size) override {
    if (place == Place::Shape)
      place = Place::Dim;
    else if (place == Place::Offsets)
      place = Place::Offset;
    else
      return StrictHandler::start_array(size);
    offsets.clear();
    return true;
  }

  bool number_unsigned(number_unsigned_t value) override {
    if (place == Place::Offset) {
      if (offsets.size() == 2)
        return fail("tensor '" + tensor().name +
                    "' has more than two 'data_offsets'");
      offsets.push_back(value);
      return true;
    }
    if (place != Place::Dim)
      return StrictHandler::number_unsigned(value);
    if (value > uint64_t(INT64_MAX))
      return fail("tensor '" + tensor().name + "' has a dimension of " +
                  std::to_string(value) + ", expected less than 2^63");
    tensor().shape.push_back(int64_t(value));
    return true;
  }

  bool end_array() override {
    if (place == Place::Offset) {
      if (offsets.size() != 2)
        return fail("tensor '" + tensor().name + "' has " +
                    std::to_string(offsets.size()) +
                    " 'data_offsets', expected 2");
      tensor().begin = offsets[0];
      tensor().end = offsets[1];
    }
    place = Place::Tensor;
    return true;
  }

  bool end_object() override {
    if (place == Place::Tensor)
      for (const char *field : {"dtype", "shape", "data_offsets"})
        if (!fields.count(field))
          return fail("tensor '" + tensor().name + "' has no '" + field + "'");
    place = Place::Top;
    return true;
  }

private:
  enum class Place {
    Start,
    Top,
    MetadataValue,
    Metadata,
    Text,
    TensorValue,
    Tensor,
    DType,
    Shape,
    Dim,
    Offsets,
    Offset
  };

  Header::Tensor &tensor() { return header.tensors.back(); }

  std::string subject() const override {
    switch (place) {
    case Place::Start:
    case Place::Top:
      return "";
    case Place::MetadataValue:
    case Place::Metadata:
    case Place::Text:
      return "'__metadata__' ";
    default:
      return "tensor '" + header.tensors.back().name + "' ";
    }
  }

  std::string expectation() const override {
    switch (place) {
    case Place::Text:
      return "a string as every value";
    case Place::DType:
      return "a string as 'dtype'";
    case Place::Shape:
    case Place::Dim:
      return "a list of sizes as 'shape'";
    case Place::Offsets:
    case Place::Offset:
      return "a list of two offsets as 'data_offsets'";
    default:
      return "an object";
    }
  }

  Place place = Place::Start;
  std::set<std::string> names;
  std::set<std::string> fields;
  std::vector<uint64_t> offsets;
  std::string *text = nullptr;
};

/// An index is {"metadata": anything, "weight_map": {tensor: file}}; only the
/// map matters here.
class IndexHandler : public StrictHandler {
public:
  std::map<std::string, std::string, std::less<>> files;
  bool hasMap = false;

  bool null() override { return skips() || StrictHandler::null(); }
  bool boolean(bool value) override {
    return skips() || StrictHandler::boolean(value);
  }
  bool number_integer(number_integer_t value) override {
    return skips() || StrictHandler::number_integer(value);
  }
  bool number_unsigned(number_unsigned_t value) override {
    return skips() || StrictHandler::number_unsigned(value);
  }
  bool number_float(number_float_t value, const string_t &source) override {
    return skips() || StrictHandler::number_float(value, source);
  }
  bool start_array(size_t size) override {
    if (!skips())
      return StrictHandler::start_array(size);
    ++depth;
    return true;
  }
  bool end_array() override {
    --depth;
    return true;
  }

  bool start_object(size_t size) override {
    if (depth == 2 && inMap)
      return StrictHandler::start_object(size);
    ++depth;
    return true;
  }
  bool end_object() override {
    --depth;
    return true;
  }

  bool key(string_t &name) override {
    if (depth == 1) {
      inMap = name == "weight_map";
      if (inMap && hasMap)
        return fail("has 'weight_map' twice");
      hasMap |= inMap;
    } else if (depth == 2 && inMap) {
      if (files.count(name))
        return fail("names tensor '" + name + "' twice");
      file = &files[name];
    }
    return true;
  }

  bool string(string_t &value) override {
    if (skips())
      return true;
    if (depth != 2)
      return StrictHandler::string(value);
    *file = value;
    return true;
  }

private:
  /// Whether the value belongs to a field that does not matter.
  bool skips() const { return depth >= 1 && !inMap; }
  std::string subject() const override {
    return depth == 0 ? "" : depth == 1 ? "'weight_map' " : "a tensor's shard ";
  }
  std::string expectation() const override {
    return depth == 2 ? "the name of a file" : "an object";
  }

  int64_t depth = 0;
  bool inMap = false;
  std::string *file = nullptr;
};

} // namespace

/// Feeds `text` to the handler; false with its error set if it is refused.
static bool parse(std::string_view text, StrictHandler &handler) {
  return json::sax_parse(text.begin(), text.end(), &handler);
}

Result<Header> moert::parseHeader(std::string_view text) {
  HeaderHandler handler;
  if (!parse(text, handler))
    return Error{"header " + handler.error()};
  return std::move(handler.header);
}

Result<std::map<std::string, std::string, std::less<>>>
moert::parseIndex(std::string_view text) {
  IndexHandler handler;
  if (!parse(text, handler))
    return Error{"index " + handler.error()};
  if (!handler.hasMap)
    return Error{"index has no 'weight_map'"};
  return std::move(handler.files);
}

std::optional<std::string> moert::quoteJSON(const std::string &text) {
  try {
    return json(text).dump();
  } catch (const json::exception &) {
    return std::nullopt;
  }
}
