//===- Header.h - The JSON of safetensors files -----------------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOERT_IO_HEADER_H
#define MOERT_IO_HEADER_H

#include "moert/DType.h"
#include "moert/Result.h"

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace moert {

/// A header as it is written: well-formed, its numbers not yet checked.
struct Header {
  struct Tensor {
    std::string name;
    DType dtype = DType::F32;
    std::vector<int64_t> shape;
    uint64_t begin = 0;
    uint64_t end = 0;
  };
  std::vector<Tensor> tensors;
  std::map<std::string, std::string> metadata;
};

/// Parses a file's header. Errors name the tensor.
Result<Header> parseHeader(std::string_view text);

/// Parses an index; returns its map from tensors to shards.
Result<std::map<std::string, std::string, std::less<>>>
parseIndex(std::string_view text);

/// `text` as a JSON string; nothing if it is not UTF-8.
std::optional<std::string> quoteJSON(const std::string &text);

/// A list as messages and headers show it: "[2,3]".
template <typename Integer>
std::string listText(const std::vector<Integer> &values) {
  std::string text = "[";
  for (size_t i = 0; i < values.size(); ++i)
    text += (i ? "," : "") + std::to_string(values[i]);
  return text + "]";
}

} // namespace moert

#endif // MOERT_IO_HEADER_H
