//===- CUDACallTest.cpp - Calls on a GPU: streams and events --------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "CUDAFixture.h"

#include <thread>

using namespace moert::test;

namespace {

//===----------------------------------------------------------------------===//
// Contexts
//===----------------------------------------------------------------------===//

class CUDAContextTest : public testing::Test {
protected:
  CUDAContextTest() { fake.reset(); }

  void expectRefusal(moert_status status, const char *message,
                     int32_t deviceId = 0) {
    int nothing = 0;
    auto *context = reinterpret_cast<moert_context *>(&nothing);
    EXPECT_EQ(createCUDAContext(context, deviceId), status);
    EXPECT_EQ(context, nullptr);
    EXPECT_STREQ(moert_last_error(nullptr), message);
    EXPECT_EQ(fake.numLive, 0);
  }

  FakeDriver &fake = fakeDriver();
};

TEST_F(CUDAContextTest, NamesWhatAnOldDriverLacks) {
  fake.missing = {"cuTensorMapEncodeTiled", "cuMemAlloc"};
  expectRefusal(MOERT_UNSUPPORTED,
                "device cuda:0 needs an NVIDIA driver for CUDA 12.0 or later: "
                "libcuda.so.1 lacks cuTensorMapEncodeTiled, cuMemAlloc");
}

TEST_F(CUDAContextTest, NamesMissingDevices) {
  fake.failures["cuInit"] = CUDA_ERROR_NO_DEVICE;
  expectRefusal(MOERT_UNSUPPORTED, "device cuda:0 cannot be used: "
                                   "CUDA_ERROR_NO_DEVICE (in words)");
  fake.reset();
  fake.numDevices = 2;
  expectRefusal(MOERT_UNSUPPORTED,
                "device cuda:2 is not there: this process sees 2", 2);
}

TEST_F(CUDAContextTest, GivesBackWhatItHadWhenItFails) {
  fake.failures["cuDevicePrimaryCtxRetain"] = CUDA_ERROR_OUT_OF_MEMORY;
  expectRefusal(MOERT_OUT_OF_MEMORY, "device cuda:0 has no context to work in: "
                                     "CUDA_ERROR_OUT_OF_MEMORY (in words)");
  fake.reset();
  fake.failures["cuEventCreate"] = CUDA_ERROR_OUT_OF_MEMORY;
  expectRefusal(MOERT_OUT_OF_MEMORY, "device cuda:0 has no room for events: "
                                     "CUDA_ERROR_OUT_OF_MEMORY (in words)");
}

TEST_F(CUDAContextTest, ContextsAreIndependent) {
  moert_context *first = nullptr, *second = nullptr;
  ASSERT_EQ(createCUDAContext(first), MOERT_SUCCESS);
  ASSERT_EQ(createCUDAContext(second, 3), MOERT_SUCCESS);
  moert_context_destroy(first);
  EXPECT_EQ(FakeCall(second, nullptr).run(), MOERT_SUCCESS)
      << moert_last_error(second);
  moert_context_destroy(second);
  EXPECT_EQ(fake.numLive, 0);
}

// Contexts share nothing that threads would have to agree on.
TEST_F(CUDAContextTest, ThreadsHaveContextsOfTheirOwn) {
  std::vector<std::thread> threads;
  for (int i = 0; i < 3; ++i)
    threads.emplace_back([] {
      moert_context *context = nullptr;
      ASSERT_EQ(createCUDAContext(context), MOERT_SUCCESS);
      for (int k = 0; k < 200; ++k)
        ASSERT_EQ(FakeCall(context, nullptr).run(), MOERT_SUCCESS)
            << moert_last_error(context);
      moert_context_destroy(context);
    });
  for (std::thread &thread : threads)
    thread.join();
  EXPECT_EQ(fake.launches.size(), 3u * 200 * 4);
  EXPECT_EQ(fake.numLive, 0);
}

//===----------------------------------------------------------------------===//
// Streams and events
//===----------------------------------------------------------------------===//

using CUDACallTest = CUDATest;

TEST_F(CUDACallTest, EventsOrderStreams) {
  expectSuccess(makeFakeCall().run());
  ASSERT_EQ(fake.launches.size(), 4u);
  const FakeLaunch &gate = *fake.find("gate"), &shared = *fake.find("shared"),
                   &experts = *fake.find("experts"),
                   &merge = *fake.find("merge");
  EXPECT_EQ(gate.stream, experts.stream);
  EXPECT_EQ(gate.stream, merge.stream);
  EXPECT_NE(gate.stream, shared.stream);
  EXPECT_TRUE(shared.isAfter(gate));
  EXPECT_FALSE(shared.isAfter(experts));
  EXPECT_FALSE(experts.isAfter(shared));
  EXPECT_TRUE(merge.isAfter(shared));
  EXPECT_TRUE(merge.isAfter(experts));
  EXPECT_EQ(gate.parameter, 7);
}

TEST_F(CUDACallTest, RunsOnTheLegacyStream) {
  expectSuccess(FakeCall(context.get(), nullptr).run());
  EXPECT_EQ(fake.find("gate")->stream, 0);
  EXPECT_TRUE(fake.find("merge")->isAfter(*fake.find("shared")));
}

TEST_F(CUDACallTest, AuxHasThePriorityOfTheCaller) {
  fake.streamPriorities[1] = -3; // The stream of the fixture.
  expectSuccess(makeFakeCall().run());
  expectSuccess(makeFakeCall().run());
  EXPECT_EQ(fake.streamPriorities, (std::vector<int>{0, -3, -3}));
}

TEST_F(CUDACallTest, CommunicatorsHaveStreams) {
  FakeCall call = makeFakeCall();
  expectSuccess(call.begin());
  call.launch(MOERT_STREAM_COMM + 1, Gate);
  call.wait(MOERT_STREAM_COMPUTE, call.record(MOERT_STREAM_COMM + 1));
  call.launch(MOERT_STREAM_COMPUTE, Merge);
  expectSuccess(call.end());
  EXPECT_NE(fake.find("gate")->stream, fake.find("merge")->stream);
  EXPECT_TRUE(fake.find("merge")->isAfter(*fake.find("gate")));
}

TEST_F(CUDACallTest, WaitingForOneselfIsFree) {
  FakeCall call = makeFakeCall();
  expectSuccess(call.begin());
  call.wait(MOERT_STREAM_AUX, call.record(MOERT_STREAM_AUX));
  call.wait(MOERT_STREAM_COMPUTE, call.record(MOERT_STREAM_COMPUTE));
  expectSuccess(call.end());
  EXPECT_EQ(fake.calls["cuStreamWaitEvent"], 0);
}

TEST_F(CUDACallTest, RefusesStreams) {
  FakeCall call = makeFakeCall();
  expectSuccess(call.begin());
  call.record(64);
  expectError(call.end(), MOERT_INVALID_ARGUMENT,
              "there is no stream 64, expected 0 to 63");
}

// An event is used again for later points: a ticket knows whether it still is
// what it was.
TEST_F(CUDACallTest, TicketsOutliveTheirEventsByNothing) {
  FakeCall call = makeFakeCall();
  expectSuccess(call.begin());
  call.launch(MOERT_STREAM_COMPUTE, Gate);
  const int64_t first = call.record(MOERT_STREAM_COMPUTE);
  for (int i = 0; i < 255; ++i)
    call.record(MOERT_STREAM_COMPUTE);
  call.wait(MOERT_STREAM_AUX, first);
  expectSuccess(call.end());
  EXPECT_EQ(fake.calls["cuStreamWaitEvent"], 1);

  expectSuccess(call.begin());
  call.record(MOERT_STREAM_COMPUTE);
  call.wait(MOERT_STREAM_AUX, first);
  expectError(call.end(), MOERT_INVALID_ARGUMENT,
              "stream 'aux' waits for event 0x1, expected an event that was "
              "recorded in this context");
}

TEST_F(CUDACallTest, RefusesEventsThatNobodyRecorded) {
  FakeCall call = makeFakeCall();
  for (int64_t event : {int64_t(0), int64_t(-1), int64_t(17)}) {
    expectSuccess(call.begin());
    call.wait(MOERT_STREAM_AUX, event);
    EXPECT_EQ(call.end(), MOERT_INVALID_ARGUMENT);
  }
  EXPECT_EQ(fake.calls["cuStreamWaitEvent"], 0);
}

// A point that could not be recorded must not be taken for an older one.
TEST_F(CUDACallTest, TellsOfEventsThatFail) {
  FakeCall call = makeFakeCall();
  expectSuccess(call.begin());
  fake.failures["cuEventRecord"] = CUDA_ERROR_ILLEGAL_ADDRESS;
  call.wait(MOERT_STREAM_AUX, call.record(MOERT_STREAM_COMPUTE));
  expectError(call.end(), MOERT_INTERNAL,
              "cannot record an event on stream 'compute' of cuda:0: "
              "CUDA_ERROR_ILLEGAL_ADDRESS (in words)");
  fake.failures = {{"cuStreamWaitEvent", CUDA_ERROR_ILLEGAL_ADDRESS}};
  expectSuccess(call.begin());
  call.wait(MOERT_STREAM_AUX, call.record(MOERT_STREAM_COMPUTE));
  expectError(call.end(), MOERT_INTERNAL,
              "stream 'aux' of cuda:0 cannot wait for stream 'compute': "
              "CUDA_ERROR_ILLEGAL_ADDRESS (in words)");
}

TEST_F(CUDACallTest, TellsOfStreamsThatFail) {
  fake.failures["cuStreamCreateWithPriority"] = CUDA_ERROR_OUT_OF_MEMORY;
  expectError(makeFakeCall().run(), MOERT_OUT_OF_MEMORY,
              "cannot create stream 'aux' on cuda:0: CUDA_ERROR_OUT_OF_MEMORY "
              "(in words)");
  fake.failures.clear();
  expectSuccess(makeFakeCall().run());
}

//===----------------------------------------------------------------------===//
// The caller's state
//===----------------------------------------------------------------------===//

// What the calling thread had current before, it has afterwards; and where the
// context is the caller's own already, nothing is done.
TEST_F(CUDACallTest, LeavesTheCurrentContext) {
  expectSuccess(makeFakeCall().run());
  EXPECT_GT(fake.calls["cuCtxPushCurrent"], 0);
  EXPECT_EQ(fake.calls["cuCtxPushCurrent"], fake.calls["cuCtxPopCurrent"]);
  fake.failures["cuLaunchKernelEx"] = CUDA_ERROR_INVALID_VALUE;
  EXPECT_EQ(makeFakeCall().run(), MOERT_INTERNAL);
  EXPECT_EQ(fake.calls["cuCtxPushCurrent"], fake.calls["cuCtxPopCurrent"]);
}

TEST_F(CUDACallTest, KeepsACurrentContext) {
  moert_context *other = nullptr;
  ASSERT_EQ(createCUDAContext(other), MOERT_SUCCESS);
  // While a call is open its context is current, which is the other's too.
  FakeCall call = makeFakeCall();
  expectSuccess(call.begin());
  fake.calls.clear();
  EXPECT_EQ(FakeCall(other, stream).run(), MOERT_SUCCESS);
  EXPECT_EQ(fake.calls["cuCtxPushCurrent"], 0);
  EXPECT_EQ(fake.calls["cuCtxPopCurrent"], 0);
  expectSuccess(call.end());
  moert_context_destroy(other);
}

TEST_F(CUDACallTest, ChecksTensors) {
  alignas(256) unsigned char memory[64] = {};
  int64_t shape[] = {2};
  const int64_t dims[] = {MOERT_DIM_TOKENS};
  DLTensor tensor{memory, {kDLCUDA, 0}, 1, {kDLFloat, 32, 1},
                  shape,  nullptr,      0};
  const DLTensor *inputs[] = {&tensor};
  const moert_tensor_signature input = {"x", kDLFloat, 32, 1, 1, dims};
  FakeCall call = makeFakeCall();
  call.call.inputs = inputs;
  call.call.num_inputs = call.signature.num_inputs = 1;
  call.signature.inputs = &input;
  expectSuccess(call.run());
  tensor.byte_offset = 8;
  expectError(call.begin(), MOERT_INVALID_ARGUMENT,
              "layer: input 'x' starts 8 bytes past an aligned address, "
              "expected alignment to 16 bytes");
  tensor.device.device_id = 1;
  expectError(call.begin(), MOERT_INVALID_ARGUMENT,
              "layer: input 'x' is on device cuda:1, expected cuda:0");
  tensor.device = {kDLCPU, 0};
  expectError(call.begin(), MOERT_INVALID_ARGUMENT,
              "layer: input 'x' is on device cpu, expected cuda:0");
  call.signature.device_type = kDLCPU;
  expectError(call.begin(), MOERT_UNSUPPORTED,
              "layer: was compiled for device cpu, expected cuda:0, where this "
              "context runs");
}

//===----------------------------------------------------------------------===//
// Errors
//===----------------------------------------------------------------------===//

TEST_F(CUDACallTest, FailedCallLeavesNothingInFlight) {
  expectSuccess(makeFakeCall().run());
  fake.calls.clear();
  fake.launches.clear();
  FakeCall call = makeFakeCall();
  expectSuccess(call.begin());
  call.launch(MOERT_STREAM_COMPUTE, Gate);
  call.wait(MOERT_STREAM_AUX, call.record(MOERT_STREAM_COMPUTE));
  call.launch(MOERT_STREAM_AUX, Shared, 10, 2000);
  call.launch(MOERT_STREAM_COMPUTE, Experts);
  EXPECT_EQ(fake.calls["cuStreamSynchronize"], 0);
  expectError(call.end(), MOERT_INVALID_ARGUMENT,
              "launch 'shared' on stream 'aux' has 2000 threads in a block, "
              "expected 1 to 1024");
  EXPECT_EQ(fake.calls["cuStreamSynchronize"], 2);
  EXPECT_EQ(fake.launches.size(), 1u) << "later launches are dropped";
}

TEST_F(CUDACallTest, SynchronizeTellsWhatKernelsMet) {
  expectSuccess(moert_context_synchronize(context.get()));
  EXPECT_EQ(fake.calls["cuStreamSynchronize"], 0) << "nothing was enqueued";
  expectSuccess(makeFakeCall().run());
  expectSuccess(moert_context_synchronize(context.get()));
  expectSuccess(makeFakeCall().run());
  fake.failures["cuStreamSynchronize"] = CUDA_ERROR_ILLEGAL_ADDRESS;
  expectError(moert_context_synchronize(context.get()), MOERT_INTERNAL,
              "the work on cuda:0 failed at or before launch 'merge': "
              "CUDA_ERROR_ILLEGAL_ADDRESS (in words)");
}

TEST_F(CUDACallTest, RefusesCodeForTheCPU) {
  FakeCall call = makeFakeCall();
  expectSuccess(call.begin());
  moert_launch(&call.call, MOERT_STREAM_COMPUTE, &call, "gate", nullptr, 0, 1);
  expectError(call.end(), MOERT_UNSUPPORTED,
              "launch 'gate' is one of a function of the cpu, expected a "
              "kernel for cuda:0, where this context runs");
}

//===----------------------------------------------------------------------===//
// Captures
//===----------------------------------------------------------------------===//

class CUDACaptureTest : public CUDATest {
protected:
  void begin() { expectSuccess(moert_capture_begin(context.get(), stream)); }
  moert_status end() {
    return moert_capture_end(context.get(), stream, &graph);
  }
  ~CUDACaptureTest() override { moert_graph_destroy(context.get(), graph); }

  moert_graph *graph = nullptr;
};

// The very first call loads, creates and allocates, which a capture forbids to
// those who do not ask; and what ran on aux is joined.
TEST_F(CUDACaptureTest, TakesAFirstCall) {
  begin();
  expectSuccess(makeFakeCall().run());
  expectSuccess(end());
  for (const FakeLaunch &launch : fake.launches)
    EXPECT_TRUE(launch.isCaptured);
  fake.launches.clear();
  expectSuccess(moert_graph_launch(context.get(), graph, stream));
  EXPECT_EQ(fake.launches.size(), 4u);
  // The same events serve calls that are not captured.
  fake.launches.clear();
  expectSuccess(makeFakeCall().run());
  EXPECT_FALSE(fake.find("shared")->isCaptured);
}

// What is captured did not run: waiting for it would be an error that spoils
// the capture. Launches end, but waits go on, so that aux is joined.
TEST_F(CUDACaptureTest, AFailedCallSpoilsNothing) {
  begin();
  FakeCall call = makeFakeCall();
  expectSuccess(call.begin());
  call.wait(MOERT_STREAM_AUX, call.record(MOERT_STREAM_COMPUTE));
  call.launch(MOERT_STREAM_AUX, Shared);
  call.launch(MOERT_STREAM_COMPUTE, Gate, -1);
  call.wait(MOERT_STREAM_COMPUTE, call.record(MOERT_STREAM_AUX));
  EXPECT_EQ(call.end(), MOERT_INVALID_ARGUMENT);
  EXPECT_EQ(fake.calls["cuStreamSynchronize"], 0);
  expectSuccess(end());
}

TEST_F(CUDACaptureTest, RefusesToWait) {
  begin();
  expectSuccess(makeFakeCall().run());
  expectError(moert_context_synchronize(context.get()), MOERT_UNSUPPORTED,
              "the compute stream of cuda:0 is being captured, expected the "
              "end of the capture before waiting");
  expectSuccess(end());
  expectSuccess(moert_context_synchronize(context.get()));
}

TEST_F(CUDACaptureTest, TellsOfWorkThatIsNotJoined) {
  begin();
  FakeCall call = makeFakeCall();
  expectSuccess(call.begin());
  call.wait(MOERT_STREAM_AUX, call.record(MOERT_STREAM_COMPUTE));
  call.launch(MOERT_STREAM_AUX, Shared);
  expectSuccess(call.end());
  expectError(end(), MOERT_INTERNAL,
              "cuda:0: the capture failed: CUDA_ERROR_STREAM_CAPTURE_UNJOINED "
              "(in words)");
  EXPECT_EQ(graph, nullptr);
}

TEST_F(CUDACaptureTest, RefusesTheLegacyStream) {
  expectError(moert_capture_begin(context.get(), nullptr),
              MOERT_INVALID_ARGUMENT,
              "the stream is null, expected one that can be captured");
}

TEST_F(CUDACaptureTest, GivesBackAGraphThatCannotBeInstantiated) {
  begin();
  expectSuccess(makeFakeCall().run());
  fake.failures["cuGraphInstantiateWithFlags"] = CUDA_ERROR_OUT_OF_MEMORY;
  expectError(end(), MOERT_OUT_OF_MEMORY,
              "cuda:0: cannot instantiate a graph: CUDA_ERROR_OUT_OF_MEMORY "
              "(in words)");
}

} // namespace
