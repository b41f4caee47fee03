//===- CUDAKernelTest.cpp - Kernels, launches and tensor maps -------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "CUDAFixture.h"

using namespace moert::test;

namespace {

using CUDAKernelTest = CUDATest;

TEST_F(CUDAKernelTest, LoadsAModuleOnce) {
  FakeCall call = makeFakeCall();
  expectSuccess(call.run());
  const void *gate = nullptr;
  expectSuccess(call.begin());
  gate = moert_kernel(&call.call, &fakeModule, Gate);
  EXPECT_EQ(moert_kernel(&call.call, &fakeModule, Gate), gate);
  EXPECT_NE(moert_kernel(&call.call, &fakeModule, Merge), gate);
  expectSuccess(call.end());
  EXPECT_EQ(fake.calls["cuModuleLoadDataEx"], 1);
  EXPECT_EQ(fake.calls["cuModuleGetFunction"], NumKernels);
}

TEST_F(CUDAKernelTest, RefusesKernelsThatAreNotThere) {
  FakeCall call = makeFakeCall();
  for (int32_t index : {-1, int32_t(NumKernels)}) {
    expectSuccess(call.begin());
    EXPECT_EQ(moert_kernel(&call.call, &fakeModule, index), nullptr);
    expectError(call.end(), MOERT_INVALID_ARGUMENT,
                "there is no kernel " + std::to_string(index) +
                    " in a module of 4 kernels");
  }
  expectSuccess(call.begin());
  EXPECT_EQ(moert_kernel(&call.call, nullptr, 0), nullptr);
  expectError(call.end(), MOERT_INVALID_ARGUMENT, "the GPU module is null");
}

TEST_F(CUDAKernelTest, TellsWhatTheDriverSaysOfAnImage) {
  static constexpr char image[] = "broken";
  const moert_gpu_module module{MOERT_ABI_VERSION, 4,     kernelNames,
                                "sm_90a",          image, sizeof(image) - 1};
  FakeCall call = makeFakeCall();
  expectSuccess(call.begin());
  EXPECT_EQ(moert_kernel(&call.call, &module, 0), nullptr);
  expectError(call.end(), MOERT_UNSUPPORTED,
              "cannot load kernels for 'sm_90a' (6 bytes) on cuda:0 (Fake "
              "H100, sm_90): CUDA_ERROR_INVALID_PTX (in words): line 1: no "
              "such thing");
}

/// The fake driver is one for CUDA 12.2.
TEST_F(CUDAKernelTest, TellsThatTheDriverIsOlderThanAnImage) {
  static constexpr char cubin[] =
      "\177ELF Cuda compilation tools, release 13.0, V13.0.88";
  static constexpr char ptx[] = "broken\n.version 8.6\n.target sm_90a\n";
  static constexpr char older[] = "broken\n.version 8.2\n.target sm_90a\n";
  auto expectRefusal = [&](const char *image, size_t bytes, moert_status status,
                           const std::string &why) {
    const moert_gpu_module module{MOERT_ABI_VERSION, 4,     kernelNames,
                                  "sm_90a",          image, bytes};
    FakeCall call = makeFakeCall();
    expectSuccess(call.begin());
    EXPECT_EQ(moert_kernel(&call.call, &module, 0), nullptr);
    expectError(call.end(), status,
                "cannot load kernels for 'sm_90a' (" + std::to_string(bytes) +
                    " bytes) on cuda:0 (Fake H100, sm_90): " + why);
  };
  expectRefusal(cubin, sizeof(cubin) - 1, MOERT_UNSUPPORTED,
                "the driver is for CUDA 12.2, expected one for CUDA 13.0 or "
                "later: CUDA_ERROR_INVALID_IMAGE (in words)");
  expectRefusal(ptx, sizeof(ptx) - 1, MOERT_UNSUPPORTED,
                "the driver is for CUDA 12.2, expected one for CUDA 12.7 or "
                "later: CUDA_ERROR_INVALID_PTX (in words): line 1: no such "
                "thing");
  // The driver is not too old; something else is wrong.
  expectRefusal(older, sizeof(older) - 1, MOERT_UNSUPPORTED,
                "CUDA_ERROR_INVALID_PTX (in words): line 1: no such thing");
}

TEST_F(CUDAKernelTest, TellsWhichKernelAnImageLacks) {
  static constexpr const char *names[] = {"gate", "unknown"};
  const moert_gpu_module module{
      MOERT_ABI_VERSION, 2, names, "sm_90a", fakeImage, sizeof(fakeImage) - 1};
  FakeCall call = makeFakeCall();
  expectSuccess(call.begin());
  EXPECT_EQ(moert_kernel(&call.call, &module, 0), nullptr);
  expectError(call.end(), MOERT_INTERNAL,
              "cannot find kernel 'unknown' in a module for 'sm_90a': "
              "CUDA_ERROR_NOT_FOUND (in words)");
}

TEST_F(CUDAKernelTest, RefusesModules) {
  FakeCall call = makeFakeCall();
  auto expectRefusal = [&](moert_gpu_module module, const char *message) {
    expectSuccess(call.begin());
    EXPECT_EQ(moert_kernel(&call.call, &module, 0), nullptr);
    expectError(call.end(), MOERT_INVALID_ARGUMENT, message);
  };
  moert_gpu_module module = fakeModule;
  module.abi = 1;
  expectRefusal(module, "a GPU module has ABI version 1, expected 7");
  module = fakeModule;
  module.image = nullptr;
  expectRefusal(module,
                "a GPU module lacks its chip, its image or its kernels' names");
  module = fakeModule;
  module.image_bytes -= 1;
  expectRefusal(module, "a GPU module is a text that is not terminated, "
                        "expected a zero behind it");
  EXPECT_EQ(fake.calls["cuModuleLoadDataEx"], 0);
  // A cubin ends as it likes.
  static constexpr char cubin[] = {'\177', 'E', 'L', 'F', 2};
  module.image = cubin;
  module.image_bytes = sizeof(cubin);
  expectSuccess(call.begin());
  EXPECT_NE(moert_kernel(&call.call, &module, 0), nullptr);
  expectSuccess(call.end());
}

// Where a program was, another may be after it was unloaded. Kernels that a
// graph may hold stay, and a module that is still the same is not loaded again.
TEST_F(CUDAKernelTest, NoticesAnotherModuleAtTheSameAddress) {
  static constexpr char other[] = "an Image";
  moert_gpu_module module = fakeModule;
  FakeCall call = makeFakeCall();
  auto findKernel = [&] {
    expectSuccess(call.begin());
    const void *kernel = moert_kernel(&call.call, &module, 0);
    expectSuccess(call.end());
    return kernel;
  };
  auto loadAProgram = [] {
    moert_program *program = nullptr;
    ASSERT_EQ(moert_program_load(AFFINE_ARTEFACT, &program), MOERT_SUCCESS)
        << moert_last_error(nullptr);
    moert_program_unload(program);
  };
  const void *first = findKernel();
  loadAProgram();
  EXPECT_EQ(findKernel(), first);
  EXPECT_EQ(fake.calls["cuModuleLoadDataEx"], 1);
  module.image = other;
  loadAProgram();
  EXPECT_NE(findKernel(), first);
  EXPECT_EQ(fake.calls["cuModuleLoadDataEx"], 2);
  EXPECT_EQ(fake.calls["cuModuleUnload"], 0);
}

//===----------------------------------------------------------------------===//
// Launches
//===----------------------------------------------------------------------===//

TEST_F(CUDAKernelTest, PassesLaunchesOn) {
  FakeCall call = makeFakeCall();
  expectSuccess(call.begin());
  call.launch(MOERT_STREAM_COMPUTE, Gate, 12, 384, 1000, 4, true);
  call.launch(MOERT_STREAM_COMPUTE, Merge, 3, 1024, 0, 0, false);
  expectSuccess(call.end());
  const FakeLaunch &gate = *fake.find("gate"), &merge = *fake.find("merge");
  EXPECT_EQ(gate.grid, 12u);
  EXPECT_EQ(gate.threads, 384u);
  EXPECT_EQ(gate.sharedBytes, 1000u);
  EXPECT_EQ(gate.cluster, 4u);
  EXPECT_TRUE(gate.startsEarly);
  EXPECT_EQ(gate.parameter, 84);
  EXPECT_EQ(merge.cluster, 1u);
  EXPECT_FALSE(merge.startsEarly);
}

TEST_F(CUDAKernelTest, EmptyLaunchesAreNone) {
  FakeCall call = makeFakeCall();
  expectSuccess(call.begin());
  call.launch(MOERT_STREAM_COMPUTE, Gate, 0);
  expectSuccess(call.end());
  EXPECT_TRUE(fake.launches.empty());
}

TEST_F(CUDAKernelTest, RaisesLimitsOnce) {
  FakeCall call = makeFakeCall();
  expectSuccess(call.begin());
  call.launch(MOERT_STREAM_COMPUTE, Gate, 16, 128, 48 << 10);
  EXPECT_EQ(fake.calls["cuFuncSetAttribute"], 0);
  for (int i = 0; i < 5; ++i)
    call.launch(MOERT_STREAM_COMPUTE, Gate, 16, 128, 200 << 10);
  call.launch(MOERT_STREAM_COMPUTE, Gate, 16, 128, 100 << 10);
  EXPECT_EQ(fake.calls["cuFuncSetAttribute"], 1);
  for (int i = 0; i < 5; ++i)
    call.launch(MOERT_STREAM_COMPUTE, Gate, 16, 128, 0, 16);
  expectSuccess(call.end());
  EXPECT_EQ(fake.calls["cuFuncSetAttribute"], 2);
  EXPECT_EQ(fake.launches.size(), 12u);
}

TEST_F(CUDAKernelTest, RefusesBadLaunches) {
  FakeCall call = makeFakeCall();
  auto expectRefusal = [&](const char *message, int64_t grid, int32_t threads,
                           int32_t shared, int32_t cluster) {
    expectSuccess(call.begin());
    call.launch(MOERT_STREAM_AUX, Gate, grid, threads, shared, cluster);
    expectError(call.end(), MOERT_INVALID_ARGUMENT,
                std::string("launch 'gate' on stream 'aux' ") + message);
  };
  expectRefusal("has -1 blocks, expected 0 to 2^31 - 1", -1, 128, 0, 1);
  expectRefusal("has 2147483648 blocks, expected 0 to 2^31 - 1",
                int64_t(1) << 31, 128, 0, 1);
  expectRefusal("has 0 threads in a block, expected 1 to 1024", 1, 0, 0, 1);
  expectRefusal("asks for -1 bytes of shared memory, expected 0 or more", 1,
                128, -1, 1);
  expectRefusal("has 6 blocks in clusters of 4, expected a multiple", 6, 128, 0,
                4);
  EXPECT_TRUE(fake.launches.empty());

  expectSuccess(call.begin());
  moert_launch_gpu(&call.call, 0, nullptr, nullptr, nullptr, 1, 128, 0, 1, 0);
  expectError(call.end(), MOERT_INVALID_ARGUMENT,
              "launch '' on stream 'compute' has a null kernel");
}

TEST_F(CUDAKernelTest, TellsTheSizesOfLaunchesThatFail) {
  FakeCall call = makeFakeCall();
  expectSuccess(call.begin());
  call.launch(MOERT_STREAM_COMPUTE, Experts, 132, 384, 240'000, 2);
  expectError(call.end(), MOERT_INTERNAL,
              "launch 'experts' of kernel 'experts' on stream 'compute' of "
              "cuda:0, with 132 blocks of 384 threads, 240000 bytes of shared "
              "memory and clusters of 2: CUDA_ERROR_INVALID_VALUE (in words)");
}

//===----------------------------------------------------------------------===//
// Tensor maps
//===----------------------------------------------------------------------===//

class CUDATensorMapTest : public CUDATest {
protected:
  static constexpr int32_t bfloat16 = kDLBfloat << 8 | 16;

  const void *find(std::vector<int64_t> extents, std::vector<int64_t> box,
                   int32_t swizzle = 128, int32_t dtype = bfloat16) {
    return moert_tensor_map(&call.call, address, dtype, int32_t(extents.size()),
                            extents.data(), box.data(), swizzle);
  }
  void expectRefusal(const char *message) {
    expectError(call.end(), MOERT_INVALID_ARGUMENT, message);
    expectSuccess(call.begin());
  }

  void SetUp() override { expectSuccess(call.begin()); }
  void TearDown() override { expectSuccess(call.end()); }

  FakeCall call = makeFakeCall();
  alignas(256) unsigned char buffer[256];
  const void *address = buffer;
};

TEST_F(CUDATensorMapTest, CountsFromTheInnermostDimension) {
  const void *map = find({32, 4096, 7168}, {1, 128, 64});
  ASSERT_NE(map, nullptr);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(map) % 64, 0u);
  const FakeTensorMap &made = fake.tensorMaps.at(0);
  EXPECT_EQ(made.address, buffer);
  EXPECT_EQ(made.dtype, CU_TENSOR_MAP_DATA_TYPE_BFLOAT16);
  EXPECT_EQ(made.extents, (std::vector<uint64_t>{7168, 4096, 32}));
  EXPECT_EQ(made.strides, (std::vector<uint64_t>{7168 * 2, 7168 * 4096 * 2}));
  EXPECT_EQ(made.box, (std::vector<uint32_t>{64, 128, 1}));
  EXPECT_EQ(made.swizzle, CU_TENSOR_MAP_SWIZZLE_128B);
}

TEST_F(CUDATensorMapTest, KnowsDtypesAndSwizzles) {
  const std::pair<int32_t, CUtensorMapDataType> dtypes[] = {
      {kDLFloat << 8 | 16, CU_TENSOR_MAP_DATA_TYPE_FLOAT16},
      {kDLFloat << 8 | 32, CU_TENSOR_MAP_DATA_TYPE_FLOAT32},
      {kDLInt << 8 | 32, CU_TENSOR_MAP_DATA_TYPE_INT32},
      {kDLUInt << 8 | 8, CU_TENSOR_MAP_DATA_TYPE_UINT8},
      {10 << 8 | 8, CU_TENSOR_MAP_DATA_TYPE_UINT8}}; // float8_e4m3fn
  for (auto [dtype, expected] : dtypes) {
    ASSERT_NE(find({4, 64}, {4, 16}, 0, dtype), nullptr);
    EXPECT_EQ(fake.tensorMaps.back().dtype, expected);
  }
  const std::pair<int32_t, CUtensorMapSwizzle> swizzles[] = {
      {0, CU_TENSOR_MAP_SWIZZLE_NONE},
      {32, CU_TENSOR_MAP_SWIZZLE_32B},
      {64, CU_TENSOR_MAP_SWIZZLE_64B},
      {128, CU_TENSOR_MAP_SWIZZLE_128B}};
  for (auto [bytes, expected] : swizzles) {
    ASSERT_NE(find({4, 64}, {4, 16}, bytes), nullptr);
    EXPECT_EQ(fake.tensorMaps.back().swizzle, expected);
  }
}

// Everything that a map depends on is part of what it is found by.
TEST_F(CUDATensorMapTest, EncodesEqualMapsOnce) {
  const void *map = find({16, 64}, {8, 32});
  EXPECT_EQ(find({16, 64}, {8, 32}), map);
  EXPECT_EQ(fake.tensorMaps.size(), 1u);
  std::set<const void *> maps = {
      map,
      find({17, 64}, {8, 32}),
      find({16, 72}, {8, 32}),
      find({16, 64}, {9, 32}),
      find({16, 64}, {8, 64}),
      find({16, 64}, {8, 32}, 64),
      find({16, 64}, {8, 32}, 128, kDLFloat << 8 | 16),
      find({1, 16, 64}, {1, 8, 32})};
  address = buffer + 16;
  maps.insert(find({16, 64}, {8, 32}));
  EXPECT_EQ(maps.size(), 9u);
  EXPECT_EQ(fake.tensorMaps.size(), 9u);
  // They are all still there in the next call.
  expectSuccess(call.end());
  expectSuccess(call.begin());
  address = buffer;
  EXPECT_EQ(find({16, 64}, {8, 32}), map);
  EXPECT_EQ(fake.tensorMaps.size(), 9u);
}

// Buffers that move ask for new maps for ever. Within a call none is lost, and
// what was kept does not grow without end.
TEST_F(CUDATensorMapTest, ForgetsBetweenCallsOnly) {
  std::vector<std::pair<const void *, CUtensorMap>> found;
  constexpr int64_t count = 5000;
  for (int64_t rows = 1; rows <= count; ++rows) {
    const void *map = find({rows, 64}, {8, 32});
    ASSERT_NE(map, nullptr);
    found.emplace_back(map, *static_cast<const CUtensorMap *>(map));
  }
  std::set<const void *> distinct;
  for (auto &[map, bytes] : found) {
    distinct.insert(map);
    EXPECT_EQ(std::memcmp(map, &bytes, sizeof(bytes)), 0);
  }
  EXPECT_EQ(distinct.size(), size_t(count));
  EXPECT_EQ(find({1, 64}, {8, 32}), found[0].first);
  EXPECT_EQ(fake.tensorMaps.size(), size_t(count));
  expectSuccess(call.end());
  expectSuccess(call.begin());
  EXPECT_NE(find({1, 64}, {8, 32}), nullptr);
  EXPECT_EQ(fake.tensorMaps.size(), size_t(count) + 1);
}

TEST_F(CUDATensorMapTest, TakesEmptyBuffers) {
  EXPECT_NE(find({0, 64}, {8, 32}), nullptr);
  EXPECT_EQ(fake.tensorMaps.at(0).extents, (std::vector<uint64_t>{64, 1}));
  address = nullptr;
  EXPECT_NE(find({0, 64}, {8, 32}), nullptr);
  EXPECT_NE(find({4, 0}, {8, 32}), nullptr);
  EXPECT_NE(find({0, 2, 3}, {1, 1, 8}), nullptr);
}

TEST_F(CUDATensorMapTest, RefusesWhatTheDeviceCannotDo) {
  EXPECT_EQ(find({}, {}), nullptr);
  expectRefusal("a tensor map has rank 0, expected 1 to 5, with extents and a "
                "box");
  EXPECT_EQ(find({1, 1, 1, 1, 1, 8}, {1, 1, 1, 1, 1, 8}), nullptr);
  expectRefusal("a tensor map has rank 6, expected 1 to 5, with extents and a "
                "box");
  EXPECT_EQ(find({16, 64}, {8, 32}, 48), nullptr);
  expectRefusal("a tensor map of bfloat16[16, 64] in boxes of [8, 32] with "
                "swizzle 48: expected a swizzle of 0, 32, 64 or 128 bytes");
  EXPECT_EQ(find({16, 64}, {8, 32}, 128, kDLComplex << 8 | 64), nullptr);
  expectRefusal("a tensor map of complex64[16, 64] in boxes of [8, 32] with "
                "swizzle 128: expected a dtype that tensor maps have");
  EXPECT_EQ(find({16, 60}, {8, 32}), nullptr);
  expectRefusal("a tensor map of bfloat16[16, 60] in boxes of [8, 32] with "
                "swizzle 128: a row has 120 bytes, expected a multiple of 16");
  EXPECT_EQ(find({16, 256}, {8, 128}), nullptr);
  expectRefusal("a tensor map of bfloat16[16, 256] in boxes of [8, 128] with "
                "swizzle 128: a row of a box has 256 bytes, expected a "
                "multiple of 16 that is at most the swizzle");
  EXPECT_EQ(find({16, 64}, {257, 32}), nullptr);
  expectRefusal("a tensor map of bfloat16[16, 64] in boxes of [257, 32] with "
                "swizzle 128: expected extents of 0 to 2^32 and sides of 1 to "
                "256");
  EXPECT_EQ(find({-1, 64}, {8, 32}), nullptr);
  expectRefusal("a tensor map of bfloat16[-1, 64] in boxes of [8, 32] with "
                "swizzle 128: expected extents of 0 to 2^32 and sides of 1 to "
                "256");
  address = nullptr;
  EXPECT_EQ(find({16, 64}, {8, 32}), nullptr);
  expectRefusal("a tensor map of bfloat16[16, 64] in boxes of [8, 32] with "
                "swizzle 128: the buffer is at 0x0, expected an address that "
                "is aligned to 16 bytes");
  address = buffer;
  fake.failures["cuTensorMapEncodeTiled"] = CUDA_ERROR_INVALID_VALUE;
  EXPECT_EQ(find({16, 64}, {8, 32}), nullptr);
  expectError(call.end(), MOERT_INTERNAL,
              "cannot encode a tensor map of bfloat16[16, 64] in boxes of [8, "
              "32] with swizzle 128: CUDA_ERROR_INVALID_VALUE (in words)");
  expectSuccess(call.begin());
}

} // namespace
