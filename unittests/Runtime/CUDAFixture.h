//===- CUDAFixture.h - Contexts on a driver without a GPU -------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOERT_UNITTESTS_CUDAFIXTURE_H
#define MOERT_UNITTESTS_CUDAFIXTURE_H

#include "FakeDriver.h"
#include "Support.h"

#include <dlfcn.h>
#include <vector>

namespace moert::test {

/// The driver of this process. It is loaded by its path before the runtime asks
/// for one, and its name is all that the runtime knows, so it gets this one.
inline FakeDriver &fakeDriver() {
  static FakeDriver &driver = []() -> FakeDriver & {
    void *library = dlopen(FAKE_DRIVER, RTLD_NOW | RTLD_LOCAL);
    EXPECT_NE(library, nullptr) << dlerror();
    auto get = reinterpret_cast<decltype(&moertFakeDriver)>(
        dlsym(library, "moertFakeDriver"));
    return *get();
  }();
  return driver;
}

/// Kernels of the tests, by their indices.
enum Kernel : int32_t { Gate, Experts, Shared, Merge, NumKernels };
inline constexpr const char *kernelNames[] = {"gate", "experts", "shared",
                                              "merge"};
inline constexpr char fakeImage[] = "an image";
inline constexpr moert_gpu_module fakeModule{
    MOERT_ABI_VERSION, NumKernels, kernelNames,
    "sm_90a",          fakeImage,  sizeof(fakeImage) - 1};

inline moert_status createCUDAContext(moert_context *&context,
                                      int32_t deviceId = 0) {
  moert_context_options options;
  moert_context_options_init(&options);
  options.device_type = kDLCUDA;
  options.device_id = deviceId;
  return moert_context_create(&options, &context);
}

/// A call of a layer without tensors.
class FakeCall {
public:
  explicit FakeCall(moert_context *context, void *stream)
      : call(makeCall(context)) {
    call.stream = stream;
    signature.abi = MOERT_ABI_VERSION;
    signature.device_type = kDLCUDA;
    signature.name = "layer";
    signature.max_tokens = -1;
    signature.num_ranks = 1;
  }

  moert_status begin() { return moert_call_begin(&call, &signature); }
  moert_status end() { return moert_call_end(&call); }

  void launch(int32_t stream, Kernel kernel, int64_t grid = 1,
              int32_t threads = 128, int32_t shared = 0, int32_t cluster = 1,
              bool early = false) {
    int64_t parameter = grid * 7;
    void *parameters[] = {&parameter};
    moert_launch_gpu(&call, stream, moert_kernel(&call, &fakeModule, kernel),
                     kernelNames[kernel], parameters, grid, threads, shared,
                     cluster, early);
  }

  int64_t record(int32_t stream) { return moert_event_record(&call, stream); }
  void wait(int32_t stream, int64_t event) {
    moert_stream_wait(&call, stream, event);
  }

  /// A layer with its shared experts beside the routed ones.
  moert_status run() {
    if (moert_status status = begin())
      return status;
    launch(MOERT_STREAM_COMPUTE, Gate);
    wait(MOERT_STREAM_AUX, record(MOERT_STREAM_COMPUTE));
    launch(MOERT_STREAM_AUX, Shared);
    const int64_t join = record(MOERT_STREAM_AUX);
    launch(MOERT_STREAM_COMPUTE, Experts);
    wait(MOERT_STREAM_COMPUTE, join);
    launch(MOERT_STREAM_COMPUTE, Merge);
    return end();
  }

  moert_call call;
  moert_signature signature{};
};

class CUDATest : public testing::Test {
protected:
  CUDATest() {
    fake.reset();
    moert_context *created = nullptr;
    EXPECT_EQ(createCUDAContext(created), MOERT_SUCCESS)
        << moert_last_error(nullptr);
    context.reset(created);
    EXPECT_EQ(moert_stream_create(created, &stream), MOERT_SUCCESS);
  }
  ~CUDATest() override {
    fake.failures.clear();
    moert_stream_destroy(context.get(), stream);
    context.reset();
    EXPECT_EQ(fake.numLive, 0) << "something was not given back";
  }

  FakeCall makeFakeCall() { return FakeCall(context.get(), stream); }

  void expectError(moert_status found, moert_status expected,
                   const std::string &message) {
    EXPECT_EQ(found, expected);
    EXPECT_EQ(moert_last_error(context.get()), message);
  }
  void expectSuccess(moert_status found) {
    EXPECT_EQ(found, MOERT_SUCCESS) << moert_last_error(context.get());
  }

  FakeDriver &fake = fakeDriver();
  ContextPointer context;
  void *stream = nullptr;
};

} // namespace moert::test

#endif // MOERT_UNITTESTS_CUDAFIXTURE_H
