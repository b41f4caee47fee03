//===- CPUDevice.cpp - The CPU as a device: its threads -------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "CPUDevice.h"

#include "../common/Error.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>

#if defined(__linux__)
#include <sched.h>
#endif

using namespace moert;

/// An event is the number of a stream and a count of its entries.
static constexpr int eventCountBits = 48;

/// The cores that this process may use.
static int32_t numCores() {
#if defined(__linux__)
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof(set), &set) == 0)
    return CPU_COUNT(&set);
#endif
  return std::max(1u, std::thread::hardware_concurrency());
}

// A launch is worked on by its stream's worker and by the helpers, so one
// busy stream keeps exactly `numThreads` threads busy.
CPUDevice::CPUDevice(int32_t numThreads)
    : Device({kDLCPU, 0}),
      helpers((numThreads ? numThreads : std::min(numCores(), maxThreads)) -
              1) {
  addStream(MOERT_STREAM_COMPUTE);
  addStream(MOERT_STREAM_AUX);
}

//===----------------------------------------------------------------------===//
// Streams
//===----------------------------------------------------------------------===//

Stream *CPUDevice::existingStream(int32_t number) const {
  return number >= 0 && number < maxStreams ? streams[number].get() : nullptr;
}

Stream &CPUDevice::addStream(int32_t number) {
  streams[number] =
      std::make_unique<Stream>(number, helpers, traceSwitch, failure.isSet);
  helpers.add(streams[number]->blocks());
  return *streams[number];
}

Stream *CPUDevice::findStream(int32_t number, std::string &error) {
  if (number < 0 || number >= maxStreams) {
    error = noStreamText(number);
    return nullptr;
  }
  return streams[number] ? streams[number].get() : &addStream(number);
}

CPUDevice::~CPUDevice() {
  drain();
  if (group)
    group->leave(rank);
}

void CPUDevice::drain() {
  for (std::unique_ptr<Stream> &stream : streams)
    if (stream)
      stream->awaitCompleted(stream->numEnqueued());
}

moert_status CPUDevice::synchronize(std::string &error) {
  Stream &compute = *streams[MOERT_STREAM_COMPUTE];
  compute.awaitCompleted(compute.numEnqueued());
  return takeFailure(error);
}

//===----------------------------------------------------------------------===//
// Calls
//===----------------------------------------------------------------------===//

moert_status CPUDevice::beginCall(const moert_call &, const char *,
                                  std::string &error) {
  if (!failure.isSet)
    return MOERT_SUCCESS;
  // Nothing of the failed call is left on the streams when this one starts.
  drain();
  return takeFailure(error);
}

moert_status CPUDevice::endCall(const moert_call &, bool hasFailed,
                                std::string &) {
  if (hasFailed)
    drain();
  return MOERT_SUCCESS;
}

moert_status CPUDevice::recordEvent(const moert_call &, int32_t number,
                                    int64_t &event, std::string &error) {
  Stream *stream = findStream(number, error);
  if (!stream)
    return MOERT_INVALID_ARGUMENT;
  event = int64_t(uint64_t(number) << eventCountBits | stream->numEnqueued());
  return MOERT_SUCCESS;
}

moert_status CPUDevice::waitEvent(const moert_call &, int32_t number,
                                  int64_t event, std::string &error) {
  Stream *stream = findStream(number, error);
  if (!stream)
    return MOERT_INVALID_ARGUMENT;
  uint64_t count = uint64_t(event) & ((uint64_t(1) << eventCountBits) - 1);
  Stream *other = existingStream(int32_t(uint64_t(event) >> eventCountBits));
  if (!other || count > other->numEnqueued())
    return fail(error, MOERT_INVALID_ARGUMENT, unknownEventText(number, event));
  stream->waitFor(*other, count);
  return MOERT_SUCCESS;
}

/// Returns "" for a launch that can be enqueued.
static std::string findFault(const HostLaunch &launch) {
  if (!launch.kernel)
    return "has a null kernel";
  if (launch.argumentBytes < 0 ||
      launch.argumentBytes > MOERT_MAX_ARGUMENT_BYTES)
    return format("has %lld bytes of arguments, expected 0 to %d",
                  static_cast<long long>(launch.argumentBytes),
                  MOERT_MAX_ARGUMENT_BYTES);
  if (launch.argumentBytes > 0 && !launch.arguments)
    return format("has null arguments, expected %lld bytes",
                  static_cast<long long>(launch.argumentBytes));
  if (launch.grid < 0)
    return format("has %lld blocks, expected 0 or more",
                  static_cast<long long>(launch.grid));
  return "";
}

moert_status CPUDevice::launch(const moert_call &, int32_t number,
                               const HostLaunch &launch, std::string &error) {
  Stream *stream = findStream(number, error);
  if (!stream)
    return MOERT_INVALID_ARGUMENT;
  std::string fault = findFault(launch);
  if (!fault.empty())
    return fail(error, MOERT_INVALID_ARGUMENT,
                format("launch '%s' on stream '%s' %s", launch.label,
                       streamName(number).c_str(), fault.c_str()));
  stream->launch(
      reinterpret_cast<Kernel>(reinterpret_cast<uintptr_t>(launch.kernel)),
      launch.label, launch.arguments, launch.argumentBytes, launch.grid);
  return MOERT_SUCCESS;
}

/// What only programs for another device ask for.
static moert_status refuse(const char *what, std::string &error) {
  return fail(error, MOERT_UNSUPPORTED,
              format("this context runs on the cpu, which has no %s", what));
}

moert_status CPUDevice::launch(const moert_call &, int32_t, const GPULaunch &,
                               std::string &error) {
  return refuse("launches of kernels for a GPU", error);
}

moert_status CPUDevice::findKernel(const moert_call &, const moert_gpu_module &,
                                   int32_t, const void *&, std::string &error) {
  return refuse("kernels for a GPU", error);
}

moert_status CPUDevice::findTensorMap(const moert_call &,
                                      const TensorMapRequest &, const void *&,
                                      std::string &error) {
  return refuse("tensor maps", error);
}

//===----------------------------------------------------------------------===//
// Traces
//===----------------------------------------------------------------------===//

moert_status CPUDevice::startTrace(std::string &) {
  traceSwitch.set(false);
  for (std::unique_ptr<Stream> &stream : streams)
    if (stream)
      stream->trace().clear();
  traceOrigin = traceClock();
  traceSwitch.set(true);
  return MOERT_SUCCESS;
}

moert_status CPUDevice::collectSpans(std::vector<moert_trace_span> &spans,
                                     std::string &) {
  for (int32_t i = 0; i < maxStreams; ++i)
    if (Stream *stream = existingStream(i))
      stream->trace().forEach([&](const StreamTrace::Span &span) {
        // A launch that a stopped trace saw begin is no part of a later one.
        if (span.begin >= traceOrigin)
          spans.push_back({span.label, i, span.begin - traceOrigin,
                           span.end - traceOrigin});
      });
  return MOERT_SUCCESS;
}

int64_t CPUDevice::numDroppedSpans() const {
  int64_t dropped = 0;
  for (const std::unique_ptr<Stream> &stream : streams)
    if (stream)
      dropped += stream->trace().numDropped();
  return dropped;
}

//===----------------------------------------------------------------------===//
// Memory
//===----------------------------------------------------------------------===//

moert_status CPUDevice::allocate(size_t bytes, void *&memory,
                                 std::string &error) {
  // A page, which is more than was promised.
  constexpr size_t unit = 4096;
  if (bytes <= size_t(PTRDIFF_MAX) - unit)
    memory = std::aligned_alloc(unit, (bytes / unit + 1) * unit);
  if (!memory)
    return fail(error, MOERT_OUT_OF_MEMORY,
                format("cpu: cannot allocate %zu bytes", bytes));
  return MOERT_SUCCESS;
}

moert_status CPUDevice::free(void *memory, std::string &) {
  std::free(memory);
  return MOERT_SUCCESS;
}

static constexpr size_t pieceBytes = 1 << 20;

namespace {
struct CopyArguments {
  char *to;
  const char *from;
  size_t bytes;
};
struct FillArguments {
  char *memory;
  size_t bytes;
  uint8_t byte;
};
} // namespace

static void copyPiece(const void *given, int64_t piece) {
  const auto &arguments = *static_cast<const CopyArguments *>(given);
  size_t begin = size_t(piece) * pieceBytes;
  std::memcpy(arguments.to + begin, arguments.from + begin,
              std::min(pieceBytes, arguments.bytes - begin));
}

static void fillPiece(const void *given, int64_t piece) {
  const auto &arguments = *static_cast<const FillArguments *>(given);
  size_t begin = size_t(piece) * pieceBytes;
  std::memset(arguments.memory + begin, arguments.byte,
              std::min(pieceBytes, arguments.bytes - begin));
}

moert_status CPUDevice::checkStream(void *stream, std::string &error) {
  if (!stream)
    return MOERT_SUCCESS;
  return fail(error, MOERT_INVALID_ARGUMENT,
              "the stream is not null, expected null on the cpu");
}

void CPUDevice::launchPieces(Kernel kernel, const char *label,
                             const void *arguments, size_t argumentBytes,
                             size_t bytes) {
  streams[MOERT_STREAM_COMPUTE]->launch(
      kernel, label, arguments, int64_t(argumentBytes),
      int64_t(bytes / pieceBytes + (bytes % pieceBytes != 0)));
}

moert_status CPUDevice::copy(void *stream, void *to, const void *from,
                             size_t bytes, moert_copy_kind,
                             std::string &error) {
  CopyArguments arguments = {static_cast<char *>(to),
                             static_cast<const char *>(from), bytes};
  moert_status status = checkStream(stream, error);
  if (status == MOERT_SUCCESS)
    launchPieces(copyPiece, "copy", &arguments, sizeof(arguments), bytes);
  return status;
}

moert_status CPUDevice::fill(void *stream, void *memory, uint8_t byte,
                             size_t bytes, std::string &error) {
  FillArguments arguments = {static_cast<char *>(memory), bytes, byte};
  moert_status status = checkStream(stream, error);
  if (status == MOERT_SUCCESS)
    launchPieces(fillPiece, "fill", &arguments, sizeof(arguments), bytes);
  return status;
}

//===----------------------------------------------------------------------===//
// What only other devices have
//===----------------------------------------------------------------------===//

moert_status CPUDevice::createStream(void *&stream, std::string &) {
  stream = nullptr;
  return MOERT_SUCCESS;
}

moert_status CPUDevice::destroyStream(void *stream, std::string &error) {
  return checkStream(stream, error);
}

moert_status CPUDevice::beginCapture(void *, std::string &error) {
  return refuse("graphs", error);
}

moert_status CPUDevice::endCapture(void *, moert_graph *&, std::string &error) {
  return refuse("graphs", error);
}

moert_status CPUDevice::launchGraph(moert_graph &, void *, std::string &error) {
  return refuse("graphs", error);
}

moert_status CPUDevice::destroyGraph(moert_graph &, std::string &error) {
  return refuse("graphs", error);
}

moert_status CPUDevice::mark(void *, int32_t, std::string &error) {
  return refuse("clock of its own", error);
}

moert_status CPUDevice::elapsed(int32_t, int32_t, int64_t &,
                                std::string &error) {
  return refuse("clock of its own", error);
}
