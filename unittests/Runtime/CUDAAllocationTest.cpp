//===- CUDAAllocationTest.cpp - Calls on a GPU allocate nothing -----------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "CUDAFixture.h"

#include <atomic>

/// Of the whole process; CountAllocations.cpp.
extern std::atomic<int64_t> numAllocations;

using namespace moert::test;

namespace {

using CUDAAllocationTest = CUDATest;

TEST_F(CUDAAllocationTest, CallsAllocateAndWaitForNothing) {
  FakeCall call = makeFakeCall();
  alignas(256) unsigned char buffer[256];
  auto run = [&] {
    const int64_t extents[] = {16, 64}, box[] = {8, 32};
    ASSERT_EQ(call.begin(), MOERT_SUCCESS);
    moert_tensor_map(&call.call, buffer, kDLBfloat << 8 | 16, 2, extents, box,
                     128);
    ASSERT_EQ(call.end(), MOERT_SUCCESS);
    ASSERT_EQ(call.run(), MOERT_SUCCESS);
  };
  run();
  fake.calls.clear();
  run();
  for (const char *name :
       {"cuStreamSynchronize", "cuCtxSynchronize", "cuModuleLoadDataEx",
        "cuStreamCreateWithPriority", "cuEventCreate", "cuEventQuery",
        "cuFuncSetAttribute", "cuTensorMapEncodeTiled", "cuMemAlloc"})
    EXPECT_EQ(fake.calls[name], 0) << name;
  EXPECT_EQ(fake.calls["cuLaunchKernelEx"], 4);
  fake.isRecording = false;
  const int64_t before = numAllocations;
  for (int i = 0; i < 500; ++i)
    run();
  EXPECT_EQ(numAllocations, before);
}

} // namespace
