//===- AllocationTest.cpp - The hot path allocates nothing ----------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "CallFixture.h"

#include <atomic>
#include <cstdlib>
#include <new>

static std::atomic<int64_t> numAllocations{0};

// The library's allocations come here too.
void *operator new(size_t bytes) {
  ++numAllocations;
  if (void *memory = std::malloc(bytes ? bytes : 1))
    return memory;
  throw std::bad_alloc();
}
void *operator new(size_t bytes, std::align_val_t alignment) {
  ++numAllocations;
  size_t unit = static_cast<size_t>(alignment);
  if (void *memory = std::aligned_alloc(unit, (bytes + unit - 1) / unit * unit))
    return memory;
  throw std::bad_alloc();
}
void operator delete(void *memory) noexcept { std::free(memory); }
void operator delete(void *memory, size_t) noexcept { std::free(memory); }
void operator delete(void *memory, std::align_val_t) noexcept {
  std::free(memory);
}
void operator delete(void *memory, size_t, std::align_val_t) noexcept {
  std::free(memory);
}

using namespace moert::test;

namespace {

TEST(AllocationTest, CallsAllocateNothing) {
  int64_t atStart = numAllocations;
  CallArguments arguments;
  EXPECT_GT(numAllocations, atStart) << "allocations are not counted";
  moert_call call = arguments.call();
  std::atomic<int64_t> ran{0};
  auto body = [&](int64_t) { ++ran; };
  auto run = [&] {
    ASSERT_EQ(moert_call_begin(&call, &arguments.signature), MOERT_SUCCESS);
    moert_stream_wait(&call, MOERT_STREAM_AUX,
                      moert_event_record(&call, MOERT_STREAM_COMPUTE));
    launch(call, MOERT_STREAM_AUX, 16, body);
    launch(call, MOERT_STREAM_COMPUTE, 16, body);
    launch(call, MOERT_STREAM_COMM, 1, body);
    for (int32_t stream : {MOERT_STREAM_AUX, MOERT_STREAM_COMM})
      moert_stream_wait(&call, MOERT_STREAM_COMPUTE,
                        moert_event_record(&call, stream));
    ASSERT_EQ(moert_call_end(&call), MOERT_SUCCESS);
    ASSERT_EQ(moert_context_synchronize(call.context), MOERT_SUCCESS);
  };
  run(); // Creates the communicator's stream.
  int64_t before = numAllocations;
  for (int i = 0; i < 500; ++i)
    run();
  EXPECT_EQ(numAllocations, before);
  EXPECT_EQ(ran, 501 * 33);
}

} // namespace
