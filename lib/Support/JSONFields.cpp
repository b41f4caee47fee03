//===- JSONFields.cpp - Strict reading of JSON objects --------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moe-mlir/Support/JSONFields.h"

using namespace moe;
using nlohmann::json;

namespace {
/// Finds where a text stops being JSON without exceptions: the SAX interface
/// reports the position, which `json::parse` without exceptions keeps.
struct ErrorPosition : nlohmann::json_sax<json> {
  bool null() override { return true; }
  bool boolean(bool) override { return true; }
  bool number_integer(number_integer_t) override { return true; }
  bool number_unsigned(number_unsigned_t) override { return true; }
  bool number_float(number_float_t, const string_t &) override { return true; }
  bool string(string_t &) override { return true; }
  bool binary(binary_t &) override { return true; }
  bool start_object(std::size_t) override { return true; }
  bool key(string_t &) override { return true; }
  bool end_object() override { return true; }
  bool start_array(std::size_t) override { return true; }
  bool end_array() override { return true; }
  bool parse_error(std::size_t at, const std::string &,
                   const nlohmann::detail::exception &) override {
    position = at;
    return false;
  }

  std::size_t position = 0;
};
} // namespace

Result<json> moe::parseJSON(const std::string &text) {
  json parsed = json::parse(text, /*cb=*/nullptr, /*allow_exceptions=*/false);
  if (!parsed.is_discarded())
    return parsed;
  ErrorPosition handler;
  json::sax_parse(text, &handler);
  if (handler.position > text.size())
    return Failure{"expected JSON but it ends early, after " +
                   std::to_string(text.size()) + " bytes"};
  return Failure{"expected JSON but byte " + std::to_string(handler.position) +
                 " of " + std::to_string(text.size()) +
                 " does not continue it"};
}

std::string moe::describe(const json &value) {
  if (value.is_object())
    return "an object";
  if (value.is_array())
    return "an array of " + std::to_string(value.size());
  return value.dump(-1, ' ', false, json::error_handler_t::replace);
}

JSONFields::JSONFields(const json &object, std::string where)
    : source(object), where(std::move(where)) {
  if (!object.is_object())
    message = this->where + ": expected an object but got " + describe(object);
}

void JSONFields::fail(const char *key, const std::string &expected,
                      const std::string &found) {
  if (message.empty())
    message = where + ": expected '" + key + "' to be " + expected +
              " but got " + found;
}

const json *JSONFields::get(const char *key) {
  if (!message.empty())
    return nullptr;
  seen.insert(key);
  auto found = source.find(key);
  if (found == source.end()) {
    message = where + ": expected key '" + key + "' but it is missing";
    return nullptr;
  }
  return &*found;
}

void JSONFields::read(const char *key, std::string &value) {
  if (const auto *found = get(key)) {
    if (const auto *text = found->get_ptr<const std::string *>())
      value = *text;
    else
      fail(key, "a string", describe(*found));
  }
}

void JSONFields::read(const char *key, int64_t &value) {
  if (const auto *found = get(key)) {
    if (found->is_number_integer())
      value = found->get<int64_t>();
    else
      fail(key, "an integer", describe(*found));
  }
}

void JSONFields::read(const char *key, double &value) {
  if (const auto *found = get(key)) {
    if (found->is_number())
      value = found->get<double>();
    else
      fail(key, "a number", describe(*found));
  }
}

void JSONFields::read(const char *key, bool &value) {
  if (const auto *found = get(key)) {
    if (found->is_boolean())
      value = found->get<bool>();
    else
      fail(key, "true or false", describe(*found));
  }
}

void JSONFields::read(const char *key, std::vector<std::string> &value) {
  const auto *found = array(key);
  if (!found)
    return;
  value.clear();
  for (const auto &element : *found) {
    const auto *text = element.get_ptr<const std::string *>();
    if (!text)
      return fail(key, "an array of strings",
                  "an element " + describe(element));
    value.push_back(*text);
  }
}

const json *JSONFields::object(const char *key) {
  const auto *found = get(key);
  if (found && !found->is_object()) {
    fail(key, "an object", describe(*found));
    return nullptr;
  }
  return found;
}

const json *JSONFields::array(const char *key) {
  const auto *found = get(key);
  if (found && !found->is_array()) {
    fail(key, "an array", describe(*found));
    return nullptr;
  }
  return found;
}

void JSONFields::take(const Status &status) {
  if (!status && message.empty())
    message = status.error();
}

Status JSONFields::finish() {
  if (message.empty())
    for (const auto &item : source.items())
      if (!seen.count(item.key())) {
        message = where + ": unknown key '" + item.key() + "'";
        break;
      }
  if (message.empty())
    return {};
  return Failure{message};
}
