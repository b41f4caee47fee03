//===- CUDADevice.h - A GPU as a device: its streams ------------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOERT_CUDA_CUDADEVICE_H
#define MOERT_CUDA_CUDADEVICE_H

#include "../common/Device.h"
#include "Driver.h"
#include "EventRing.h"
#include "LaunchTrace.h"
#include "ModuleCache.h"
#include "Ranges.h"
#include "TensorMapCache.h"

#include <array>
#include <memory>
#include <optional>

namespace moert {

class ProcessGroup;
class Transport;

/// A GPU as a context's device. The compute stream is the caller's, which may
/// be one that is being captured; aux and communicators have streams of their
/// own. Once everything was used, a call allocates nothing and waits for
/// nothing.
class CUDADevice final : public Device {
public:
  /// Creates the device of that number.
  static moert_status create(int32_t number,
                             std::unique_ptr<CUDADevice> &device,
                             std::string &error);
  ~CUDADevice() override;

  moert_status beginCall(const moert_call &call, const char *layer,
                         std::string &error) override;
  moert_status endCall(const moert_call &call, bool hasFailed,
                       std::string &error) override;
  moert_status recordEvent(const moert_call &call, int32_t stream,
                           int64_t &event, std::string &error) override;
  moert_status waitEvent(const moert_call &call, int32_t stream, int64_t event,
                         std::string &error) override;
  moert_status launch(const moert_call &call, int32_t stream,
                      const HostLaunch &launch, std::string &error) override;
  moert_status launch(const moert_call &call, int32_t stream,
                      const GPULaunch &launch, std::string &error) override;
  moert_status findKernel(const moert_call &call,
                          const moert_gpu_module &module, int32_t index,
                          const void *&kernel, std::string &error) override;
  moert_status findTensorMap(const moert_call &call,
                             const TensorMapRequest &request, const void *&map,
                             std::string &error) override;
  moert_status enqueueCollective(const moert_call &call, int32_t stream,
                                 const CollectiveRequest &request,
                                 std::string &error) override;
  moert_status enqueueTransfers(void *stream, const moert_transfer *transfers,
                                int64_t count, std::string &error) override;
  moert_status join(const moert_group &group, int32_t rank,
                    std::string &error) override;
  moert_status broadcast(void *comm, int32_t rank, int32_t numRanks,
                         std::chrono::milliseconds timeout, std::string &text,
                         std::string &error) override;
  moert_status shrink(std::vector<bool> &isMember, std::string &error) override;
  moert_status allGather(std::string mine, std::vector<std::string> &all,
                         std::string &error) override;
  const Traffic *traffic() const override;
  void programsChanged() override;
  moert_status synchronize(std::string &error) override;

  moert_status startTrace(std::string &error) override;
  void stopTrace() override;
  moert_status collectSpans(std::vector<moert_trace_span> &spans,
                            std::string &error) override;
  int64_t numDroppedSpans() const override;
  bool hasStream(int32_t number) const override;

  moert_status allocate(size_t bytes, void *&memory,
                        std::string &error) override;
  moert_status free(void *memory, std::string &error) override;
  moert_status copy(void *stream, void *to, const void *from, size_t bytes,
                    moert_copy_kind kind, std::string &error) override;
  moert_status fill(void *stream, void *memory, uint8_t byte, size_t bytes,
                    std::string &error) override;
  moert_status createStream(void *&stream, std::string &error) override;
  moert_status destroyStream(void *stream, std::string &error) override;
  moert_status beginCapture(void *stream, std::string &error) override;
  moert_status endCapture(void *stream, moert_graph *&graph,
                          std::string &error) override;
  moert_status launchGraph(moert_graph &graph, void *stream,
                           std::string &error) override;
  moert_status destroyGraph(moert_graph &graph, std::string &error) override;
  moert_status mark(void *stream, int32_t index, std::string &error) override;
  moert_status elapsed(int32_t from, int32_t to, int64_t &nanoseconds,
                       std::string &error) override;

private:
  explicit CUDADevice(int32_t number) : Device({kDLCUDA, number}) {}

  /// Finds the driver, the device and its primary context.
  moert_status open(std::string &error);

  /// What exists in the context only, so that it goes before it.
  struct State {
    State(const Driver &driver, std::string deviceText);
    ~State();

    const Driver &driver;
    /// That of compute is always null: it is the caller's.
    std::array<CUstream, maxStreams> streams{};
    EventRing events;
    ModuleCache modules;
    TensorMapCache tensorMaps;
    LaunchTrace trace;
    std::vector<CUevent> marks;
    std::unique_ptr<Transport> transport; // Null: one rank.
  };

  /// The stream of that number in this call; the device's own are created when
  /// they are used for the first time.
  moert_status findStream(const moert_call &call, int32_t number,
                          CUstream &stream, std::string &error);
  moert_status connect(std::shared_ptr<ProcessGroup> group, std::string &error);
  moert_status enqueue(CUstream stream, int32_t number, const GPULaunch &launch,
                       LoadedKernel &kernel, std::string &error);
  /// Lets launches of the kernel ask for that much.
  CUresult raiseLimits(LoadedKernel &kernel, const GPULaunch &launch) const;
  CUresult launchKernel(CUstream stream, const GPULaunch &launch,
                        const LoadedKernel &kernel) const;
  /// Whether work on the stream goes into a graph, for all that is known.
  bool isCaptured(CUstream stream) const;
  /// The mark's event, or null with an error.
  CUevent findMark(int32_t index, std::string &error) const;

  Driver driver;
  CUdevice handle = 0;
  CUcontext context = nullptr;
  std::optional<State> state;
  const Ranges ranges;

  /// What a call has made current and moert_call_end takes back.
  std::optional<CurrentContext> current;
  /// The compute stream that was given last, and its latest launch.
  std::optional<CUstream> compute;
  std::string latestLabel;
};

} // namespace moert

#endif // MOERT_CUDA_CUDADEVICE_H
