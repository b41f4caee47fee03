//===- CPUDevice.h - The CPU as a device: its threads -----------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOERT_LIB_CPUDEVICE_H
#define MOERT_LIB_CPUDEVICE_H

#include "../common/Device.h"
#include "HelperPool.h"
#include "LocalGroup.h"
#include "Stream.h"
#include "Trace.h"
#include "Transfer.h"

#include <array>
#include <atomic>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace moert {

constexpr int32_t maxThreads = 1024;

/// The CPU as a context's device: a stream is a worker thread with a ring of
/// work, and helpers work on the launches of all streams.
class CPUDevice final : public Device {
public:
  /// With 0 threads, one for every core that the process may use.
  explicit CPUDevice(int32_t numThreads);
  ~CPUDevice() override;

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
  const Traffic *traffic() const override {
    return received ? &*received : nullptr;
  }
  void programsChanged() override { communicators.clear(); }
  moert_status synchronize(std::string &error) override;

  moert_status startTrace(std::string &error) override;
  void stopTrace() override { traceSwitch.set(false); }
  moert_status collectSpans(std::vector<moert_trace_span> &spans,
                            std::string &error) override;
  int64_t numDroppedSpans() const override;
  bool hasStream(int32_t number) const override {
    return existingStream(number);
  }

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
  /// The stream of that number, which is created if it is a communicator's and
  /// is used for the first time; null, with an error, where there can be no
  /// such stream.
  Stream *findStream(int32_t number, std::string &error);

  /// As `findStream`, but never creates one.
  Stream *existingStream(int32_t number) const;

  Stream &addStream(int32_t number);

  /// Enqueues a kernel of our own, which works on `bytes` bytes piece by piece.
  void launchPieces(Kernel kernel, const char *label, const void *arguments,
                    size_t argumentBytes, size_t bytes);

  /// Refuses all but null: the caller has no stream of his own.
  static moert_status checkStream(void *stream, std::string &error);

  /// Waits for all work of all streams.
  void drain();

  /// A communicator of a program, as this rank sees it.
  struct Communicator {
    LocalGroup::Room *room;
    Membership members;
  };
  /// Those of a program, which are found once; null, with an error, if there
  /// is one that this group cannot have.
  const std::vector<Communicator> *
  findCommunicators(const moert_signature &signature, std::string &error);

  struct CollectiveArguments;
  static void runCollective(const void *arguments, int64_t block);

  /// What went wrong on a stream since somebody asked; work behind it is
  /// skipped, as it might read what was not written.
  struct Failure {
    std::mutex mutex;
    moert_status status = MOERT_SUCCESS;
    std::string message;
    std::atomic<bool> isSet{false};
  };
  void failOnStream(moert_status status, std::string message);
  moert_status takeFailure(std::string &error);

  std::shared_ptr<LocalGroup> group;
  int32_t rank = 0;
  std::optional<Traffic> received;
  std::vector<std::pair<const moert_exchange *, std::vector<Communicator>>>
      communicators;
  /// Lists of transfers, each until the compute stream has completed so many
  /// entries.
  std::vector<std::pair<uint64_t, std::unique_ptr<TransferList>>> transferLists;
  Failure failure;

  TraceSwitch traceSwitch;
  int64_t traceOrigin = 0; // By `traceClock`.

  // The helpers look at the streams' blocks, so they end first.
  std::array<std::unique_ptr<Stream>, maxStreams> streams;
  HelperPool helpers;
};

} // namespace moert

#endif // MOERT_LIB_CPUDEVICE_H
