//===- FakeDriver.cpp - A CUDA driver without a GPU -----------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "FakeWorld.h"

#include <cstring>

using namespace moert::test;

World &moert::test::world() {
  static World instance;
  return instance;
}

std::vector<CUcontext> &moert::test::currentContexts() {
  thread_local std::vector<CUcontext> contexts;
  return contexts;
}

CUstreamCaptureMode &moert::test::captureMode() {
  thread_local CUstreamCaptureMode mode = CU_STREAM_CAPTURE_MODE_GLOBAL;
  return mode;
}

FakeDriver *moertFakeDriver() { return &world().driver; }

Entered::Entered(const char *name, bool needsContext)
    : lock(world().driver.mutex) {
  FakeDriver &driver = world().driver;
  if (driver.isRecording)
    ++driver.calls[name];
  if (needsContext && (currentContexts().empty() ||
                       currentContexts().back() != &world().primary ||
                       world().primary.references == 0))
    result = CUDA_ERROR_INVALID_CONTEXT;
  if (driver.failures.empty())
    return;
  auto failure = driver.failures.find(name);
  if (failure != driver.failures.end())
    result = failure->second;
}

void Entered::refuseInCaptures() {
  if (captureMode() == CU_STREAM_CAPTURE_MODE_RELAXED)
    return;
  for (auto &[number, capture] : world().captures) {
    capture.isValid = false;
    result = CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
  }
}

void Entered::refuseCaptured(CUstream stream) {
  int capture = world().streamOf(stream).capture;
  if (!capture)
    return;
  world().captures.at(capture).isValid = false;
  result = CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
}

extern "C" {

//===----------------------------------------------------------------------===//
// The device and its context
//===----------------------------------------------------------------------===//

CUresult cuInit(unsigned) {
  ENTER("cuInit", false);
  return CUDA_SUCCESS;
}

CUresult cuDriverGetVersion(int *version) {
  ENTER("cuDriverGetVersion", false);
  *version = 12020;
  return CUDA_SUCCESS;
}

CUresult cuGetErrorName(CUresult error, const char **text) {
  static const std::map<CUresult, const char *> names = {
      {CUDA_ERROR_ILLEGAL_ADDRESS, "CUDA_ERROR_ILLEGAL_ADDRESS"},
      {CUDA_ERROR_INVALID_IMAGE, "CUDA_ERROR_INVALID_IMAGE"},
      {CUDA_ERROR_INVALID_PTX, "CUDA_ERROR_INVALID_PTX"},
      {CUDA_ERROR_INVALID_VALUE, "CUDA_ERROR_INVALID_VALUE"},
      {CUDA_ERROR_NOT_FOUND, "CUDA_ERROR_NOT_FOUND"},
      {CUDA_ERROR_NO_DEVICE, "CUDA_ERROR_NO_DEVICE"},
      {CUDA_ERROR_OUT_OF_MEMORY, "CUDA_ERROR_OUT_OF_MEMORY"},
      {CUDA_ERROR_STREAM_CAPTURE_UNJOINED,
       "CUDA_ERROR_STREAM_CAPTURE_UNJOINED"}};
  auto name = names.find(error);
  *text = name == names.end() ? nullptr : name->second;
  return *text ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

CUresult cuGetErrorString(CUresult error, const char **text) {
  *text = "in words";
  return CUDA_SUCCESS;
}

CUresult cuDeviceGetCount(int *count) {
  ENTER("cuDeviceGetCount", false);
  *count = world().driver.numDevices;
  return CUDA_SUCCESS;
}

CUresult cuDeviceGet(CUdevice *device, int number) {
  ENTER("cuDeviceGet", false);
  *device = number;
  return CUDA_SUCCESS;
}

CUresult cuDeviceGetName(char *name, int length, CUdevice) {
  ENTER("cuDeviceGetName", false);
  std::strncpy(name, "Fake H100", size_t(length));
  return CUDA_SUCCESS;
}

CUresult cuDeviceGetAttribute(int *value, CUdevice_attribute attribute,
                              CUdevice) {
  ENTER("cuDeviceGetAttribute", false);
  *value = attribute == CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR ? 9 : 0;
  return CUDA_SUCCESS;
}

CUresult cuDevicePrimaryCtxRetain(CUcontext *context, CUdevice) {
  ENTER("cuDevicePrimaryCtxRetain", false);
  ++world().primary.references;
  ++world().driver.numLive;
  *context = &world().primary;
  return CUDA_SUCCESS;
}

CUresult cuDevicePrimaryCtxRelease(CUdevice) {
  ENTER("cuDevicePrimaryCtxRelease", false);
  --world().primary.references;
  --world().driver.numLive;
  return CUDA_SUCCESS;
}

CUresult cuCtxGetCurrent(CUcontext *context) {
  ENTER("cuCtxGetCurrent", false);
  *context = currentContexts().empty() ? nullptr : currentContexts().back();
  return CUDA_SUCCESS;
}

CUresult cuCtxPushCurrent(CUcontext context) {
  ENTER("cuCtxPushCurrent", false);
  currentContexts().push_back(context);
  return CUDA_SUCCESS;
}

CUresult cuCtxPopCurrent(CUcontext *context) {
  ENTER("cuCtxPopCurrent", false);
  if (currentContexts().empty())
    return CUDA_ERROR_INVALID_CONTEXT;
  *context = currentContexts().back();
  currentContexts().pop_back();
  return CUDA_SUCCESS;
}

CUresult cuCtxSynchronize(void) {
  ENTER("cuCtxSynchronize");
  entered.refuseInCaptures();
  return entered.result;
}

//===----------------------------------------------------------------------===//
// Streams and events
//===----------------------------------------------------------------------===//

CUresult cuStreamCreateWithPriority(CUstream *stream, unsigned flags,
                                    int priority) {
  ENTER("cuStreamCreateWithPriority");
  entered.refuseInCaptures();
  RETURN_IF_REFUSED();
  if (flags != CU_STREAM_NON_BLOCKING)
    return CUDA_ERROR_INVALID_VALUE;
  std::vector<int> &priorities = world().driver.streamPriorities;
  priorities.resize(std::max<size_t>(priorities.size(), 1));
  if (priorities.size() == FakeClock().size())
    return CUDA_ERROR_OUT_OF_MEMORY;
  auto created = std::make_unique<CUstream_st>();
  created->number = int(priorities.size());
  created->time = world().driver.now;
  priorities.push_back(priority);
  *stream = created.get();
  world().streams.push_back(std::move(created));
  ++world().driver.numLive;
  return CUDA_SUCCESS;
}

CUresult cuStreamDestroy(CUstream stream) {
  ENTER("cuStreamDestroy");
  entered.check(stream);
  RETURN_IF_REFUSED();
  stream->isAlive = false;
  --world().driver.numLive;
  return CUDA_SUCCESS;
}

CUresult cuStreamGetPriority(CUstream stream, int *priority) {
  ENTER("cuStreamGetPriority");
  entered.check(stream);
  RETURN_IF_REFUSED();
  *priority = stream ? world().driver.streamPriorities[stream->number] : 0;
  return CUDA_SUCCESS;
}

CUresult cuStreamSynchronize(CUstream stream) {
  ENTER("cuStreamSynchronize");
  entered.check(stream);
  entered.refuseCaptured(stream);
  return entered.result;
}

CUresult cuStreamQuery(CUstream stream) {
  ENTER("cuStreamQuery");
  entered.check(stream);
  entered.refuseCaptured(stream);
  return entered.result;
}

CUresult cuStreamWriteValue32(CUstream stream, CUdeviceptr address,
                              cuuint32_t value, unsigned) {
  ENTER("cuStreamWriteValue32");
  entered.check(stream);
  if (entered.result == CUDA_SUCCESS && world().streamOf(stream).capture == 0)
    __atomic_store_n(reinterpret_cast<uint32_t *>(address), value,
                     __ATOMIC_RELEASE);
  return entered.result;
}

CUresult cuEventCreate(CUevent *event, unsigned flags) {
  ENTER("cuEventCreate");
  entered.refuseInCaptures();
  RETURN_IF_REFUSED();
  auto created = std::make_unique<CUevent_st>();
  created->hasTime = !(flags & CU_EVENT_DISABLE_TIMING);
  *event = created.get();
  world().events.push_back(std::move(created));
  ++world().driver.numLive;
  return CUDA_SUCCESS;
}

CUresult cuEventDestroy(CUevent event) {
  ENTER("cuEventDestroy");
  entered.check(event);
  RETURN_IF_REFUSED();
  event->isAlive = false;
  --world().driver.numLive;
  return CUDA_SUCCESS;
}

CUresult cuEventRecord(CUevent event, CUstream handle) {
  ENTER("cuEventRecord");
  entered.check(event);
  entered.check(handle);
  RETURN_IF_REFUSED();
  CUstream_st &stream = world().streamOf(handle);
  event->isRecorded = true;
  event->clock = stream.clock;
  event->time = std::max(stream.time, world().driver.now);
  event->capture = stream.capture;
  return CUDA_SUCCESS;
}

CUresult cuStreamWaitEvent(CUstream handle, CUevent event, unsigned) {
  ENTER("cuStreamWaitEvent");
  entered.check(event);
  entered.check(handle);
  RETURN_IF_REFUSED();
  CUstream_st &stream = world().streamOf(handle);
  // A capture takes in what waits for it, and lets nothing else in or out.
  if (event->capture && !stream.capture)
    stream.capture = event->capture;
  if (event->capture != stream.capture)
    return CUDA_ERROR_STREAM_CAPTURE_ISOLATION;
  for (size_t i = 0; i < stream.clock.size(); ++i)
    stream.clock[i] = std::max(stream.clock[i], event->clock[i]);
  stream.time = std::max(stream.time, event->time);
  return CUDA_SUCCESS;
}

CUresult cuEventQuery(CUevent event) {
  ENTER("cuEventQuery");
  entered.check(event);
  entered.refuseInCaptures();
  RETURN_IF_REFUSED();
  return world().driver.isBusy ? CUDA_ERROR_NOT_READY : CUDA_SUCCESS;
}

CUresult cuEventElapsedTime(float *milliseconds, CUevent begin, CUevent end) {
  ENTER("cuEventElapsedTime");
  entered.check(begin);
  entered.check(end);
  RETURN_IF_REFUSED();
  for (CUevent event : {begin, end})
    if (!event->hasTime || !event->isRecorded || event->capture)
      return CUDA_ERROR_INVALID_HANDLE;
  if (world().driver.isBusy)
    return CUDA_ERROR_NOT_READY;
  *milliseconds = float(end->time - begin->time);
  return CUDA_SUCCESS;
}

//===----------------------------------------------------------------------===//
// Captures and graphs
//===----------------------------------------------------------------------===//

CUresult cuThreadExchangeStreamCaptureMode(CUstreamCaptureMode *mode) {
  ENTER("cuThreadExchangeStreamCaptureMode", false);
  std::swap(*mode, captureMode());
  return CUDA_SUCCESS;
}

CUresult cuStreamIsCapturing(CUstream handle, CUstreamCaptureStatus *status) {
  ENTER("cuStreamIsCapturing");
  entered.check(handle);
  RETURN_IF_REFUSED();
  int capture = world().streamOf(handle).capture;
  *status = !capture ? CU_STREAM_CAPTURE_STATUS_NONE
            : world().captures.at(capture).isValid
                ? CU_STREAM_CAPTURE_STATUS_ACTIVE
                : CU_STREAM_CAPTURE_STATUS_INVALIDATED;
  return CUDA_SUCCESS;
}

CUresult cuStreamBeginCapture(CUstream handle, CUstreamCaptureMode) {
  ENTER("cuStreamBeginCapture");
  entered.check(handle);
  RETURN_IF_REFUSED();
  if (!handle || handle->capture)
    return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
  handle->capture = ++world().numCaptures;
  world().captures[handle->capture] = {handle, new CUgraph_st};
  ++world().driver.numLive;
  return CUDA_SUCCESS;
}

CUresult cuStreamEndCapture(CUstream handle, CUgraph *graph) {
  ENTER("cuStreamEndCapture");
  entered.check(handle);
  RETURN_IF_REFUSED();
  auto capture = world().captures.find(handle->capture);
  if (capture == world().captures.end() || capture->second.origin != handle)
    return CUDA_ERROR_INVALID_VALUE;
  CUresult result = CUDA_SUCCESS;
  for (auto &stream : world().streams) {
    if (stream->capture != capture->first)
      continue;
    if (handle->clock[stream->number] < stream->clock[stream->number])
      result = CUDA_ERROR_STREAM_CAPTURE_UNJOINED;
    stream->capture = 0;
  }
  if (!capture->second.isValid)
    result = CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
  *graph = result == CUDA_SUCCESS ? capture->second.graph : nullptr;
  if (result != CUDA_SUCCESS) {
    delete capture->second.graph;
    --world().driver.numLive;
  }
  world().captures.erase(capture);
  return result;
}

CUresult cuGraphInstantiateWithFlags(CUgraphExec *executable, CUgraph graph,
                                     unsigned long long) {
  ENTER("cuGraphInstantiateWithFlags");
  *executable = new CUgraphExec_st{graph->launches};
  ++world().driver.numLive;
  return CUDA_SUCCESS;
}

CUresult cuGraphLaunch(CUgraphExec executable, CUstream handle) {
  ENTER("cuGraphLaunch");
  CUstream_st &stream = world().streamOf(handle);
  for (FakeLaunch launch : executable->launches) {
    launch.isCaptured = false;
    launch.run();
    stream.time += world().driver.launchTime;
    world().driver.launches.push_back(launch);
  }
  return CUDA_SUCCESS;
}

CUresult cuGraphDestroy(CUgraph graph) {
  ENTER("cuGraphDestroy");
  delete graph;
  --world().driver.numLive;
  return CUDA_SUCCESS;
}

CUresult cuGraphExecDestroy(CUgraphExec executable) {
  ENTER("cuGraphExecDestroy");
  delete executable;
  --world().driver.numLive;
  return CUDA_SUCCESS;
}

//===----------------------------------------------------------------------===//
// The one function that is found by the loader
//===----------------------------------------------------------------------===//

CUresult cuGetProcAddress(const char *name, void **address, int version,
                          cuuint64_t, CUdriverProcAddressQueryResult *found) {
  std::lock_guard<std::mutex> lock(world().driver.mutex);
  *address = nullptr;
  *found = CU_GET_PROC_ADDRESS_SYMBOL_NOT_FOUND;
  if (version < 12000 || world().driver.missing.count(name))
    return CUDA_ERROR_NOT_FOUND;
#define MOERT_DRIVER_FUNCTION(function)                                        \
  if (std::strcmp(name, #function) == 0)                                       \
    *address = reinterpret_cast<void *>(&::function);
#include "cuda/DriverFunctions.def"
  if (!*address)
    return CUDA_ERROR_NOT_FOUND;
  *found = CU_GET_PROC_ADDRESS_SUCCESS;
  return CUDA_SUCCESS;
}

} // extern "C"
