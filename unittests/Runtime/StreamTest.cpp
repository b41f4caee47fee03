//===- StreamTest.cpp - Streams, events and launches ----------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Support.h"

#include <atomic>
#include <functional>
#include <numeric>
#include <vector>

using namespace moert::test;

namespace {

/// Every test runs with helpers and without.
class StreamTest : public testing::TestWithParam<int32_t> {
protected:
  ContextPointer context = makeContext(GetParam());
  moert_call call = makeCall(context.get());

  void synchronize() {
    EXPECT_EQ(moert_context_synchronize(context.get()), MOERT_SUCCESS)
        << moert_last_error(context.get());
  }

  /// Orders compute after everything on `stream`.
  void join(int32_t stream) {
    moert_stream_wait(&call, MOERT_STREAM_COMPUTE,
                      moert_event_record(&call, stream));
  }
};

INSTANTIATE_TEST_SUITE_P(Threads, StreamTest, testing::Values(1, 2, 5));

TEST_P(StreamTest, RunsLaunchesInOrder) {
  // Unsynchronized on purpose: ThreadSanitizer sees a stream out of order.
  std::vector<int> order;
  std::vector<std::function<void(int64_t)>> bodies;
  constexpr int count = 1000;
  for (int i = 0; i < count; ++i)
    bodies.push_back([&order, i](int64_t) { order.push_back(i); });
  for (auto &body : bodies)
    launch(call, MOERT_STREAM_COMPUTE, 1, body);
  synchronize();
  ASSERT_EQ(order.size(), size_t(count));
  for (int i = 0; i < count; ++i)
    EXPECT_EQ(order[i], i);
}

TEST_P(StreamTest, RunsEveryBlockOnce) {
  for (int64_t grid : {0, 1, 2, 3, 7, 64, 1000, 100'000}) {
    std::vector<int> counts(grid);
    auto count = [&](int64_t block) { ++counts[block]; };
    launch(call, MOERT_STREAM_COMPUTE, grid, count);
    // A later launch sees all blocks of an earlier one.
    int64_t sum = 0;
    auto add = [&](int64_t) {
      sum = std::accumulate(counts.begin(), counts.end(), int64_t(0));
    };
    launch(call, MOERT_STREAM_COMPUTE, 1, add);
    synchronize();
    EXPECT_EQ(sum, grid);
    for (int count : counts)
      ASSERT_EQ(count, 1);
  }
}

TEST_P(StreamTest, EmptyLaunchIsComplete) {
  int ran = 0;
  auto body = [&](int64_t) { ++ran; };
  launch(call, MOERT_STREAM_AUX, 0, body);
  join(MOERT_STREAM_AUX);
  synchronize();
  EXPECT_EQ(ran, 0);
  EXPECT_EQ(moert_call_end(&call), MOERT_SUCCESS);
}

// Each side waits for the other: only two streams that really run at the same
// time get past this.
TEST_P(StreamTest, StreamsOverlap) {
  std::atomic<bool> here{false}, there{false};
  std::atomic<int> met{0};
  auto first = [&](int64_t) {
    here = true;
    met += eventually([&] { return there.load(); });
  };
  auto second = [&](int64_t) {
    there = true;
    met += eventually([&] { return here.load(); });
  };
  launch(call, MOERT_STREAM_COMPUTE, 1, first);
  launch(call, MOERT_STREAM_AUX, 1, second);
  join(MOERT_STREAM_AUX);
  synchronize();
  EXPECT_EQ(met, 2);
}

// As above with large grids: helpers that all went to one stream must not keep
// the other from its blocks.
TEST_P(StreamTest, LargeLaunchesOverlap) {
  constexpr int64_t grid = 64;
  std::atomic<int64_t> left{0}, right{0}, failures{0};
  auto first = [&](int64_t) {
    ++left;
    failures += !eventually([&] { return right.load() > 0; });
  };
  auto second = [&](int64_t) {
    ++right;
    failures += !eventually([&] { return left.load() > 0; });
  };
  launch(call, MOERT_STREAM_COMPUTE, grid, first);
  launch(call, MOERT_STREAM_COMM, grid, second);
  join(MOERT_STREAM_COMM);
  synchronize();
  EXPECT_EQ(failures, 0);
  EXPECT_EQ(left + right, 2 * grid);
}

TEST_P(StreamTest, EventsOrderStreams) {
  // Without the events the plain variable is a race, and the sleeps make the
  // wrong order likely.
  int value = 0;
  auto write = [&](int64_t) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    value = 1;
  };
  auto read = [&](int64_t) { value = value == 1 ? 2 : -1; };
  auto close = [&](int64_t) { value = value == 2 ? 3 : -2; };
  for (int i = 0; i < 20; ++i) {
    value = 0;
    launch(call, MOERT_STREAM_COMPUTE, 1, write);
    int64_t fork = moert_event_record(&call, MOERT_STREAM_COMPUTE);
    moert_stream_wait(&call, MOERT_STREAM_AUX, fork);
    launch(call, MOERT_STREAM_AUX, 1, read);
    join(MOERT_STREAM_AUX);
    launch(call, MOERT_STREAM_COMPUTE, 1, close);
    synchronize();
    ASSERT_EQ(value, 3);
  }
}

TEST_P(StreamTest, EventNamesAPointNotTheStream) {
  // The wait is for the first launch alone: the second, which is already
  // enqueued on aux, waits for what comes after the wait.
  std::atomic<bool> released{false};
  bool passed = false;
  auto nothing = [](int64_t) {};
  auto blocked = [&](int64_t) {
    passed = eventually([&] { return released.load(); });
  };
  auto release = [&](int64_t) { released = true; };
  launch(call, MOERT_STREAM_AUX, 1, nothing);
  int64_t event = moert_event_record(&call, MOERT_STREAM_AUX);
  launch(call, MOERT_STREAM_AUX, 1, blocked);
  moert_stream_wait(&call, MOERT_STREAM_COMPUTE, event);
  launch(call, MOERT_STREAM_COMPUTE, 1, release);
  join(MOERT_STREAM_AUX);
  synchronize();
  EXPECT_TRUE(passed);
}

TEST_P(StreamTest, WaitingForOneselfIsFree) {
  int ran = 0;
  auto body = [&](int64_t) { ++ran; };
  for (int i = 0; i < 1000; ++i) {
    launch(call, MOERT_STREAM_COMPUTE, 1, body);
    int64_t event = moert_event_record(&call, MOERT_STREAM_COMPUTE);
    moert_stream_wait(&call, MOERT_STREAM_COMPUTE, event);
    // The wait took no entry: no work lies between the two points.
    ASSERT_EQ(moert_event_record(&call, MOERT_STREAM_COMPUTE), event);
  }
  synchronize();
  EXPECT_EQ(ran, 1000);
}

TEST_P(StreamTest, ManySmallLaunches) {
  constexpr int count = 100'000;
  int64_t sum = 0;
  auto add = [&](int64_t) { ++sum; };
  for (int i = 0; i < count; ++i)
    launch(call, MOERT_STREAM_COMPUTE, 1, add);
  synchronize();
  EXPECT_EQ(sum, count);
}

TEST_P(StreamTest, FullRingHoldsTheCaller) {
  std::atomic<bool> released{false};
  std::atomic<int> enqueued{0};
  bool ended = false;
  std::atomic<int> ran{0};
  auto block = [&](int64_t) {
    ended = eventually([&] { return released.load(); });
  };
  auto count = [&](int64_t) { ++ran; };
  constexpr int total = 5000;
  launch(call, MOERT_STREAM_COMPUTE, 1, block);
  std::thread caller([&] {
    for (int i = 0; i < total; ++i) {
      launch(call, MOERT_STREAM_COMPUTE, 1, count);
      ++enqueued;
    }
  });
  // The caller gets stuck, because nothing is complete and the ring is bounded.
  int last = -1;
  EXPECT_TRUE(eventually([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    bool still = enqueued == last && last > 0;
    last = enqueued;
    return still;
  }));
  EXPECT_LT(enqueued, total);
  EXPECT_EQ(ran, 0);
  released = true;
  caller.join();
  synchronize();
  EXPECT_TRUE(ended);
  EXPECT_EQ(ran, total);
}

TEST_P(StreamTest, ArgumentsAreCopied) {
  struct Arguments {
    std::vector<unsigned char> *seen;
    unsigned char bytes[MOERT_MAX_ARGUMENT_BYTES - sizeof(void *)];
  };
  static_assert(sizeof(Arguments) == MOERT_MAX_ARGUMENT_BYTES);
  std::vector<unsigned char> seen;
  auto slow = [&](int64_t) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  };
  launch(call, MOERT_STREAM_COMPUTE, 1, slow);
  Arguments arguments;
  arguments.seen = &seen;
  for (size_t i = 0; i < sizeof(arguments.bytes); ++i)
    arguments.bytes[i] = static_cast<unsigned char>(i * 7);
  void (*kernel)(const void *, int64_t) = [](const void *given, int64_t) {
    const auto *arguments = static_cast<const Arguments *>(given);
    arguments->seen->assign(std::begin(arguments->bytes),
                            std::end(arguments->bytes));
    arguments->seen->push_back(reinterpret_cast<uintptr_t>(given) % 64);
  };
  moert_launch(&call, MOERT_STREAM_COMPUTE,
               reinterpret_cast<const void *>(kernel), "copy", &arguments,
               sizeof(arguments), 1);
  std::memset(arguments.bytes, 0xff, sizeof(arguments.bytes));
  synchronize();
  ASSERT_EQ(seen.size(), sizeof(arguments.bytes) + 1);
  for (size_t i = 0; i < sizeof(arguments.bytes); ++i)
    ASSERT_EQ(seen[i], static_cast<unsigned char>(i * 7));
  EXPECT_EQ(seen.back(), 0) << "not aligned to 64 bytes";
}

TEST_P(StreamTest, RefusesBadLaunches) {
  int ran = 0;
  auto body = [&](int64_t) { ++ran; };
  void (*kernel)(const void *, int64_t) = [](const void *, int64_t) {};
  const void *code = reinterpret_cast<const void *>(kernel);
  char bytes[2048] = {};
  auto expectError = [&](const char *message) {
    // Work after the error is dropped.
    launch(call, MOERT_STREAM_COMPUTE, 1, body);
    EXPECT_EQ(moert_call_end(&call), MOERT_INVALID_ARGUMENT);
    EXPECT_STREQ(moert_last_error(context.get()), message);
    EXPECT_EQ(ran, 0);
    // It is told once.
    EXPECT_EQ(moert_call_end(&call), MOERT_SUCCESS);
  };
  moert_launch(&call, 0, nullptr, "gate", bytes, 8, 1);
  expectError("launch 'gate' on stream 'compute' has a null kernel");
  moert_launch(&call, 1, code, "gate", bytes, 1025, 1);
  expectError("launch 'gate' on stream 'aux' has 1025 bytes of arguments, "
              "expected 0 to 1024");
  moert_launch(&call, 2, code, "gate", nullptr, 8, 1);
  expectError("launch 'gate' on stream 'comm 0' has null arguments, expected 8 "
              "bytes");
  moert_launch(&call, 3, code, "gate", bytes, 8, -1);
  expectError("launch 'gate' on stream 'comm 1' has -1 blocks, expected 0 or "
              "more");
  moert_launch(&call, 64, code, "gate", bytes, 8, 1);
  expectError("there is no stream 64, expected 0 to 63");
  moert_event_record(&call, -1);
  expectError("there is no stream -1, expected 0 to 63");
}

TEST_P(StreamTest, RefusesEventsThatNobodyRecorded) {
  int64_t event = moert_event_record(&call, MOERT_STREAM_COMPUTE);
  moert_stream_wait(&call, MOERT_STREAM_AUX, event + 1);
  EXPECT_EQ(moert_context_synchronize(context.get()), MOERT_INVALID_ARGUMENT);
  EXPECT_STREQ(moert_last_error(context.get()),
               "stream 'aux' waits for event 0x1, expected an event that was "
               "recorded in this context");
  moert_stream_wait(&call, MOERT_STREAM_AUX, -1);
  EXPECT_EQ(moert_context_synchronize(context.get()), MOERT_INVALID_ARGUMENT);
  EXPECT_EQ(moert_context_synchronize(context.get()), MOERT_SUCCESS);
}

TEST_P(StreamTest, FailedCallLeavesNothingInFlight) {
  bool done = false;
  auto slow = [&](int64_t) {
    std::this_thread::sleep_for(std::chrono::milliseconds(30));
    done = true;
  };
  launch(call, MOERT_STREAM_AUX, 1, slow);
  moert_launch(&call, 0, nullptr, "broken", nullptr, 0, 1);
  EXPECT_EQ(moert_call_end(&call), MOERT_INVALID_ARGUMENT);
  EXPECT_TRUE(done);
}

TEST(HelperTest, HelpersShareALaunch) {
  // The block that comes first waits for another: one thread alone, which runs
  // blocks one after the other, would not get past it.
  ContextPointer context = makeContext(2);
  moert_call call = makeCall(context.get());
  std::atomic<int> inside{0};
  std::atomic<int> failures{0};
  auto body = [&](int64_t) {
    ++inside;
    failures += !eventually([&] { return inside.load() > 1; });
  };
  launch(call, MOERT_STREAM_COMPUTE, 2, body);
  EXPECT_EQ(moert_context_synchronize(context.get()), MOERT_SUCCESS);
  EXPECT_EQ(failures, 0);
}

} // namespace
