//===- Safetensors.cpp - Reading and writing of safetensors ---------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moert/Safetensors.h"

#include "../common/AtomicFile.h"
#include "Header.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <new>
#include <set>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

using namespace moert;

/// The most bytes of a header; the format's own bound.
static constexpr uint64_t maxHeaderBytes = 100'000'000;
static constexpr uint64_t lengthBytes = 8;

static Error fileError(const std::string &path, const std::string &message) {
  return Error{"'" + path + "': " + message};
}

/// Runs `body`; running out of memory is an error like others.
template <typename Body>
static auto guarded(const std::string &path, Body body) -> decltype(body()) {
  try {
    return body();
  } catch (const std::bad_alloc &) {
    return fileError(path, "out of memory");
  }
}

std::optional<size_t> moert::byteSize(DType dtype,
                                      const std::vector<int64_t> &shape) {
  uint64_t bits = info(dtype).bits;
  bool empty = false;
  for (int64_t dim : shape) {
    if (dim < 0)
      return std::nullopt;
    empty |= dim == 0;
  }
  if (empty)
    return 0;
  for (int64_t dim : shape)
    if (__builtin_mul_overflow(bits, uint64_t(dim), &bits))
      return std::nullopt;
  if (bits % 8)
    return std::nullopt;
  return bits / 8;
}

//===----------------------------------------------------------------------===//
// One file
//===----------------------------------------------------------------------===//

/// A file's bytes, read-only.
class SafetensorsFile::Mapping {
public:
  static Result<std::unique_ptr<Mapping>> create(const std::string &path);
  Mapping() = default;
  Mapping(const Mapping &) = delete;
  Mapping &operator=(const Mapping &) = delete;
  ~Mapping() {
    if (bytes)
      munmap(bytes, size);
  }

  std::string_view text() const {
    return {static_cast<const char *>(bytes), size};
  }

private:
  void *bytes = nullptr;
  size_t size = 0;
};

Result<std::unique_ptr<SafetensorsFile::Mapping>>
SafetensorsFile::Mapping::create(const std::string &path) {
  auto mapping = std::make_unique<Mapping>();
  int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0)
    return fileError(path, std::string("cannot open: ") + std::strerror(errno));
  struct stat status;
  if (fstat(descriptor, &status) != 0 || !S_ISREG(status.st_mode)) {
    close(descriptor);
    return fileError(path, "is not a regular file");
  }
  // Nothing can be mapped of an empty file; its text is empty as it is.
  if (status.st_size > 0) {
    void *bytes = mmap(nullptr, size_t(status.st_size), PROT_READ, MAP_PRIVATE,
                       descriptor, 0);
    if (bytes == MAP_FAILED) {
      int reason = errno;
      close(descriptor);
      return fileError(path,
                       std::string("cannot map: ") + std::strerror(reason));
    }
    mapping->bytes = bytes;
    mapping->size = size_t(status.st_size);
  }
  close(descriptor);
  return mapping;
}

SafetensorsFile::SafetensorsFile() = default;
SafetensorsFile::SafetensorsFile(SafetensorsFile &&) = default;
SafetensorsFile &SafetensorsFile::operator=(SafetensorsFile &&) = default;
SafetensorsFile::~SafetensorsFile() = default;

/// Finds the header in a file's bytes.
static Result<std::string_view> findHeader(std::string_view file) {
  if (file.size() < lengthBytes)
    return Error{"has " + std::to_string(file.size()) +
                 " bytes, expected at least 8 for the length of the header"};
  uint64_t length = 0;
  for (unsigned i = 0; i < lengthBytes; ++i)
    length |= uint64_t(static_cast<unsigned char>(file[i])) << (8 * i);
  uint64_t limit =
      std::min<uint64_t>(file.size() - lengthBytes, maxHeaderBytes);
  if (length > limit)
    return Error{"header has " + std::to_string(length) +
                 " bytes, expected at most " + std::to_string(limit) +
                 (limit == maxHeaderBytes ? "" : ", the rest of the file")};
  std::string_view header = file.substr(lengthBytes, length);
  if (header.empty() || header.front() != '{')
    return Error{"header does not start with '{'"};
  // The JSON parser would take a zero byte for the end of the text.
  size_t zero = header.find('\0');
  if (zero != std::string_view::npos)
    return Error{"header has a zero byte at byte " + std::to_string(zero)};
  return header;
}

/// Checks that the tensors, which are sorted by offset, fit their types and
/// fill `dataBytes` bytes.
static Result<void> checkLayout(const std::vector<Header::Tensor> &tensors,
                                uint64_t dataBytes) {
  uint64_t position = 0;
  const Header::Tensor *previous = nullptr;
  for (const Header::Tensor &tensor : tensors) {
    std::string subject = "tensor '" + tensor.name + "' ";
    std::string offsets =
        listText(std::vector<uint64_t>{tensor.begin, tensor.end});
    if (tensor.begin > tensor.end || tensor.end > dataBytes)
      return Error{subject + "has data_offsets " + offsets +
                   ", expected an ascending pair up to " +
                   std::to_string(dataBytes)};
    std::string type =
        std::string(info(tensor.dtype).name) + " " + listText(tensor.shape);
    std::optional<size_t> bytes = byteSize(tensor.dtype, tensor.shape);
    if (!bytes)
      return Error{subject + "is " + type +
                   ", expected a size in whole bytes below 2^61"};
    if (*bytes != tensor.end - tensor.begin)
      return Error{subject + "has " +
                   std::to_string(tensor.end - tensor.begin) +
                   " bytes of data, expected " + std::to_string(*bytes) +
                   " for " + type};
    if (tensor.begin < position)
      return Error{subject + "with data_offsets " + offsets +
                   " overlaps tensor '" + previous->name + "', which ends at " +
                   std::to_string(position)};
    if (tensor.begin > position)
      return Error{subject + "starts at " + std::to_string(tensor.begin) +
                   ", expected " + std::to_string(position) +
                   ", where the data before it ends"};
    position = tensor.end;
    previous = &tensor;
  }
  if (position != dataBytes)
    return Error{"has " + std::to_string(dataBytes) +
                 " bytes of data, expected " + std::to_string(position) +
                 ", where the last tensor ends"};
  return {};
}

Result<SafetensorsFile> SafetensorsFile::open(const std::string &path) {
  return guarded(path, [&]() -> Result<SafetensorsFile> {
    Result<std::unique_ptr<Mapping>> mapping = Mapping::create(path);
    if (!mapping)
      return Error{mapping.error()};
    std::string_view text = (*mapping)->text();
    Result<std::string_view> headerText = findHeader(text);
    if (!headerText)
      return fileError(path, headerText.error());
    Result<Header> header = parseHeader(*headerText);
    if (!header)
      return fileError(path, header.error());

    std::vector<Header::Tensor> &tensors = header->tensors;
    std::sort(tensors.begin(), tensors.end(),
              [](const Header::Tensor &a, const Header::Tensor &b) {
                return std::tie(a.begin, a.end, a.name) <
                       std::tie(b.begin, b.end, b.name);
              });
    std::string_view data = text.substr(lengthBytes + headerText->size());
    Result<void> layout = checkLayout(tensors, data.size());
    if (!layout)
      return fileError(path, layout.error());

    SafetensorsFile file;
    file.filePath = path;
    file.views.reserve(tensors.size());
    for (Header::Tensor &tensor : tensors) {
      file.indices.emplace(tensor.name, file.views.size());
      file.views.push_back({std::move(tensor.name), tensor.dtype,
                            std::move(tensor.shape), data.data() + tensor.begin,
                            tensor.end - tensor.begin});
    }
    file.texts = std::move(header->metadata);
    file.mapping = std::move(*mapping);
    return file;
  });
}

const TensorView *SafetensorsFile::find(std::string_view name) const {
  auto found = indices.find(name);
  return found == indices.end() ? nullptr : &views[found->second];
}

//===----------------------------------------------------------------------===//
// Models
//===----------------------------------------------------------------------===//

static bool endsWith(const std::string &text, std::string_view end) {
  return text.size() >= end.size() &&
         text.compare(text.size() - end.size(), end.size(), end) == 0;
}

static Result<std::string> readText(const std::string &path) {
  std::FILE *file = std::fopen(path.c_str(), "rb");
  if (!file)
    return fileError(path, std::string("cannot open: ") + std::strerror(errno));
  std::string text;
  char buffer[1 << 16];
  size_t count;
  while (text.size() <= maxHeaderBytes &&
         (count = std::fread(buffer, 1, sizeof(buffer), file)) > 0)
    text.append(buffer, count);
  bool failed = std::ferror(file);
  std::fclose(file);
  if (failed)
    return fileError(path, "cannot read");
  if (text.size() > maxHeaderBytes)
    return fileError(path, "has more than " + std::to_string(maxHeaderBytes) +
                               " bytes, expected an index");
  return text;
}

/// Where a path that may be a directory leads to.
static std::string resolve(const std::string &path) {
  struct stat status;
  if (stat(path.c_str(), &status) != 0 || !S_ISDIR(status.st_mode))
    return path;
  std::string file = path + "/model.safetensors";
  std::string index = file + ".index.json";
  return access(file.c_str(), F_OK) != 0 && access(index.c_str(), F_OK) == 0
             ? index
             : file;
}

Result<SafetensorsModel> SafetensorsModel::open(const std::string &path) {
  return guarded(path, [&]() -> Result<SafetensorsModel> {
    SafetensorsModel model;
    model.path = resolve(path);
    size_t slash = model.path.rfind('/');
    size_t nameBegin = slash == std::string::npos ? 0 : slash + 1;
    model.directory = model.path.substr(0, nameBegin);
    if (!endsWith(model.path, ".json")) {
      std::string name = model.path.substr(nameBegin);
      Result<const SafetensorsFile *> file = model.openShard(name);
      if (!file)
        return Error{file.error()};
      for (const TensorView &tensor : (*file)->tensors())
        model.shardOf.emplace(tensor.name, name);
      return model;
    }
    Result<std::string> text = readText(model.path);
    if (!text)
      return Error{text.error()};
    auto index = parseIndex(*text);
    if (!index)
      return fileError(model.path, index.error());
    // An index from elsewhere may not reach outside its own directory.
    for (const auto &[tensor, shard] : *index)
      if (shard.empty() || shard == "." || shard == ".." ||
          shard.find('/') != std::string::npos ||
          shard.find('\0') != std::string::npos)
        return fileError(model.path, "index puts tensor '" + tensor +
                                         "' into '" + shard +
                                         "', expected a file beside it");
    model.shardOf = std::move(*index);
    return model;
  });
}

std::vector<std::string> SafetensorsModel::names() const {
  std::vector<std::string> names;
  names.reserve(shardOf.size());
  for (const auto &entry : shardOf)
    names.push_back(entry.first);
  return names;
}

Result<const SafetensorsFile *>
SafetensorsModel::openShard(const std::string &name) {
  std::unique_ptr<SafetensorsFile> &shard = shards[name];
  if (!shard) {
    Result<SafetensorsFile> file = SafetensorsFile::open(directory + name);
    if (!file) {
      shards.erase(name);
      return Error{file.error()};
    }
    shard = std::make_unique<SafetensorsFile>(std::move(*file));
  }
  return shard.get();
}

Result<const TensorView *> SafetensorsModel::find(std::string_view name) {
  return guarded(path, [&]() -> Result<const TensorView *> {
    auto entry = shardOf.find(name);
    if (entry == shardOf.end())
      return fileError(path, "has no tensor '" + std::string(name) + "'");
    Result<const SafetensorsFile *> shard = openShard(entry->second);
    if (!shard)
      return Error{shard.error()};
    const TensorView *tensor = (*shard)->find(name);
    if (!tensor)
      return fileError((*shard)->path(), "has no tensor '" + std::string(name) +
                                             "', expected by the index");
    return tensor;
  });
}

//===----------------------------------------------------------------------===//
// Writing
//===----------------------------------------------------------------------===//

/// Returns the error's text, or "".
static std::string findFault(const std::vector<TensorView> &tensors) {
  std::set<std::string_view> names;
  for (const TensorView &tensor : tensors) {
    std::string subject = "tensor '" + tensor.name + "' ";
    if (tensor.name == "__metadata__")
      return subject + "has a name that the format keeps for itself";
    if (!names.insert(tensor.name).second)
      return subject + "is given twice";
    std::optional<size_t> bytes = byteSize(tensor.dtype, tensor.shape);
    std::string type =
        std::string(info(tensor.dtype).name) + " " + listText(tensor.shape);
    if (!bytes)
      return subject + "is " + type +
             ", expected a size in whole bytes below 2^61";
    if (*bytes != tensor.bytes)
      return subject + "has " + std::to_string(tensor.bytes) +
             " bytes of data, expected " + std::to_string(*bytes) + " for " +
             type;
    if (*bytes > 0 && !tensor.data)
      return subject + "has null data, expected " + std::to_string(*bytes) +
             " bytes";
  }
  return "";
}

/// The header for tensors in the order of their data.
static Result<std::string>
makeHeader(const std::vector<const TensorView *> &tensors,
           const std::map<std::string, std::string> &metadata) {
  std::string header = "{";
  bool valid = true;
  auto add = [&](const std::string &text) {
    std::optional<std::string> quoted = quoteJSON(text);
    valid &= quoted.has_value();
    header += quoted.value_or("");
  };
  auto separate = [&] {
    if (header.back() != '{')
      header += ",";
  };
  if (!metadata.empty()) {
    header += "\"__metadata__\":{";
    for (const auto &[key, value] : metadata) {
      separate();
      add(key);
      header += ":";
      add(value);
    }
    header += "}";
  }
  uint64_t position = 0;
  for (const TensorView *tensor : tensors) {
    separate();
    add(tensor->name);
    uint64_t end = position + tensor->bytes;
    header += ":{\"dtype\":\"" + std::string(info(tensor->dtype).name) +
              "\",\"shape\":" + listText(tensor->shape) + ",\"data_offsets\":" +
              listText(std::vector<uint64_t>{position, end}) + "}";
    position = end;
  }
  header += "}";
  if (!valid)
    return Error{"a name or a metadata text is not UTF-8"};
  // Spaces bring the data to a multiple of 8 bytes in the file.
  header.append((8 - header.size() % 8) % 8, ' ');
  if (header.size() > maxHeaderBytes)
    return Error{"header would have " + std::to_string(header.size()) +
                 " bytes, expected at most " + std::to_string(maxHeaderBytes)};
  return header;
}

Result<void>
moert::writeSafetensors(const std::string &path,
                        const std::vector<TensorView> &tensors,
                        const std::map<std::string, std::string> &metadata) {
  return guarded(path, [&]() -> Result<void> {
    std::string fault = findFault(tensors);
    if (!fault.empty())
      return fileError(path, fault);
    std::vector<const TensorView *> ordered;
    for (const TensorView &tensor : tensors)
      ordered.push_back(&tensor);
    // Large elements first: every tensor then starts aligned.
    std::sort(ordered.begin(), ordered.end(),
              [](const TensorView *a, const TensorView *b) {
                unsigned bitsA = info(a->dtype).bits;
                unsigned bitsB = info(b->dtype).bits;
                return bitsA != bitsB ? bitsA > bitsB : a->name < b->name;
              });
    Result<std::string> header = makeHeader(ordered, metadata);
    if (!header)
      return fileError(path, header.error());

    AtomicFile file(path);
    char length[lengthBytes];
    for (unsigned i = 0; i < lengthBytes; ++i)
      length[i] = char(uint64_t(header->size()) >> (8 * i));
    file.write(length, lengthBytes);
    file.write(*header);
    for (const TensorView *tensor : ordered)
      file.write(tensor->data, tensor->bytes);
    std::string error = file.commit();
    if (!error.empty())
      return Error{error};
    return {};
  });
}
