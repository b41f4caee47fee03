//===- CUDAToolTest.cpp - Traces, memory and marks on a GPU ---------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "CUDAFixture.h"

#include <numeric>

using namespace moert::test;

namespace {

//===----------------------------------------------------------------------===//
// Traces
//===----------------------------------------------------------------------===//

class CUDATraceTest : public CUDATest {
protected:
  void start() { expectSuccess(moert_trace_start(context.get())); }

  std::vector<moert_trace_span> spans() {
    const moert_trace_span *first = nullptr;
    int64_t count = 0;
    expectSuccess(moert_trace_spans(context.get(), &first, &count));
    return {first, first + count};
  }
};

constexpr int64_t millisecond = 1'000'000;

TEST_F(CUDATraceTest, HasOneTimeForAllStreams) {
  expectSuccess(makeFakeCall().run());
  EXPECT_TRUE(spans().empty());
  fake.now = 10;
  start();
  fake.now = 12;
  expectSuccess(makeFakeCall().run());
  expectSuccess(moert_trace_stop(context.get()));
  expectSuccess(makeFakeCall().run());

  std::vector<moert_trace_span> found = spans();
  ASSERT_EQ(found.size(), 4u);
  struct Expected {
    const char *label;
    int32_t stream;
    int64_t begin;
  };
  // Each takes a millisecond; shared and experts begin together.
  const Expected expected[] = {{"gate", MOERT_STREAM_COMPUTE, 2},
                               {"shared", MOERT_STREAM_AUX, 3},
                               {"experts", MOERT_STREAM_COMPUTE, 3},
                               {"merge", MOERT_STREAM_COMPUTE, 4}};
  for (int i = 0; i < 4; ++i) {
    EXPECT_STREQ(found[i].label, expected[i].label);
    EXPECT_EQ(found[i].stream, expected[i].stream);
    EXPECT_EQ(found[i].begin_ns, expected[i].begin * millisecond);
    EXPECT_EQ(found[i].end_ns, (expected[i].begin + 1) * millisecond);
  }
  EXPECT_EQ(moert_trace_dropped(context.get()), 0);
}

// The driver measures in float: an hour after the start a nanosecond would be
// lost, had the times one origin only.
TEST_F(CUDATraceTest, LongTracesStayExact) {
  start();
  fake.launchTime = 0.25;
  for (int i = 0; i < 3; ++i) {
    // Between them 30 s in small steps, as work would come.
    for (int step = 0; step < 300; ++step) {
      fake.now += 100;
      FakeCall call = makeFakeCall();
      expectSuccess(call.begin());
      call.launch(MOERT_STREAM_COMPUTE, Gate);
      expectSuccess(call.end());
    }
  }
  std::vector<moert_trace_span> found = spans();
  ASSERT_EQ(found.size(), 900u);
  for (int64_t i = 0; i < 900; ++i) {
    ASSERT_EQ(found[i].begin_ns, (i + 1) * 100 * millisecond);
    ASSERT_EQ(found[i].end_ns - found[i].begin_ns, millisecond / 4);
  }
}

TEST_F(CUDATraceTest, LeavesOutWhatIsNotComplete) {
  start();
  expectSuccess(makeFakeCall().run());
  fake.isBusy = true;
  EXPECT_TRUE(spans().empty());
  fake.isBusy = false;
  EXPECT_EQ(spans().size(), 4u);
  EXPECT_EQ(spans().size(), 4u) << "reading takes nothing away";
}

TEST_F(CUDATraceTest, StartForgets) {
  start();
  expectSuccess(makeFakeCall().run());
  start();
  EXPECT_TRUE(spans().empty());
  expectSuccess(makeFakeCall().run());
  EXPECT_EQ(spans().size(), 4u);
}

// Events are used again once they were read, and bounded while nothing can be.
TEST_F(CUDATraceTest, IsBounded) {
  start();
  fake.isBusy = true;
  fake.calls.clear();
  FakeCall call = makeFakeCall();
  auto launch = [&](int64_t count) {
    expectSuccess(call.begin());
    for (int64_t i = 0; i < count; ++i)
      call.launch(MOERT_STREAM_COMPUTE, Gate);
    expectSuccess(call.end());
  };
  constexpr int64_t most = 1 << 14;
  launch(most + 10);
  EXPECT_EQ(fake.calls["cuEventCreate"], 2 * most);
  EXPECT_EQ(moert_trace_dropped(context.get()), 10);
  fake.isBusy = false;
  launch(most);
  EXPECT_EQ(fake.calls["cuEventCreate"], 2 * most);
  EXPECT_EQ(moert_trace_dropped(context.get()), 10);
  EXPECT_EQ(spans().size(), size_t(2 * most));
}

TEST_F(CUDATraceTest, CapturesLeaveNoSpans) {
  start();
  moert_graph *graph = nullptr;
  expectSuccess(moert_capture_begin(context.get(), stream));
  expectSuccess(makeFakeCall().run());
  expectSuccess(moert_capture_end(context.get(), stream, &graph));
  EXPECT_TRUE(spans().empty());
  expectSuccess(moert_graph_destroy(context.get(), graph));
  expectSuccess(makeFakeCall().run());
  EXPECT_EQ(spans().size(), 4u);
}

TEST_F(CUDATraceTest, FailedLaunchesEndTheirSpans) {
  start();
  fake.failures["cuLaunchKernelEx"] = CUDA_ERROR_INVALID_VALUE;
  EXPECT_EQ(makeFakeCall().run(), MOERT_INTERNAL);
  fake.failures.clear();
  expectSuccess(makeFakeCall().run());
  EXPECT_EQ(spans().size(), 5u);
}

TEST_F(CUDATraceTest, WritesTheStreamsThatThereAre) {
  TemporaryDirectory directory;
  start();
  expectSuccess(makeFakeCall().run());
  expectSuccess(
      moert_trace_write(context.get(), directory.file("t.json").c_str()));
  std::string text = TemporaryDirectory::read(directory.file("t.json"));
  EXPECT_NE(text.find("\"compute\""), std::string::npos);
  EXPECT_NE(text.find("\"aux\""), std::string::npos);
  EXPECT_EQ(text.find("\"comm 0\""), std::string::npos);
}

//===----------------------------------------------------------------------===//
// Memory
//===----------------------------------------------------------------------===//

using CUDAMemoryTest = CUDATest;

TEST_F(CUDAMemoryTest, CopiesAndFills) {
  std::vector<int> from(1000), to(1000);
  std::iota(from.begin(), from.end(), 0);
  const size_t bytes = from.size() * sizeof(int);
  void *first = nullptr, *second = nullptr;
  expectSuccess(moert_memory_allocate(context.get(), bytes, &first));
  expectSuccess(moert_memory_allocate(context.get(), bytes, &second));
  moert_context *c = context.get();
  expectSuccess(moert_memory_copy(c, stream, first, from.data(), bytes,
                                  MOERT_COPY_TO_DEVICE));
  expectSuccess(
      moert_memory_copy(c, stream, second, first, bytes, MOERT_COPY_ON_DEVICE));
  expectSuccess(moert_memory_fill(c, stream, first, 0xff, bytes));
  expectSuccess(moert_memory_copy(c, stream, to.data(), second, bytes,
                                  MOERT_COPY_TO_HOST));
  expectSuccess(moert_context_synchronize(c));
  EXPECT_EQ(to, from);
  expectSuccess(moert_memory_copy(c, stream, to.data(), first, bytes,
                                  MOERT_COPY_TO_HOST));
  EXPECT_EQ(to, std::vector<int>(1000, -1));
  for (const char *name :
       {"cuMemcpyHtoDAsync", "cuMemcpyDtoDAsync", "cuMemsetD8Async"})
    EXPECT_EQ(fake.calls[name], 1) << name;
  expectSuccess(moert_memory_free(c, first));
  expectSuccess(moert_memory_free(c, second));
}

TEST_F(CUDAMemoryTest, TellsHowMuchIsLeft) {
  fake.freeBytes = 1000;
  void *memory = nullptr;
  expectError(moert_memory_allocate(context.get(), 1001, &memory),
              MOERT_OUT_OF_MEMORY,
              "cuda:0: cannot allocate 1001 bytes, 1000 of 1073741824 are "
              "free: CUDA_ERROR_OUT_OF_MEMORY (in words)");
  EXPECT_EQ(memory, nullptr);
}

TEST_F(CUDAMemoryTest, TellsOfFailures) {
  int value = 0;
  for (const char *name : {"cuMemcpyDtoHAsync", "cuMemsetD8Async"})
    fake.failures[name] = CUDA_ERROR_ILLEGAL_ADDRESS;
  expectError(moert_memory_copy(context.get(), stream, &value, &value, 4,
                                MOERT_COPY_TO_HOST),
              MOERT_INTERNAL,
              "cuda:0: cannot copy 4 bytes: CUDA_ERROR_ILLEGAL_ADDRESS (in "
              "words)");
  expectError(moert_memory_fill(context.get(), stream, &value, 0, 4),
              MOERT_INTERNAL,
              "cuda:0: cannot fill 4 bytes: CUDA_ERROR_ILLEGAL_ADDRESS (in "
              "words)");
}

//===----------------------------------------------------------------------===//
// Marks
//===----------------------------------------------------------------------===//

TEST_F(CUDAMemoryTest, MarksMeasure) {
  moert_context *c = context.get();
  int64_t nanoseconds = 0;
  expectSuccess(moert_mark(c, stream, 3));
  expectSuccess(makeFakeCall().run());
  expectSuccess(moert_mark(c, stream, 0));
  expectSuccess(moert_mark_elapsed(c, 3, 0, &nanoseconds));
  EXPECT_EQ(nanoseconds, 3 * millisecond);
  expectSuccess(moert_mark_elapsed(c, 0, 3, &nanoseconds));
  EXPECT_EQ(nanoseconds, -3 * millisecond);
  expectSuccess(moert_mark(c, stream, 3));
  EXPECT_EQ(fake.calls["cuEventRecord"], 2 + 3);

  expectError(moert_mark_elapsed(c, 3, 1, &nanoseconds), MOERT_INVALID_ARGUMENT,
              "mark 1 was never set");
  expectError(moert_mark_elapsed(c, -1, 0, &nanoseconds),
              MOERT_INVALID_ARGUMENT, "mark -1 was never set");
  expectError(moert_mark(c, stream, 65536), MOERT_INVALID_ARGUMENT,
              "there is no mark 65536, expected 0 to 65535");
}

TEST_F(CUDAMemoryTest, DestroyedStreamsAreNotWaitedFor) {
  void *other = nullptr;
  expectSuccess(moert_stream_create(context.get(), &other));
  expectSuccess(FakeCall(context.get(), other).run());
  expectSuccess(moert_stream_destroy(context.get(), other));
  expectSuccess(moert_context_synchronize(context.get()));
}

} // namespace
