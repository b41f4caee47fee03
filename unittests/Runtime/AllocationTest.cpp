//===- AllocationTest.cpp - The hot path allocates nothing ----------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "CallFixture.h"

#include <atomic>

/// Of the whole process; CountAllocations.cpp.
extern std::atomic<int64_t> numAllocations;

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
