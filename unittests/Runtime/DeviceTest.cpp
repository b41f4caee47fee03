//===- DeviceTest.cpp - Devices: memory, and what a CPU lacks -------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Support.h"

#include <algorithm>
#include <dlfcn.h>
#include <vector>

using namespace moert::test;

namespace {

class DeviceTest : public testing::Test {
protected:
  ContextPointer context = makeContext(2);
  moert_call call = makeCall(context.get());

  void expectRefusal(moert_status found, const char *message,
                     moert_status expected = MOERT_INVALID_ARGUMENT) {
    EXPECT_EQ(found, expected);
    EXPECT_STREQ(moert_last_error(context.get()), message);
  }
  void synchronize() {
    EXPECT_EQ(moert_context_synchronize(context.get()), MOERT_SUCCESS);
  }
};

TEST_F(DeviceTest, AllocatesAlignedMemory) {
  for (size_t bytes : {size_t(0), size_t(1), size_t(4096), size_t(100'000)}) {
    void *memory = nullptr;
    ASSERT_EQ(moert_memory_allocate(context.get(), bytes, &memory),
              MOERT_SUCCESS);
    ASSERT_NE(memory, nullptr);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(memory) % 256, 0u);
    std::memset(memory, 1, bytes);
    EXPECT_EQ(moert_memory_free(context.get(), memory), MOERT_SUCCESS);
  }
  EXPECT_EQ(moert_memory_free(context.get(), nullptr), MOERT_SUCCESS);
}

TEST_F(DeviceTest, RefusesMemoryThatNobodyHas) {
  int nothing = 0;
  void *memory = &nothing;
  expectRefusal(moert_memory_allocate(context.get(), SIZE_MAX, &memory),
                "cpu: cannot allocate 18446744073709551615 bytes",
                MOERT_OUT_OF_MEMORY);
  EXPECT_EQ(memory, nullptr);
}

// Sizes around those of the pieces that threads work on.
TEST_F(DeviceTest, CopiesAndFillsInOrder) {
  for (size_t bytes : {size_t(1), size_t(1) << 20, (size_t(3) << 20) + 5}) {
    std::vector<unsigned char> from(bytes), to(bytes + 1, 7);
    for (size_t i = 0; i < bytes; ++i)
      from[i] = static_cast<unsigned char>(i * 31 + (i >> 13));
    const std::vector<unsigned char> expected = from;
    void *memory = nullptr;
    ASSERT_EQ(moert_memory_allocate(context.get(), bytes, &memory),
              MOERT_SUCCESS);
    moert_memory_copy(context.get(), nullptr, memory, from.data(), bytes,
                      MOERT_COPY_TO_DEVICE);
    moert_memory_fill(context.get(), nullptr, from.data(), 0xab, bytes);
    moert_memory_copy(context.get(), nullptr, to.data(), memory, bytes,
                      MOERT_COPY_TO_HOST);
    synchronize();
    EXPECT_TRUE(std::equal(expected.begin(), expected.end(), to.begin()));
    EXPECT_EQ(to.back(), 7);
    EXPECT_EQ(std::count(from.begin(), from.end(), 0xab), ptrdiff_t(bytes));
    moert_memory_free(context.get(), memory);
  }
}

// Filling comes before what a call enqueues afterwards.
TEST_F(DeviceTest, FillsBeforeLaterLaunches) {
  std::vector<int> values(1 << 20);
  int64_t wrong = -1;
  auto check = [&](int64_t) {
    wrong = int64_t(values.size()) -
            std::count(values.begin(), values.end(), 0x01010101);
  };
  moert_memory_fill(context.get(), nullptr, values.data(), 1,
                    values.size() * sizeof(int));
  launch(call, MOERT_STREAM_COMPUTE, 1, check);
  synchronize();
  EXPECT_EQ(wrong, 0);
}

TEST_F(DeviceTest, RefusesBadRanges) {
  char bytes[4];
  moert_context *c = context.get();
  expectRefusal(moert_memory_allocate(c, 4, nullptr),
                "the place for the memory is null");
  expectRefusal(
      moert_memory_copy(c, nullptr, nullptr, bytes, 4, MOERT_COPY_TO_HOST),
      "where to copy to is null");
  expectRefusal(
      moert_memory_copy(c, nullptr, bytes, nullptr, 4, MOERT_COPY_TO_HOST),
      "what is copied is null");
  expectRefusal(
      moert_memory_copy(c, nullptr, bytes, bytes, 4, moert_copy_kind(3)),
      "the kind of copy is 3, expected 0 to 2");
  expectRefusal(
      moert_memory_copy(c, bytes, bytes, bytes, 4, MOERT_COPY_TO_HOST),
      "the stream is not null, expected null on the cpu");
  expectRefusal(moert_memory_fill(c, nullptr, nullptr, 0, 4),
                "the memory to fill is null");
  expectRefusal(moert_memory_fill(c, bytes, bytes, 0, 4),
                "the stream is not null, expected null on the cpu");
  EXPECT_EQ(
      moert_memory_copy(c, nullptr, nullptr, nullptr, 0, MOERT_COPY_TO_HOST),
      MOERT_SUCCESS);
  EXPECT_EQ(moert_memory_fill(c, nullptr, nullptr, 0, 0), MOERT_SUCCESS);
  EXPECT_EQ(moert_memory_allocate(nullptr, 4, nullptr), MOERT_INVALID_ARGUMENT);
}

TEST_F(DeviceTest, HasOneStream) {
  int nothing = 0;
  void *stream = &nothing;
  EXPECT_EQ(moert_stream_create(context.get(), &stream), MOERT_SUCCESS);
  EXPECT_EQ(stream, nullptr);
  EXPECT_EQ(moert_stream_destroy(context.get(), stream), MOERT_SUCCESS);
  expectRefusal(moert_stream_destroy(context.get(), &nothing),
                "the stream is not null, expected null on the cpu");
}

TEST_F(DeviceTest, RefusesWhatACPULacks) {
  const char *graphs = "this context runs on the cpu, which has no graphs";
  const char *clock =
      "this context runs on the cpu, which has no clock of its own";
  moert_context *c = context.get();
  moert_graph *graph = nullptr;
  int64_t nanoseconds;
  expectRefusal(moert_capture_begin(c, nullptr), graphs, MOERT_UNSUPPORTED);
  expectRefusal(moert_capture_end(c, nullptr, &graph), graphs,
                MOERT_UNSUPPORTED);
  EXPECT_EQ(graph, nullptr);
  expectRefusal(moert_graph_launch(c, nullptr, nullptr), "the graph is null");
  EXPECT_EQ(moert_graph_destroy(c, nullptr), MOERT_SUCCESS);
  expectRefusal(moert_mark(c, nullptr, 0), clock, MOERT_UNSUPPORTED);
  expectRefusal(moert_mark_elapsed(c, 0, 1, &nanoseconds), clock,
                MOERT_UNSUPPORTED);
}

// Code for a GPU that was given to a context of the CPU ends in an error of the
// call, and later launches are dropped.
TEST_F(DeviceTest, RefusesGeneratedCodeForGPUs) {
  moert_gpu_module module{MOERT_ABI_VERSION, 0, nullptr, "sm_90a", "", 1};
  auto expectEnd = [&](const char *message) {
    expectRefusal(moert_call_end(&call), message, MOERT_UNSUPPORTED);
  };
  EXPECT_EQ(moert_kernel(&call, &module, 0), nullptr);
  expectEnd("this context runs on the cpu, which has no kernels for a GPU");
  int64_t size = 8;
  EXPECT_EQ(
      moert_tensor_map(&call, &size, kDLFloat << 8 | 32, 1, &size, &size, 0),
      nullptr);
  expectEnd("this context runs on the cpu, which has no tensor maps");
  moert_launch_gpu(&call, MOERT_STREAM_COMPUTE, &module, "gate", nullptr, 1,
                   128, 0, 1, 0);
  int ran = 0;
  auto body = [&](int64_t) { ++ran; };
  launch(call, MOERT_STREAM_COMPUTE, 1, body);
  expectEnd("this context runs on the cpu, which has no launches of kernels "
            "for a GPU");
  EXPECT_EQ(ran, 0);
}

// Where the machine has a driver, the tests of CUDA say more.
TEST_F(DeviceTest, SaysWhatCUDANeeds) {
  if (void *driver = dlopen("libcuda.so.1", RTLD_NOW)) {
    dlclose(driver);
    GTEST_SKIP() << "this machine has an NVIDIA driver";
  }
  moert_context_options options;
  moert_context_options_init(&options);
  options.device_type = kDLCUDA;
  options.device_id = 3;
  int nothing = 0;
  auto *created = reinterpret_cast<moert_context *>(&nothing);
  EXPECT_EQ(moert_context_create(&options, &created), MOERT_UNSUPPORTED);
  EXPECT_EQ(created, nullptr);
  const std::string message = moert_last_error(nullptr);
  EXPECT_EQ(message.find(EXPECTED_CUDA_ERROR), 0u) << message;
}

} // namespace
