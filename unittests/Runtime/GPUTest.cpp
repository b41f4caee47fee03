//===- GPUTest.cpp - The runtime on a GPU that is there -------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "GPUKernels.h"
#include "Support.h"

#include <cuda.h>
#include <dlfcn.h>
#include <numeric>
#include <string>
#include <vector>

using namespace moert::test;

namespace {

enum Kernel : int32_t { Affine, SlowStore, LoadStore, Limits, Tile };
constexpr const char *names[] = {"affine", "slow_store", "load_store", "limits",
                                 "tile"};
constexpr moert_gpu_module gpuModule{
    MOERT_ABI_VERSION, 5, names, "sm_90", gpuImage, sizeof(gpuImage) - 1};

constexpr int64_t millisecond = 1'000'000;

class GPUTest : public testing::Test {
protected:
  void SetUp() override {
    moert_context_options options;
    moert_context_options_init(&options);
    options.device_type = kDLCUDA;
    moert_context *created = nullptr;
    if (moert_context_create(&options, &created) != MOERT_SUCCESS)
      GTEST_SKIP() << moert_last_error(nullptr);
    context.reset(created);
    expectSuccess(moert_stream_create(created, &stream));
    call = makeCall(created);
    call.stream = stream;
    signature.abi = MOERT_ABI_VERSION;
    signature.device_type = kDLCUDA;
    signature.name = "layer";
    signature.max_tokens = -1;
    signature.num_ranks = 1;
  }

  void TearDown() override {
    if (!context)
      return;
    for (void *memory : allocated)
      expectSuccess(moert_memory_free(context.get(), memory));
    expectSuccess(moert_stream_destroy(context.get(), stream));
  }

  void expectSuccess(moert_status status) {
    EXPECT_EQ(status, MOERT_SUCCESS) << moert_last_error(context.get());
  }

  void begin() { expectSuccess(moert_call_begin(&call, &signature)); }
  void end() { expectSuccess(moert_call_end(&call)); }
  void synchronize() {
    expectSuccess(moert_context_synchronize(context.get()));
  }

  struct Config {
    int64_t grid = 1;
    int32_t threads = 1;
    int32_t shared = 0;
    int32_t cluster = 1;
    bool early = false;
  };
  template <typename... Parameters>
  void launch(int32_t onStream, Kernel kernel, Config config,
              const Parameters &...parameters) {
    const void *pointers[] = {&parameters...};
    moert_launch_gpu(&call, onStream, moert_kernel(&call, &gpuModule, kernel),
                     names[kernel], pointers, config.grid, config.threads,
                     config.shared, config.cluster, config.early);
  }

  /// Memory of the device, filled with zeros.
  template <typename T> T *allocate(size_t count) {
    void *memory = nullptr;
    expectSuccess(
        moert_memory_allocate(context.get(), count * sizeof(T), &memory));
    allocated.push_back(memory);
    expectSuccess(
        moert_memory_fill(context.get(), stream, memory, 0, count * sizeof(T)));
    return static_cast<T *>(memory);
  }
  template <typename T> T *upload(const std::vector<T> &values) {
    T *memory = allocate<T>(values.size());
    expectSuccess(moert_memory_copy(context.get(), stream, memory,
                                    values.data(), values.size() * sizeof(T),
                                    MOERT_COPY_TO_DEVICE));
    return memory;
  }
  template <typename T> std::vector<T> download(const T *memory, size_t count) {
    std::vector<T> values(count);
    expectSuccess(moert_memory_copy(context.get(), stream, values.data(),
                                    memory, count * sizeof(T),
                                    MOERT_COPY_TO_HOST));
    synchronize();
    return values;
  }

  int64_t elapsed(int32_t from, int32_t to) {
    int64_t nanoseconds = 0;
    expectSuccess(moert_mark_elapsed(context.get(), from, to, &nanoseconds));
    return nanoseconds;
  }

  /// As a layer would: aux beside compute, and both in the right order only if
  /// events are. The results are 1, 11, 2 and 12, one after the other.
  void forkAndJoin(int32_t *values, int64_t time) {
    launch(0, SlowStore, {}, values, 1, time);
    moert_stream_wait(&call, 1, moert_event_record(&call, 0));
    launch(1, LoadStore, {}, values, values + 1);
    launch(1, SlowStore, {}, values + 2, 2, time);
    const int64_t join = moert_event_record(&call, 1);
    launch(0, SlowStore, {}, values + 4, 3, time);
    moert_stream_wait(&call, 0, join);
    launch(0, LoadStore, {}, values + 2, values + 3);
  }
  void expectForkAndJoin(const int32_t *values) {
    EXPECT_EQ(download(values, 5), (std::vector<int32_t>{1, 11, 2, 12, 3}));
  }

  ContextPointer context;
  void *stream = nullptr;
  moert_call call{};
  moert_signature signature{};
  std::vector<void *> allocated;
};

TEST_F(GPUTest, RunsKernels) {
  std::vector<float> x(1000), expected(1000);
  std::iota(x.begin(), x.end(), 0.0f);
  for (size_t i = 0; i < x.size(); ++i)
    expected[i] = 2 * x[i] + 1;
  const float *input = upload(x);
  for (void *callStream : {stream, static_cast<void *>(nullptr)}) {
    float *output = allocate<float>(x.size());
    synchronize();
    call.stream = callStream;
    begin();
    launch(0, Affine, {8, 128}, input, output, int32_t(x.size()));
    launch(0, Affine, {0, 128}, input, output, int32_t(x.size()));
    end();
    synchronize();
    EXPECT_EQ(download(output, x.size()), expected);
  }
}

TEST_F(GPUTest, EventsOrderStreams) {
  for (int i = 0; i < 20; ++i) {
    int32_t *values = allocate<int32_t>(5);
    begin();
    forkAndJoin(values, millisecond / 2);
    end();
    expectForkAndJoin(values);
  }
}

TEST_F(GPUTest, StreamsOverlap) {
  int32_t *values = allocate<int32_t>(2);
  begin();
  // Loads the module, which waits for the device.
  launch(0, SlowStore, {}, values, 1, int64_t(0));
  moert_stream_wait(&call, 1, moert_event_record(&call, 0));
  expectSuccess(moert_mark(context.get(), stream, 0));
  launch(1, SlowStore, {}, values, 1, 20 * millisecond);
  launch(0, SlowStore, {}, values + 1, 1, 20 * millisecond);
  moert_stream_wait(&call, 0, moert_event_record(&call, 1));
  expectSuccess(moert_mark(context.get(), stream, 1));
  end();
  synchronize();
  EXPECT_GE(elapsed(0, 1), 20 * millisecond);
  EXPECT_LT(elapsed(0, 1), 35 * millisecond);
}

TEST_F(GPUTest, EarlyStartsStillWait) {
  int32_t *values = allocate<int32_t>(2);
  begin();
  launch(0, SlowStore, {}, values, 7, 5 * millisecond);
  Config early;
  early.early = true;
  launch(0, LoadStore, early, values, values + 1);
  end();
  EXPECT_EQ(download(values, 2), (std::vector<int32_t>{7, 17}));
}

TEST_F(GPUTest, HasLargeClustersAndSharedMemory) {
  struct Case {
    int32_t shared, cluster;
  };
  for (Case test : {Case{16, 1}, Case{48 << 10, 2}, Case{220 << 10, 4},
                    Case{1024, 8}, Case{1024, 16}}) {
    int32_t *value = allocate<int32_t>(1);
    begin();
    launch(0, Limits, {32, 32, test.shared, test.cluster}, value, test.shared);
    end();
    EXPECT_EQ(download(value, 1)[0], test.cluster);
  }
}

TEST_F(GPUTest, TellsWhatTheDriverRefuses) {
  int32_t *value = allocate<int32_t>(1);
  begin();
  launch(0, Limits, {1, 32, 300 << 10, 1}, value, 300 << 10);
  EXPECT_EQ(moert_call_end(&call), MOERT_INTERNAL);
  EXPECT_STREQ(moert_last_error(context.get()),
               "launch 'limits' of kernel 'limits' on stream 'compute' of "
               "cuda:0, with 1 blocks of 32 threads, 307200 bytes of shared "
               "memory and clusters of 1: CUDA_ERROR_INVALID_VALUE (invalid "
               "argument)");
  void *memory = nullptr;
  EXPECT_EQ(moert_memory_allocate(context.get(), size_t(1) << 50, &memory),
            MOERT_OUT_OF_MEMORY);
  const std::string message = moert_last_error(context.get());
  EXPECT_NE(message.find("CUDA_ERROR_OUT_OF_MEMORY (out of memory)"),
            std::string::npos)
      << message;
}

TEST_F(GPUTest, TellsWhatIsWrongWithAnImage) {
  static constexpr char image[] = ".version 8.0\n.target sm_90\n"
                                  ".address_size 64\n.entry f() { nonsense; }";
  const moert_gpu_module module{MOERT_ABI_VERSION, 1,     names,
                                "sm_90",           image, sizeof(image) - 1};
  begin();
  EXPECT_EQ(moert_kernel(&call, &module, 0), nullptr);
  EXPECT_EQ(moert_call_end(&call), MOERT_UNSUPPORTED);
  const std::string message = moert_last_error(context.get());
  for (const char *part : {"CUDA_ERROR_INVALID_PTX", "nonsense"})
    EXPECT_NE(message.find(part), std::string::npos) << message;
}

//===----------------------------------------------------------------------===//
// Tensor maps
//===----------------------------------------------------------------------===//

TEST_F(GPUTest, CutsBoxesOutOfMatrices) {
  const int64_t rows = 40, columns = 96;
  std::vector<uint16_t> matrix(rows * columns);
  std::iota(matrix.begin(), matrix.end(), 1);
  const uint16_t *buffer = upload(matrix);
  const int64_t extents[] = {rows, columns};
  struct Box {
    int64_t rows, columns;
    int32_t swizzle;
  };
  // The last corner's boxes hang over the edge.
  const std::pair<int32_t, int32_t> corners[] = {{0, 0}, {4, 16}, {36, 80}};
  for (Box box : {Box{8, 32, 0}, Box{8, 16, 32}, Box{16, 32, 64},
                  Box{32, 64, 128}, Box{3, 64, 128}}) {
    const int64_t sides[] = {box.rows, box.columns};
    const int32_t count = int32_t(box.rows * box.columns);
    uint16_t *output = allocate<uint16_t>(count);
    for (auto [row, column] : corners) {
      begin();
      const void *map = moert_tensor_map(&call, buffer, kDLBfloat << 8 | 16, 2,
                                         extents, sides, box.swizzle);
      ASSERT_NE(map, nullptr);
      launch(0, Tile, {}, *static_cast<const CUtensorMap *>(map), row, column,
             output, count * 2);
      end();
      std::vector<uint16_t> found = download(output, count);
      for (int64_t i = 0; i < box.rows; ++i)
        for (int64_t k = 0; k < box.columns; ++k) {
          // Swizzling exchanges 16-byte pieces: bits 7 and up of an address
          // are added to bits 4 and up.
          int64_t byte = (i * box.columns + k) * 2;
          byte ^= byte >> 3 & (box.swizzle ? box.swizzle - 16 : 0);
          const bool isInside = row + i < rows && column + k < columns;
          ASSERT_EQ(found[byte / 2],
                    isInside ? matrix[(row + i) * columns + column + k] : 0)
              << box.rows << ", " << box.columns << ": " << i << ", " << k;
        }
    }
  }
}

TEST_F(GPUTest, EncodesMapsOfEmptyBuffers) {
  const int64_t extents[] = {0, 64}, box[] = {8, 32};
  begin();
  EXPECT_NE(moert_tensor_map(&call, nullptr, kDLBfloat << 8 | 16, 2, extents,
                             box, 64),
            nullptr);
  end();
}

//===----------------------------------------------------------------------===//
// Graphs
//===----------------------------------------------------------------------===//

// The first call of a context, in captures of both strictnesses.
TEST_F(GPUTest, CapturesAFirstCall) {
  int32_t *values = allocate<int32_t>(5);
  moert_graph *graph = nullptr;
  synchronize();
  // As PyTorch captures: no thread may do what would break a capture.
  auto beginCapture =
      reinterpret_cast<CUresult (*)(CUstream, CUstreamCaptureMode)>(
          dlsym(dlopen("libcuda.so.1", RTLD_NOW | RTLD_NOLOAD),
                "cuStreamBeginCapture_v2"));
  ASSERT_NE(beginCapture, nullptr);
  ASSERT_EQ(beginCapture(static_cast<CUstream>(stream),
                         CU_STREAM_CAPTURE_MODE_GLOBAL),
            CUDA_SUCCESS);
  begin();
  forkAndJoin(values, millisecond);
  end();
  expectSuccess(moert_capture_end(context.get(), stream, &graph));
  ASSERT_NE(graph, nullptr);
  EXPECT_EQ(download(values, 5), std::vector<int32_t>(5, 0));
  for (int i = 0; i < 3; ++i) {
    expectSuccess(moert_memory_fill(context.get(), stream, values, 0,
                                    5 * sizeof(*values)));
    expectSuccess(moert_graph_launch(context.get(), graph, stream));
    expectForkAndJoin(values);
  }
  expectSuccess(moert_graph_destroy(context.get(), graph));

  expectSuccess(moert_capture_begin(context.get(), stream));
  begin();
  forkAndJoin(values, millisecond);
  end();
  EXPECT_EQ(moert_context_synchronize(context.get()), MOERT_UNSUPPORTED);
  expectSuccess(moert_capture_end(context.get(), stream, &graph));
  expectSuccess(
      moert_memory_fill(context.get(), stream, values, 0, 5 * sizeof(*values)));
  expectSuccess(moert_graph_launch(context.get(), graph, stream));
  expectForkAndJoin(values);
  expectSuccess(moert_graph_destroy(context.get(), graph));
}

//===----------------------------------------------------------------------===//
// Traces and times
//===----------------------------------------------------------------------===//

TEST_F(GPUTest, Traces) {
  int32_t *values = allocate<int32_t>(5);
  begin();
  forkAndJoin(values, 0);
  end();
  synchronize();
  expectSuccess(moert_trace_start(context.get()));
  begin();
  forkAndJoin(values, 5 * millisecond);
  end();
  synchronize();
  const moert_trace_span *spans = nullptr;
  int64_t count = 0;
  expectSuccess(moert_trace_spans(context.get(), &spans, &count));
  ASSERT_EQ(count, 5);
  int64_t lastSlow[2] = {};
  for (int64_t i = 0; i < count; ++i) {
    const moert_trace_span &span = spans[i];
    const bool isSlow = std::string(span.label) == "slow_store";
    EXPECT_GE(span.begin_ns, 0);
    EXPECT_GE(span.end_ns - span.begin_ns, isSlow ? 5 * millisecond : 0);
    EXPECT_LT(span.end_ns - span.begin_ns, 9 * millisecond);
    if (isSlow)
      lastSlow[span.stream] = span.begin_ns;
  }
  // Both start after the first, together.
  EXPECT_NEAR(double(lastSlow[0]), double(lastSlow[1]), 2e6);
  EXPECT_EQ(moert_trace_dropped(context.get()), 0);
}

// What a call costs the host once everything is known: four launches, two
// events, two waits and a tensor map.
TEST_F(GPUTest, CostsLittle) {
  int32_t *values = allocate<int32_t>(64);
  const int64_t extents[] = {16, 64}, box[] = {8, 32};
  constexpr int runs = 2000;
  double best = 1e9;
  for (int round = 0; round < 5; ++round) {
    synchronize();
    auto start = std::chrono::steady_clock::now();
    for (int i = 0; i < runs; ++i) {
      begin();
      ASSERT_NE(moert_tensor_map(&call, values, kDLBfloat << 8 | 16, 2, extents,
                                 box, 64),
                nullptr);
      launch(0, LoadStore, {}, values, values + 1);
      moert_stream_wait(&call, 1, moert_event_record(&call, 0));
      launch(1, LoadStore, {}, values, values + 2);
      const int64_t join = moert_event_record(&call, 1);
      launch(0, LoadStore, {}, values, values + 3);
      moert_stream_wait(&call, 0, join);
      launch(0, LoadStore, {}, values, values + 4);
      end();
      if (i % 100 == 99)
        synchronize();
    }
    std::chrono::duration<double, std::micro> time =
        std::chrono::steady_clock::now() - start;
    best = std::min(best, time.count() / runs);
  }
  RecordProperty("microseconds_per_call", std::to_string(best));
  EXPECT_LT(best, 200);
}

// The last one: after such an error this process has no GPU any more.
TEST_F(GPUTest, TellsWhatKernelsMet) {
  begin();
  launch(0, LoadStore, {}, static_cast<int32_t *>(nullptr),
         static_cast<int32_t *>(nullptr));
  end();
  EXPECT_EQ(moert_context_synchronize(context.get()), MOERT_INTERNAL);
  EXPECT_STREQ(moert_last_error(context.get()),
               "the work on cuda:0 failed at or before launch 'load_store': "
               "CUDA_ERROR_ILLEGAL_ADDRESS (an illegal memory access was "
               "encountered)");
  EXPECT_EQ(moert_stream_destroy(context.get(), stream), MOERT_INTERNAL);
  stream = nullptr;
}

} // namespace
