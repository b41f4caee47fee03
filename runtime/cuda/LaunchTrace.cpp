//===- LaunchTrace.cpp - Spans of launches, from events -------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "LaunchTrace.h"

#include <cmath>
#include <utility>

using namespace moert;

LaunchTrace::~LaunchTrace() {
  for (Launch &launch : pending) {
    spare.push_back(launch.begin);
    if (launch.end)
      spare.push_back(launch.end);
  }
  for (CUevent event : spare)
    driver.cuEventDestroy(event);
  if (base)
    driver.cuEventDestroy(base);
}

CUresult LaunchTrace::takeEvent(CUevent &event) {
  event = nullptr;
  if (spare.empty()) {
    if (numEvents == maxEvents)
      return CUDA_SUCCESS;
    RelaxedCapture relaxed(driver);
    CUresult result = driver.cuEventCreate(&event, CU_EVENT_DEFAULT);
    numEvents += result == CUDA_SUCCESS;
    return result;
  }
  event = spare.back();
  spare.pop_back();
  return CUDA_SUCCESS;
}

CUresult LaunchTrace::start() {
  on = false;
  for (Launch &launch : pending)
    for (CUevent event : {launch.begin, launch.end})
      if (event)
        spare.push_back(event);
  pending.clear();
  recorded.clear();
  isOpen = false;
  dropped = 0;
  baseTime = 0;
  if (!base)
    if (CUresult result = driver.cuEventCreate(&base, CU_EVENT_DEFAULT))
      return result;
  // On a stream of its own the event waits for nothing.
  CUstream clock;
  if (CUresult result =
          driver.cuStreamCreateWithPriority(&clock, CU_STREAM_NON_BLOCKING, 0))
    return result;
  CUresult result = driver.cuEventRecord(base, clock);
  if (result == CUDA_SUCCESS)
    result = driver.cuStreamSynchronize(clock);
  driver.cuStreamDestroy(clock);
  on = result == CUDA_SUCCESS;
  return result;
}

CUresult LaunchTrace::begin(CUstream stream, int32_t number,
                            const char *label) {
  if (recorded.size() + pending.size() >= maxSpans) {
    ++dropped;
    return CUDA_SUCCESS;
  }
  if (spare.size() < 2 && numEvents + 2 > maxEvents) {
    RelaxedCapture relaxed(driver);
    if (CUresult result = collect())
      return result;
  }
  Launch launch = {nullptr, nullptr, label, number};
  CUresult result = takeEvent(launch.begin);
  if (result == CUDA_SUCCESS)
    result = takeEvent(launch.end);
  if (launch.end)
    result = driver.cuEventRecord(launch.begin, stream);
  if (result != CUDA_SUCCESS || !launch.end) {
    for (CUevent event : {launch.begin, launch.end})
      if (event)
        spare.push_back(event);
    ++dropped;
    return result;
  }
  pending.push_back(launch);
  isOpen = true;
  return CUDA_SUCCESS;
}

CUresult LaunchTrace::end(CUstream stream) {
  if (!isOpen)
    return CUDA_SUCCESS;
  isOpen = false;
  return driver.cuEventRecord(pending.back().end, stream);
}

static int64_t toNanoseconds(float milliseconds) {
  return std::llround(double(milliseconds) * 1e6);
}

CUresult LaunchTrace::readSpan(Launch &launch, moert_trace_span &span) {
  float sinceBase = 0, duration = 0;
  if (CUresult result =
          driver.cuEventElapsedTime(&sinceBase, base, launch.begin))
    return result;
  if (CUresult result =
          driver.cuEventElapsedTime(&duration, launch.begin, launch.end))
    return result;
  const int64_t begin = baseTime + toNanoseconds(sinceBase);
  span = {launch.label, launch.stream, begin, begin + toNanoseconds(duration)};
  constexpr float longTime = 50; // Where a float still resolves 4 ns.
  if (sinceBase > longTime) {
    std::swap(base, launch.begin);
    baseTime = begin;
  }
  return CUDA_SUCCESS;
}

CUresult LaunchTrace::collect() {
  while (!pending.empty() && !(isOpen && pending.size() == 1)) {
    Launch &launch = pending.front();
    CUresult result = driver.cuEventQuery(launch.end);
    if (result == CUDA_ERROR_NOT_READY)
      return CUDA_SUCCESS;
    moert_trace_span span;
    if (result == CUDA_SUCCESS)
      result = readSpan(launch, span);
    if (result != CUDA_SUCCESS)
      return result;
    recorded.push_back(span);
    spare.push_back(launch.begin);
    spare.push_back(launch.end);
    pending.pop_front();
  }
  return CUDA_SUCCESS;
}
