//===- Safetensors.h - Reading and writing of safetensors -------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOERT_SAFETENSORS_H
#define MOERT_SAFETENSORS_H

#include "moert/DType.h"
#include "moert/Result.h"

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

/// The format (https://huggingface.co/docs/safetensors): 8 bytes of little
/// endian header length N; N bytes of JSON, a map from names to
/// {"dtype", "shape", "data_offsets": [begin, end]} with offsets into the rest
/// of the file, which the tensors fill without hole or overlap; "__metadata__"
/// maps strings to strings. Files come from anywhere, so nothing in them is
/// believed unchecked. Nothing here throws.
namespace moert {

/// A tensor that lies in somebody else's memory, row-major and contiguous.
struct TensorView {
  std::string name;
  DType dtype = DType::F32;
  std::vector<int64_t> shape;
  /// In a file that was not padded this may be unaligned for the type.
  const void *data = nullptr;
  size_t bytes = 0;
};

/// One mapped file. Views point into the mapping and die with it; a file that
/// is truncated while it is mapped makes reads of them fault.
class SafetensorsFile {
public:
  /// Maps the file and checks its header. Data is only read when it is used.
  static Result<SafetensorsFile> open(const std::string &path);

  SafetensorsFile(SafetensorsFile &&);
  SafetensorsFile &operator=(SafetensorsFile &&);
  ~SafetensorsFile();

  const std::string &path() const { return filePath; }

  /// In the order of the data.
  const std::vector<TensorView> &tensors() const { return views; }

  /// The tensor of that name, or null.
  const TensorView *find(std::string_view name) const;

  const std::map<std::string, std::string> &metadata() const { return texts; }

private:
  class Mapping;
  SafetensorsFile();

  std::string filePath;
  std::unique_ptr<Mapping> mapping;
  std::vector<TensorView> views;
  std::map<std::string, size_t, std::less<>> indices;
  std::map<std::string, std::string> texts;
};

/// The tensors of a model, in one file or in shards that an index names. One
/// thread at a time: shards are mapped when they are first needed.
class SafetensorsModel {
public:
  /// Opens a file, an index (`*.index.json`), or a directory that has
  /// `model.safetensors` or `model.safetensors.index.json`.
  static Result<SafetensorsModel> open(const std::string &path);

  /// In alphabetical order.
  std::vector<std::string> names() const;

  bool contains(std::string_view name) const {
    return shardOf.find(name) != shardOf.end();
  }

  /// Maps the tensor's shard if it is not mapped yet. The view lives as long as
  /// the model, wherever it is moved to.
  Result<const TensorView *> find(std::string_view name);

  /// The shards mapped so far.
  size_t numMappedShards() const { return shards.size(); }

private:
  /// An error if `name` is no tensor or its shard cannot be used.
  Result<const SafetensorsFile *> openShard(const std::string &file);

  std::string path;      // As given, for messages.
  std::string directory; // Of the shards, with a slash, or empty.
  std::map<std::string, std::string, std::less<>> shardOf;
  std::map<std::string, std::unique_ptr<SafetensorsFile>> shards;
};

/// Writes a file, whole or not at all. Data is ordered by size of element, then
/// by name, so that all of it is aligned in a mapping. Errors: a name twice or
/// not in UTF-8, bytes that do not fit dtype and shape, null data, and whatever
/// the file system says.
Result<void>
writeSafetensors(const std::string &path,
                 const std::vector<TensorView> &tensors,
                 const std::map<std::string, std::string> &metadata = {});

/// The bytes that a tensor has; nothing if a dimension is negative, the size
/// overflows or is no whole number of bytes.
std::optional<size_t> byteSize(DType dtype, const std::vector<int64_t> &shape);

} // namespace moert

#endif // MOERT_SAFETENSORS_H
