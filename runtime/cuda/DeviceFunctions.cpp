//===- DeviceFunctions.cpp - Memory, streams, graphs, times ---------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "CUDADevice.h"

#include "../common/Error.h"

#include <algorithm>
#include <cmath>

using namespace moert;

struct moert_graph {
  CUgraphExec executable;
};

static CUdeviceptr toAddress(const void *memory) {
  return reinterpret_cast<CUdeviceptr>(memory);
}

//===----------------------------------------------------------------------===//
// Memory
//===----------------------------------------------------------------------===//

moert_status CUDADevice::allocate(size_t bytes, void *&memory,
                                  std::string &error) {
  CurrentContext current(driver, context);
  CUdeviceptr address = 0;
  CUresult result = driver.cuMemAlloc(&address, std::max<size_t>(bytes, 1));
  if (result == CUDA_SUCCESS) {
    memory = reinterpret_cast<void *>(address);
    return MOERT_SUCCESS;
  }
  size_t left = 0, total = 0;
  driver.cuMemGetInfo(&left, &total);
  return driver.report(result,
                       format("%s: cannot allocate %zu bytes, %zu of %zu are "
                              "free",
                              name().c_str(), bytes, left, total),
                       error);
}

moert_status CUDADevice::free(void *memory, std::string &error) {
  CurrentContext current(driver, context);
  if (CUresult result = driver.cuMemFree(toAddress(memory)))
    return driver.report(result, name() + ": cannot free memory", error);
  return MOERT_SUCCESS;
}

moert_status CUDADevice::copy(void *streamPointer, void *to, const void *from,
                              size_t bytes, moert_copy_kind kind,
                              std::string &error) {
  CurrentContext current(driver, context);
  auto stream = static_cast<CUstream>(streamPointer);
  compute = stream;
  CUresult result =
      kind == MOERT_COPY_TO_DEVICE
          ? driver.cuMemcpyHtoDAsync(toAddress(to), from, bytes, stream)
      : kind == MOERT_COPY_TO_HOST
          ? driver.cuMemcpyDtoHAsync(to, toAddress(from), bytes, stream)
          : driver.cuMemcpyDtoDAsync(toAddress(to), toAddress(from), bytes,
                                     stream);
  if (result != CUDA_SUCCESS)
    return driver.report(
        result, format("%s: cannot copy %zu bytes", name().c_str(), bytes),
        error);
  return MOERT_SUCCESS;
}

moert_status CUDADevice::fill(void *streamPointer, void *memory, uint8_t byte,
                              size_t bytes, std::string &error) {
  CurrentContext current(driver, context);
  auto stream = static_cast<CUstream>(streamPointer);
  compute = stream;
  if (CUresult result =
          driver.cuMemsetD8Async(toAddress(memory), byte, bytes, stream))
    return driver.report(
        result, format("%s: cannot fill %zu bytes", name().c_str(), bytes),
        error);
  return MOERT_SUCCESS;
}

//===----------------------------------------------------------------------===//
// Streams and graphs
//===----------------------------------------------------------------------===//

moert_status CUDADevice::createStream(void *&stream, std::string &error) {
  CurrentContext current(driver, context);
  CUstream created = nullptr;
  if (CUresult result = driver.cuStreamCreateWithPriority(
          &created, CU_STREAM_NON_BLOCKING, /*priority=*/0))
    return driver.report(result, name() + ": cannot create a stream", error);
  stream = created;
  return MOERT_SUCCESS;
}

moert_status CUDADevice::destroyStream(void *streamPointer,
                                       std::string &error) {
  CurrentContext current(driver, context);
  auto stream = static_cast<CUstream>(streamPointer);
  CUresult result = driver.cuStreamSynchronize(stream);
  if (compute == stream)
    compute.reset();
  CUresult destroyed = driver.cuStreamDestroy(stream);
  if (result == CUDA_SUCCESS)
    result = destroyed;
  if (result != CUDA_SUCCESS)
    return driver.report(result, name() + ": the work on a stream failed",
                         error);
  return MOERT_SUCCESS;
}

moert_status CUDADevice::beginCapture(void *stream, std::string &error) {
  CurrentContext current(driver, context);
  if (!stream)
    return fail(error, MOERT_INVALID_ARGUMENT,
                "the stream is null, expected one that can be captured");
  if (CUresult result = driver.cuStreamBeginCapture(
          static_cast<CUstream>(stream), CU_STREAM_CAPTURE_MODE_THREAD_LOCAL))
    return driver.report(result, name() + ": cannot capture", error);
  return MOERT_SUCCESS;
}

moert_status CUDADevice::endCapture(void *stream, moert_graph *&graph,
                                    std::string &error) {
  CurrentContext current(driver, context);
  CUgraph captured = nullptr;
  if (CUresult result =
          driver.cuStreamEndCapture(static_cast<CUstream>(stream), &captured))
    return driver.report(result, name() + ": the capture failed", error);
  auto made = std::make_unique<moert_graph>();
  CUresult result =
      driver.cuGraphInstantiateWithFlags(&made->executable, captured, 0);
  driver.cuGraphDestroy(captured);
  if (result != CUDA_SUCCESS)
    return driver.report(result, name() + ": cannot instantiate a graph",
                         error);
  graph = made.release();
  return MOERT_SUCCESS;
}

moert_status CUDADevice::launchGraph(moert_graph &graph, void *streamPointer,
                                     std::string &error) {
  CurrentContext current(driver, context);
  auto stream = static_cast<CUstream>(streamPointer);
  compute = stream;
  if (CUresult result = driver.cuGraphLaunch(graph.executable, stream))
    return driver.report(result, name() + ": cannot launch a graph", error);
  return MOERT_SUCCESS;
}

moert_status CUDADevice::destroyGraph(moert_graph &graph, std::string &error) {
  CurrentContext current(driver, context);
  CUresult result = driver.cuGraphExecDestroy(graph.executable);
  delete &graph;
  if (result != CUDA_SUCCESS)
    return driver.report(result, name() + ": cannot destroy a graph", error);
  return MOERT_SUCCESS;
}

//===----------------------------------------------------------------------===//
// Times
//===----------------------------------------------------------------------===//

moert_status CUDADevice::mark(void *streamPointer, int32_t index,
                              std::string &error) {
  constexpr int32_t maxMarks = 1 << 16;
  if (index < 0 || index >= maxMarks)
    return fail(
        error, MOERT_INVALID_ARGUMENT,
        format("there is no mark %d, expected 0 to %d", index, maxMarks - 1));
  CurrentContext current(driver, context);
  auto stream = static_cast<CUstream>(streamPointer);
  compute = stream;
  std::vector<CUevent> &marks = state->marks;
  if (size_t(index) >= marks.size())
    marks.resize(index + 1);
  CUresult result = CUDA_SUCCESS;
  if (!marks[index]) {
    RelaxedCapture relaxed(driver);
    result = driver.cuEventCreate(&marks[index], CU_EVENT_DEFAULT);
  }
  if (result == CUDA_SUCCESS)
    result = driver.cuEventRecord(marks[index], stream);
  if (result != CUDA_SUCCESS)
    return driver.report(
        result, format("%s: cannot set mark %d", name().c_str(), index), error);
  return MOERT_SUCCESS;
}

CUevent CUDADevice::findMark(int32_t index, std::string &error) const {
  if (index >= 0 && size_t(index) < state->marks.size() && state->marks[index])
    return state->marks[index];
  error = format("mark %d was never set", index);
  return nullptr;
}

moert_status CUDADevice::elapsed(int32_t from, int32_t to, int64_t &nanoseconds,
                                 std::string &error) {
  CurrentContext current(driver, context);
  CUevent begin = findMark(from, error);
  CUevent end = begin ? findMark(to, error) : nullptr;
  if (!end)
    return MOERT_INVALID_ARGUMENT;
  float milliseconds = 0;
  if (CUresult result = driver.cuEventElapsedTime(&milliseconds, begin, end))
    return driver.report(
        result,
        format("%s: cannot read the time between marks %d and %d",
               name().c_str(), from, to),
        error);
  nanoseconds = std::llround(double(milliseconds) * 1e6);
  return MOERT_SUCCESS;
}
