//===- Cache.cpp - Compiled layers that are kept for the next time --------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moe-mlir/Artefact/Cache.h"

#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/BLAKE3.h"
#include "llvm/Support/Chrono.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/Path.h"

#include <vector>

using namespace llvm;
using namespace moe;

/// Files of the cache end with it; while one is written, more follows.
static constexpr StringLiteral kSuffix = ".moe-cache";

struct Cache::File {
  std::string path;
  uint64_t bytes;
  sys::TimePoint<> lastUse;
};

/// How a file begins: with what shows damage in the bytes after it.
static std::string makeHeader(StringRef bytes) {
  return "moe-cache 1\n" + std::to_string(bytes.size()) + "\n" +
         toHex(BLAKE3::hash<32>(arrayRefFromStringRef(bytes)),
               /*LowerCase=*/true) +
         "\n";
}

std::string Cache::getPath(StringRef key) const {
  SmallString<128> path(folder);
  sys::path::append(path, key + kSuffix);
  return path.str().str();
}

/// Notes the time, so that what is used stays for longer than what is not.
static void touch(StringRef path) {
  int file;
  if (sys::fs::openFileForWrite(path, file, sys::fs::CD_OpenExisting,
                                sys::fs::OF_Append))
    return;
  auto now = std::chrono::system_clock::now();
  (void)sys::fs::setLastAccessAndModificationTime(file, now, now);
  sys::fs::file_t handle = sys::fs::convertFDToNativeFile(file);
  (void)sys::fs::closeFile(handle);
}

Cache::Entry Cache::load(StringRef key) const {
  const std::string path = getPath(key);
  // Not mapped: nobody promises that the file stays as long as it is.
  auto file = MemoryBuffer::getFile(path, /*IsText=*/false,
                                    /*RequiresNullTerminator=*/false,
                                    /*IsVolatile=*/true);
  if (!file)
    return {};
  // A header is three lines.
  StringRef bytes = (*file)->getBuffer();
  for (int line = 0; line < 3; ++line)
    bytes = bytes.split('\n').second;
  if (makeHeader(bytes) + bytes.str() != (*file)->getBuffer())
    return {Status::Damaged};
  touch(path);
  return {Status::Found, bytes.str()};
}

Error Cache::store(StringRef key, StringRef bytes) const {
  auto fail = [&](const Twine &reason) {
    return createStringError("cannot write to the cache '" + folder +
                             "': " + reason);
  };
  if (std::error_code code = sys::fs::create_directories(folder))
    return fail(code.message());
  const std::string path = getPath(key);
  if (Error error = writeFile(path, makeHeader(bytes) + bytes.str()))
    return fail(toString(std::move(error)));
  prune(path);
  return Error::success();
}

Expected<std::vector<Cache::File>> Cache::listFiles() const {
  std::vector<File> files;
  std::error_code code;
  for (sys::fs::directory_iterator entry(folder, code), end;
       entry != end && !code; entry.increment(code)) {
    auto [key, rest] = sys::path::filename(entry->path()).split('.');
    if (("." + rest).str().compare(0, kSuffix.size(), kSuffix) != 0 ||
        !all_of(key, isHexDigit))
      continue;
    // Another process may have removed it by now.
    if (ErrorOr<sys::fs::basic_file_status> status = entry->status();
        status && status->type() == sys::fs::file_type::regular_file)
      files.push_back({entry->path(), status->getSize(),
                       status->getLastModificationTime()});
  }
  if (code && code != std::errc::no_such_file_or_directory)
    return createStringError("cannot read the cache '" + folder +
                             "': " + code.message());
  return files;
}

void Cache::prune(StringRef kept) const {
  Expected<std::vector<File>> files = listFiles();
  if (!files)
    return consumeError(files.takeError());
  uint64_t bytes = 0;
  for (const File &file : *files)
    bytes += file.bytes;
  sort(*files,
       [](const File &a, const File &b) { return a.lastUse < b.lastUse; });
  for (const File &file : *files)
    if (bytes > mostBytes && file.path != kept && !sys::fs::remove(file.path))
      bytes -= file.bytes;
}

Expected<Cache::Removed> Cache::clear() const {
  Expected<std::vector<File>> files = listFiles();
  if (!files)
    return files.takeError();
  Removed removed;
  for (const File &file : *files) {
    if (std::error_code code =
            sys::fs::remove(file.path, /*IgnoreNonExisting=*/false)) {
      if (code == std::errc::no_such_file_or_directory)
        continue;
      return createStringError("cannot remove '" + file.path +
                               "': " + code.message());
    }
    ++removed.files;
    removed.bytes += file.bytes;
  }
  return removed;
}
