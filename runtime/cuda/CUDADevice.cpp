//===- CUDADevice.cpp - A GPU as a device: its streams --------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "CUDADevice.h"

#include "../common/Error.h"
#include "Transport.h"

using namespace moert;

//===----------------------------------------------------------------------===//
// Creating and destroying
//===----------------------------------------------------------------------===//

moert_status CUDADevice::create(int32_t number,
                                std::unique_ptr<CUDADevice> &device,
                                std::string &error) {
  std::unique_ptr<CUDADevice> created(new CUDADevice(number));
  if (moert_status status = created->open(error)) {
    error = "device " + created->name() + " " + error;
    return status;
  }
  device = std::move(created);
  return MOERT_SUCCESS;
}

moert_status CUDADevice::open(std::string &error) {
  error = driver.load();
  if (!error.empty())
    return MOERT_UNSUPPORTED;
  if (CUresult result = driver.cuInit(0))
    return driver.report(result, "cannot be used", error);
  int count = 0;
  driver.cuDeviceGetCount(&count);
  if (id().device_id >= count)
    return fail(error, MOERT_UNSUPPORTED,
                format("is not there: this process sees %d", count));
  char product[256] = "";
  int major = 0, minor = 0;
  if (CUresult result = driver.cuDeviceGet(&handle, id().device_id))
    return driver.report(result, "cannot be used", error);
  driver.cuDeviceGetName(product, sizeof(product), handle);
  driver.cuDeviceGetAttribute(
      &major, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, handle);
  driver.cuDeviceGetAttribute(
      &minor, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR, handle);
  if (CUresult result = driver.cuDevicePrimaryCtxRetain(&context, handle)) {
    context = nullptr;
    return driver.report(result, "has no context to work in", error);
  }
  CurrentContext current(driver, context);
  RelaxedCapture relaxed(driver);
  state.emplace(driver, format("%s (%s, sm_%d%d)", name().c_str(), product,
                               major, minor));
  if (CUresult result = state->events.create())
    return driver.report(result, "has no room for events", error);
  return MOERT_SUCCESS;
}

CUDADevice::~CUDADevice() {
  if (!context)
    return;
  {
    CurrentContext current(driver, context);
    RelaxedCapture relaxed(driver);
    // The last stream of a caller may be gone by now; the context is not.
    driver.cuCtxSynchronize();
    state.reset();
  }
  driver.cuDevicePrimaryCtxRelease(handle);
}

Transport::~Transport() = default;

CUDADevice::State::State(const Driver &driver, std::string deviceText)
    : driver(driver), events(driver), modules(driver, deviceText),
      tensorMaps(driver), trace(driver) {}

CUDADevice::State::~State() {
  transport.reset();
  for (CUevent event : marks)
    if (event)
      driver.cuEventDestroy(event);
  for (CUstream stream : streams)
    if (stream)
      driver.cuStreamDestroy(stream);
}

//===----------------------------------------------------------------------===//
// Calls
//===----------------------------------------------------------------------===//

moert_status CUDADevice::beginCall(const moert_call &call, const char *layer,
                                   std::string &) {
  current.emplace(driver, context);
  compute = static_cast<CUstream>(call.stream);
  state->tensorMaps.beginCall();
  if (state->transport)
    state->transport->beginCall();
  ranges.push(layer);
  return MOERT_SUCCESS;
}

moert_status CUDADevice::endCall(const moert_call &call, bool hasFailed,
                                 std::string &) {
  // What is captured has not run, and must not be waited for.
  if (hasFailed && !isCaptured(*compute)) {
    driver.cuStreamSynchronize(*compute);
    for (CUstream stream : state->streams)
      if (stream)
        driver.cuStreamSynchronize(stream);
  }
  ranges.pop();
  current.reset();
  return MOERT_SUCCESS;
}

moert_status CUDADevice::findStream(const moert_call &call, int32_t number,
                                    CUstream &stream, std::string &error) {
  if (number < 0 || number >= maxStreams)
    return fail(error, MOERT_INVALID_ARGUMENT, noStreamText(number));
  if (number == MOERT_STREAM_COMPUTE) {
    stream = static_cast<CUstream>(call.stream);
    return MOERT_SUCCESS;
  }
  CUstream &own = state->streams[number];
  if (!own) {
    // One of the caller's priority, so that neither starves beside the other.
    RelaxedCapture relaxed(driver);
    int priority = 0;
    CUresult result = driver.cuStreamGetPriority(
        static_cast<CUstream>(call.stream), &priority);
    if (result == CUDA_SUCCESS)
      result = driver.cuStreamCreateWithPriority(&own, CU_STREAM_NON_BLOCKING,
                                                 priority);
    if (result != CUDA_SUCCESS)
      return driver.report(result,
                           "cannot create stream '" + streamName(number) +
                               "' on " + name(),
                           error);
  }
  stream = own;
  return MOERT_SUCCESS;
}

moert_status CUDADevice::recordEvent(const moert_call &call, int32_t number,
                                     int64_t &event, std::string &error) {
  CUstream stream;
  if (moert_status status = findStream(call, number, stream, error))
    return status;
  if (CUresult result = state->events.record(stream, number, event))
    return driver.report(result,
                         "cannot record an event on stream '" +
                             streamName(number) + "' of " + name(),
                         error);
  return MOERT_SUCCESS;
}

moert_status CUDADevice::waitEvent(const moert_call &call, int32_t number,
                                   int64_t event, std::string &error) {
  CUstream stream;
  if (moert_status status = findStream(call, number, stream, error))
    return status;
  const int32_t other = state->events.streamOf(event);
  if (other < 0)
    return fail(error, MOERT_INVALID_ARGUMENT, unknownEventText(number, event));
  if (other == number)
    return MOERT_SUCCESS;
  if (CUresult result =
          driver.cuStreamWaitEvent(stream, state->events.eventOf(event), 0))
    return driver.report(result,
                         "stream '" + streamName(number) + "' of " + name() +
                             " cannot wait for stream '" + streamName(other) +
                             "'",
                         error);
  return MOERT_SUCCESS;
}

bool CUDADevice::isCaptured(CUstream stream) const {
  CUstreamCaptureStatus status;
  return driver.cuStreamIsCapturing(stream, &status) != CUDA_SUCCESS ||
         status != CU_STREAM_CAPTURE_STATUS_NONE;
}

void CUDADevice::programsChanged() {
  state->modules.doubtAddresses();
  if (state->transport)
    state->transport->programsChanged();
}

moert_status CUDADevice::findKernel(const moert_call &,
                                    const moert_gpu_module &module,
                                    int32_t index, const void *&kernel,
                                    std::string &error) {
  LoadedKernel *found = nullptr;
  moert_status status = state->modules.find(module, index, found, error);
  kernel = found;
  return status;
}

moert_status CUDADevice::findTensorMap(const moert_call &,
                                       const TensorMapRequest &request,
                                       const void *&map, std::string &error) {
  const CUtensorMap *found = nullptr;
  moert_status status = state->tensorMaps.find(request, found, error);
  map = found;
  return status;
}

moert_status CUDADevice::synchronize(std::string &error) {
  if (!compute)
    return MOERT_SUCCESS;
  CurrentContext current(driver, context);
  // Waiting would spoil the capture.
  if (isCaptured(*compute))
    return fail(error, MOERT_UNSUPPORTED,
                "the compute stream of " + name() +
                    " is being captured, expected the end of the capture "
                    "before waiting");
  CUresult result = driver.cuStreamSynchronize(*compute);
  std::string launch =
      latestLabel.empty() ? "" : " at or before launch '" + latestLabel + "'";
  latestLabel.clear();
  // What was aborted is complete, too.
  if (state->transport && state->transport->processes()->hasFailed(error))
    return MOERT_RANK_FAILED;
  if (result != CUDA_SUCCESS)
    return driver.report(result, "the work on " + name() + " failed" + launch,
                         error);
  return MOERT_SUCCESS;
}

//===----------------------------------------------------------------------===//
// Launches
//===----------------------------------------------------------------------===//

moert_status CUDADevice::launch(const moert_call &, int32_t,
                                const HostLaunch &launch, std::string &error) {
  return fail(error, MOERT_UNSUPPORTED,
              format("launch '%s' is one of a function of the cpu, expected a "
                     "kernel for %s, where this context runs",
                     launch.label, name().c_str()));
}

/// Returns "" for a launch that can be given to the driver.
static std::string findFault(const GPULaunch &launch) {
  if (!launch.kernel)
    return "has a null kernel";
  if (launch.grid < 0 || launch.grid > INT32_MAX)
    return format("has %lld blocks, expected 0 to 2^31 - 1",
                  static_cast<long long>(launch.grid));
  const int32_t maxThreads =
      static_cast<const LoadedKernel *>(launch.kernel)->maxThreads;
  if (launch.threads < 1 || launch.threads > maxThreads)
    return format("has %d threads in a block, expected 1 to %d", launch.threads,
                  maxThreads);
  if (launch.sharedBytes < 0)
    return format("asks for %d bytes of shared memory, expected 0 or more",
                  launch.sharedBytes);
  if (launch.cluster < 0 ||
      (launch.cluster > 1 && launch.grid % launch.cluster != 0))
    return format("has %lld blocks in clusters of %d, expected a multiple",
                  static_cast<long long>(launch.grid), launch.cluster);
  return "";
}

moert_status CUDADevice::launch(const moert_call &call, int32_t number,
                                const GPULaunch &launch, std::string &error) {
  CUstream stream;
  if (moert_status status = findStream(call, number, stream, error))
    return status;
  if (launch.grid == 0)
    return MOERT_SUCCESS;
  std::string fault = findFault(launch);
  if (!fault.empty())
    return fail(error, MOERT_INVALID_ARGUMENT,
                format("launch '%s' on stream '%s' %s", launch.label,
                       streamName(number).c_str(), fault.c_str()));
  // moert_kernel handed it out as constant, as generated code only passes it
  // on.
  auto &kernel =
      *static_cast<LoadedKernel *>(const_cast<void *>(launch.kernel));
  ranges.push(launch.label);
  moert_status status = enqueue(stream, number, launch, kernel, error);
  ranges.pop();
  return status;
}

moert_status CUDADevice::enqueue(CUstream stream, int32_t number,
                                 const GPULaunch &launch, LoadedKernel &kernel,
                                 std::string &error) {
  LaunchTrace &trace = state->trace;
  // Events of a graph have no time that could be asked for.
  const bool isTraced = trace.isOn() && !isCaptured(stream);
  CUresult result = raiseLimits(kernel, launch);
  if (result == CUDA_SUCCESS && isTraced)
    result = trace.begin(stream, number, launch.label);
  if (result == CUDA_SUCCESS)
    result = launchKernel(stream, launch, kernel);
  if (isTraced) {
    CUresult ended = trace.end(stream);
    result = result == CUDA_SUCCESS ? ended : result;
  }
  latestLabel.assign(launch.label);
  if (result == CUDA_SUCCESS)
    return MOERT_SUCCESS;
  return fail(
      error, getStatus(result),
      format("launch '%s' of kernel '%s' on stream '%s' of %s, with %lld "
             "blocks of %d threads, %d bytes of shared memory and clusters of "
             "%d: %s",
             launch.label, kernel.name, streamName(number).c_str(),
             name().c_str(), static_cast<long long>(launch.grid),
             launch.threads, launch.sharedBytes, launch.cluster,
             driver.describe(result).c_str()));
}

CUresult CUDADevice::raiseLimits(LoadedKernel &kernel,
                                 const GPULaunch &launch) const {
  if (launch.sharedBytes > kernel.sharedBytes) {
    if (CUresult result = driver.cuFuncSetAttribute(
            kernel.function, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES,
            launch.sharedBytes))
      return result;
    kernel.sharedBytes = launch.sharedBytes;
  }
  constexpr int32_t portableCluster = 8; // That every device can run.
  if (launch.cluster > portableCluster && !kernel.takesLargeClusters) {
    if (CUresult result = driver.cuFuncSetAttribute(
            kernel.function,
            CU_FUNC_ATTRIBUTE_NON_PORTABLE_CLUSTER_SIZE_ALLOWED, 1))
      return result;
    kernel.takesLargeClusters = true;
  }
  return CUDA_SUCCESS;
}

CUresult CUDADevice::launchKernel(CUstream stream, const GPULaunch &launch,
                                  const LoadedKernel &kernel) const {
  CUlaunchAttribute attributes[2] = {};
  CUlaunchConfig config = {};
  config.gridDimX = unsigned(launch.grid);
  config.gridDimY = config.gridDimZ = 1;
  config.blockDimX = unsigned(launch.threads);
  config.blockDimY = config.blockDimZ = 1;
  config.sharedMemBytes = unsigned(launch.sharedBytes);
  config.hStream = stream;
  config.attrs = attributes;
  if (launch.cluster > 1) {
    CUlaunchAttribute &attribute = attributes[config.numAttrs++];
    attribute.id = CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION;
    attribute.value.clusterDim.x = unsigned(launch.cluster);
    attribute.value.clusterDim.y = attribute.value.clusterDim.z = 1;
  }
  if (launch.startsEarly) {
    CUlaunchAttribute &attribute = attributes[config.numAttrs++];
    attribute.id = CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION;
    attribute.value.programmaticStreamSerializationAllowed = 1;
  }
  return driver.cuLaunchKernelEx(&config, kernel.function, launch.parameters,
                                 nullptr);
}

//===----------------------------------------------------------------------===//
// Traces
//===----------------------------------------------------------------------===//

moert_status CUDADevice::startTrace(std::string &error) {
  CurrentContext current(driver, context);
  if (CUresult result = state->trace.start())
    return driver.report(result, "cannot trace " + name(), error);
  return MOERT_SUCCESS;
}

void CUDADevice::stopTrace() { state->trace.stop(); }

moert_status CUDADevice::collectSpans(std::vector<moert_trace_span> &spans,
                                      std::string &error) {
  CurrentContext current(driver, context);
  CUresult result = state->trace.collect();
  spans.insert(spans.end(), state->trace.spans().begin(),
               state->trace.spans().end());
  if (result != CUDA_SUCCESS)
    return driver.report(result, "cannot read the trace of " + name(), error);
  return MOERT_SUCCESS;
}

int64_t CUDADevice::numDroppedSpans() const {
  return state->trace.numDropped();
}

bool CUDADevice::hasStream(int32_t number) const {
  return number == MOERT_STREAM_COMPUTE ||
         (number > 0 && number < maxStreams && state->streams[number]);
}
