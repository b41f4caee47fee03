//===- AtomicFile.h - A file that appears whole or not at all ---*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOERT_COMMON_ATOMICFILE_H
#define MOERT_COMMON_ATOMICFILE_H

#include <cstddef>
#include <cstdio>
#include <string>

namespace moert {

/// Writes to a temporary file beside the target and renames it at the end, so
/// that no reader and no failure ever sees half a file.
class AtomicFile {
public:
  explicit AtomicFile(std::string path);
  AtomicFile(const AtomicFile &) = delete;
  AtomicFile &operator=(const AtomicFile &) = delete;
  /// Removes the temporary file, if it is still there.
  ~AtomicFile();

  /// Appends. Failures are kept for `commit`.
  void write(const void *data, size_t bytes);
  void write(const std::string &text) { write(text.data(), text.size()); }

  /// Puts the file in its place; returns the error's text, or "".
  std::string commit();

private:
  void fail(const char *what);

  std::string path;
  std::string temporary;
  std::string error;
  std::FILE *file = nullptr;
};

} // namespace moert

#endif // MOERT_COMMON_ATOMICFILE_H
