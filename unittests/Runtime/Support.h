//===- Support.h - What the runtime's tests share ---------------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOERT_UNITTESTS_SUPPORT_H
#define MOERT_UNITTESTS_SUPPORT_H

#include "moert/GeneratedCode.h"
#include "moert/moert.h"

#include <chrono>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <iterator>
#include <memory>
#include <stdlib.h>
#include <string>
#include <thread>

namespace moert::test {

struct ContextDeleter {
  void operator()(moert_context *context) const {
    moert_context_destroy(context);
  }
};
using ContextPointer = std::unique_ptr<moert_context, ContextDeleter>;

inline ContextPointer makeContext(int32_t numThreads, int32_t rank = 0,
                                  int32_t numRanks = 1) {
  moert_context_options options;
  moert_context_options_init(&options);
  options.num_threads = numThreads;
  options.rank = rank;
  options.num_ranks = numRanks;
  moert_context *context = nullptr;
  EXPECT_EQ(moert_context_create(&options, &context), MOERT_SUCCESS)
      << moert_last_error(nullptr);
  return ContextPointer(context);
}

/// A call without tensors, enough for the functions of generated code.
inline moert_call makeCall(moert_context *context) {
  moert_call call{};
  call.abi = MOERT_ABI_VERSION;
  call.context = context;
  return call;
}

/// Launches `body(block)`, which must live until it is complete.
template <typename Body>
void launch(const moert_call &call, int32_t stream, int64_t grid, Body &body,
            const char *label = "test") {
  void (*kernel)(const void *, int64_t) = [](const void *arguments,
                                             int64_t block) {
    Body *body;
    std::memcpy(&body, arguments, sizeof(body));
    (*body)(block);
  };
  Body *argument = &body;
  moert_launch(&call, stream, reinterpret_cast<const void *>(kernel), label,
               &argument, sizeof(argument), grid);
}

/// Waits for a condition, but not for ever: a test that would hang fails.
template <typename Condition> bool eventually(Condition condition) {
  auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (!condition()) {
    if (std::chrono::steady_clock::now() > end)
      return false;
    std::this_thread::yield();
  }
  return true;
}

/// A directory that goes with the test.
class TemporaryDirectory {
public:
  TemporaryDirectory() {
    std::string pattern = testing::TempDir() + "moertXXXXXX";
    path = mkdtemp(pattern.data());
  }
  ~TemporaryDirectory() { std::filesystem::remove_all(path); }

  std::string file(const std::string &name) const { return path + "/" + name; }

  std::string write(const std::string &name, const std::string &bytes) const {
    std::ofstream(file(name), std::ios::binary) << bytes;
    return file(name);
  }

  static std::string read(const std::string &path) {
    std::ifstream stream(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(stream), {}};
  }

  size_t numFiles() const {
    std::filesystem::directory_iterator files(path);
    return size_t(std::distance(begin(files), end(files)));
  }

  std::string path;
};

} // namespace moert::test

#endif // MOERT_UNITTESTS_SUPPORT_H
