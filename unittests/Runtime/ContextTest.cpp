//===- ContextTest.cpp - Contexts and exported symbols --------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Support.h"

#include <atomic>
#include <dlfcn.h>

using namespace moert::test;

namespace {

int64_t numThreadsOfProcess() {
  std::filesystem::directory_iterator tasks("/proc/self/task");
  return std::distance(begin(tasks), end(tasks));
}

TEST(ContextTest, HasInitialOptions) {
  moert_context_options options;
  moert_context_options_init(&options);
  EXPECT_EQ(options.abi, MOERT_ABI_VERSION);
  EXPECT_EQ(options.num_threads, 0);
  EXPECT_EQ(options.rank, 0);
  EXPECT_EQ(options.num_ranks, 1);
  EXPECT_EQ(options.device_type, kDLCPU);
  EXPECT_EQ(options.device_id, 0);
  moert_context *context = nullptr;
  EXPECT_EQ(moert_context_create(nullptr, &context), MOERT_SUCCESS);
  EXPECT_EQ(moert_context_synchronize(context), MOERT_SUCCESS);
  EXPECT_STREQ(moert_last_error(context), "");
  moert_context_destroy(context);
  moert_context_destroy(nullptr);
}

TEST(ContextTest, RefusesBadOptions) {
  struct Case {
    moert_context_options options;
    const char *message;
  };
  const Case cases[] = {
      {{99, 0, 0, 1, 1, 0},
       "the context's options have ABI version 99, expected 7"},
      {{MOERT_ABI_VERSION, -1, 0, 1, 1, 0},
       "num_threads is -1, expected 0 to 1024"},
      {{MOERT_ABI_VERSION, 5000, 0, 1, 1, 0},
       "num_threads is 5000, expected 0 to 1024"},
      {{MOERT_ABI_VERSION, 1, 0, 0, 1, 0},
       "num_ranks is 0, expected at least 1"},
      {{MOERT_ABI_VERSION, 1, 4, 4, 1, 0}, "rank is 4, expected 0 to 3"},
      {{MOERT_ABI_VERSION, 1, -1, 4, 1, 0}, "rank is -1, expected 0 to 3"},
      {{MOERT_ABI_VERSION, 1, 0, 1, 0, 0},
       "device_type is 0, expected 1 (cpu) or 2 (cuda)"},
      {{MOERT_ABI_VERSION, 1, 0, 1, 10, 0},
       "device_type is 10, expected 1 (cpu) or 2 (cuda)"},
      {{MOERT_ABI_VERSION, 1, 0, 1, 1, 1},
       "device_id is 1, expected 0 on the cpu"},
      {{MOERT_ABI_VERSION, 1, 0, 1, 2, -1},
       "device_id is -1, expected 0 or more"}};
  for (const Case &test : cases) {
    int nothing = 0;
    auto *context = reinterpret_cast<moert_context *>(&nothing);
    EXPECT_EQ(moert_context_create(&test.options, &context),
              MOERT_INVALID_ARGUMENT);
    EXPECT_EQ(context, nullptr);
    EXPECT_STREQ(moert_last_error(nullptr), test.message);
  }
  EXPECT_EQ(moert_context_create(nullptr, nullptr), MOERT_INVALID_ARGUMENT);
  EXPECT_STREQ(moert_last_error(nullptr), "the place for the context is null");
}

TEST(ContextTest, NullContextIsAnError) {
  EXPECT_EQ(moert_context_synchronize(nullptr), MOERT_INVALID_ARGUMENT);
  EXPECT_STREQ(moert_last_error(nullptr), "the context is null");
  EXPECT_EQ(moert_trace_start(nullptr), MOERT_INVALID_ARGUMENT);
}

TEST(ContextTest, LeaksNoThreads) {
  // Sanitizers start threads of their own with the first thread.
  makeContext(2);
  int64_t before = numThreadsOfProcess();
  for (int i = 0; i < 200; ++i) {
    ContextPointer context = makeContext(3);
    // Two helpers, a worker for compute and one for aux.
    ASSERT_EQ(numThreadsOfProcess(), before + 4);
    moert_call call = makeCall(context.get());
    moert_event_record(&call, MOERT_STREAM_COMM + i % 4);
    ASSERT_EQ(numThreadsOfProcess(), before + 5);
  }
  EXPECT_EQ(numThreadsOfProcess(), before);
}

TEST(ContextTest, DestroyWaitsForAllStreams) {
  std::atomic<int> done{0};
  auto slow = [&](int64_t) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    ++done;
  };
  {
    ContextPointer context = makeContext(1);
    moert_call call = makeCall(context.get());
    for (int32_t stream :
         {MOERT_STREAM_COMPUTE, MOERT_STREAM_AUX, MOERT_STREAM_COMM})
      launch(call, stream, 1, slow);
  }
  EXPECT_EQ(done, 3);
}

TEST(ContextTest, StatusNames) {
  EXPECT_STREQ(moert_status_name(MOERT_SUCCESS), "MOERT_SUCCESS");
  EXPECT_STREQ(moert_status_name(MOERT_INVALID_ARGUMENT),
               "MOERT_INVALID_ARGUMENT");
  EXPECT_STREQ(moert_status_name(MOERT_OUT_OF_MEMORY), "MOERT_OUT_OF_MEMORY");
  EXPECT_STREQ(moert_status_name(MOERT_UNSUPPORTED), "MOERT_UNSUPPORTED");
  EXPECT_STREQ(moert_status_name(MOERT_IO_ERROR), "MOERT_IO_ERROR");
  EXPECT_STREQ(moert_status_name(MOERT_INTERNAL), "MOERT_INTERNAL");
}

// Artefacts find the functions of the table by name, and nothing else of the
// library can get in their way.
TEST(ContextTest, ExportsTheTableAlone) {
#define MOERT_FUNCTION(name, result, parameters)                               \
  EXPECT_EQ(dlsym(RTLD_DEFAULT, #name), reinterpret_cast<void *>(&name));
#include "moert/RuntimeFunctions.def"
  void *library = dlopen("libmoert.so.0", RTLD_NOW | RTLD_NOLOAD);
  ASSERT_NE(library, nullptr) << dlerror();
  EXPECT_NE(dlsym(library, "moert_context_create"), nullptr);
  // moert::threadError()
  EXPECT_EQ(dlsym(library, "_ZN5moert11threadErrorB5cxx11Ev"), nullptr);
  dlclose(library);
}

} // namespace
