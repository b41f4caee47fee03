//===- AtomicFile.cpp - A file that appears whole or not at all -----------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "AtomicFile.h"

#include <atomic>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <unistd.h>

using namespace moert;

AtomicFile::AtomicFile(std::string target) : path(std::move(target)) {
  static std::atomic<unsigned> counter{0};
  temporary = path + ".tmp." + std::to_string(getpid()) + "." +
              std::to_string(counter.fetch_add(1));
  // The rights are those of a file that is created in place.
  int descriptor =
      open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  if (descriptor < 0) {
    fail("create");
    return;
  }
  file = fdopen(descriptor, "wb");
  if (!file) {
    fail("create");
    close(descriptor);
    unlink(temporary.c_str());
  }
}

AtomicFile::~AtomicFile() {
  if (!file)
    return;
  std::fclose(file);
  unlink(temporary.c_str());
}

void AtomicFile::fail(const char *what) {
  if (error.empty())
    error = std::string("cannot ") + what + " '" + path +
            "': " + std::strerror(errno);
}

void AtomicFile::write(const void *data, size_t bytes) {
  if (!file || bytes == 0 || !error.empty())
    return;
  if (std::fwrite(data, 1, bytes, file) != bytes)
    fail("write");
}

std::string AtomicFile::commit() {
  if (!file)
    return error;
  if (std::fclose(file) != 0)
    fail("write");
  file = nullptr;
  if (error.empty() && std::rename(temporary.c_str(), path.c_str()) != 0)
    fail("write");
  if (!error.empty())
    unlink(temporary.c_str());
  return error;
}
