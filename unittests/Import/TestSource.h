//===- TestSource.h - Checkpoints for tests ------------------- -*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef MOE_MLIR_UNITTESTS_IMPORT_TESTSOURCE_H
#define MOE_MLIR_UNITTESTS_IMPORT_TESTSOURCE_H

#include "moe-mlir/Import/WeightLoader.h"
#include <cstring>
#include <fstream>
#include <iterator>
#include <map>
#include <nlohmann/json.hpp>

namespace moe {

/// A checkpoint in memory that tests can change.
class TestSource : public TensorSource {
public:
  struct Entry {
    std::string dtype;
    std::vector<int64_t> shape;
    std::vector<char> bytes;
  };

  std::vector<std::string> names() const override {
    std::vector<std::string> all;
    for (const auto &[name, entry] : entries)
      all.push_back(name);
    return all;
  }

  Result<SourceTensor> find(const std::string &name) override {
    const Entry &entry = entries.at(name);
    return SourceTensor{entry.dtype, entry.shape, entry.bytes.data()};
  }

  /// The same tensors with `prefix` in front of their names.
  TestSource withPrefix(const std::string &prefix) const {
    TestSource renamed;
    for (const auto &[name, entry] : entries)
      renamed.entries[prefix + name] = entry;
    return renamed;
  }

  std::map<std::string, Entry> entries;
};

/// Reads a well-formed safetensors file; for anything else the test fails by
/// finding no tensors.
inline TestSource readTestFile(const std::string &path) {
  TestSource source;
  std::ifstream file(path, std::ios::binary);
  std::string content((std::istreambuf_iterator<char>(file)),
                      std::istreambuf_iterator<char>());
  uint64_t headerSize = 0;
  if (content.size() < sizeof(headerSize))
    return source;
  std::memcpy(&headerSize, content.data(), sizeof(headerSize));
  auto header = nlohmann::json::parse(content.substr(8, headerSize));
  for (const auto &item : header.items()) {
    if (item.key() == "__metadata__")
      continue;
    auto offsets = item.value()["data_offsets"].get<std::vector<size_t>>();
    const char *data = content.data() + 8 + headerSize;
    source.entries[item.key()] = {item.value()["dtype"],
                                  item.value()["shape"],
                                  {data + offsets[0], data + offsets[1]}};
  }
  return source;
}

} // namespace moe

#endif // MOE_MLIR_UNITTESTS_IMPORT_TESTSOURCE_H
