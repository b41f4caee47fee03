//===- Device.h - What a context does on its device -------------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOERT_COMMON_DEVICE_H
#define MOERT_COMMON_DEVICE_H

#include "Traffic.h"

#include "moert/moert.h"

#include <chrono>
#include <memory>
#include <string>
#include <vector>

namespace moert {

/// The most streams of a context: compute, aux and communicators.
constexpr int32_t maxStreams = 64;

/// "compute", "aux" or "comm N".
std::string streamName(int32_t number);

/// Messages about a number that is no stream's, and about a wait on `stream`
/// for something that is no event.
std::string noStreamText(int32_t number);
std::string unknownEventText(int32_t stream, int64_t event);

/// A launch of a function of this process.
struct HostLaunch {
  const void *kernel;
  const char *label;
  const void *arguments;
  int64_t argumentBytes;
  int64_t grid;
};

/// A launch of a kernel that `Device::findKernel` found.
struct GPULaunch {
  const void *kernel;
  const char *label;
  void **parameters;
  int64_t grid;
  int32_t threads;
  int32_t sharedBytes;
  int32_t cluster;
  bool startsEarly;
};

/// A buffer and how a tensor map cuts it; lists are outermost first.
struct TensorMapRequest {
  const void *address;
  uint8_t dtypeCode;
  uint8_t dtypeBits;
  int32_t rank;
  const int64_t *extents;
  const int64_t *box;
  int32_t swizzle;
};

/// One collective of a program. Arrays are those of moert_collective_enqueue.
struct CollectiveRequest {
  const moert_signature *signature;
  int32_t step;
  const moert_collective_data *data;
  const int32_t *sendCounts;
  const int32_t *receiveCounts;

  const moert_collective &collective() const {
    return signature->exchange->collectives[step];
  }
};

/// The device of a context, with all that the context has there. One caller at
/// a time. What can fail returns a status and puts its message, which names
/// what was expected and what was found, into `error`; exceptions of the
/// standard library may leave every function.
class Device {
public:
  /// Waits for all work.
  virtual ~Device();

  DLDevice id() const { return device; }
  /// "cpu" or "cuda:0".
  std::string name() const;

  //===--- Calls ----------------------------------------------------------===//

  /// Opens a call that was checked, of a layer of that name.
  virtual moert_status beginCall(const moert_call &call, const char *layer,
                                 std::string &error) = 0;

  /// Closes the call. Waits for all its work if it has failed.
  virtual moert_status endCall(const moert_call &call, bool hasFailed,
                               std::string &error) = 0;

  /// A ticket for all work enqueued on the stream so far.
  virtual moert_status recordEvent(const moert_call &call, int32_t stream,
                                   int64_t &event, std::string &error) = 0;

  virtual moert_status waitEvent(const moert_call &call, int32_t stream,
                                 int64_t event, std::string &error) = 0;

  virtual moert_status launch(const moert_call &call, int32_t stream,
                              const HostLaunch &launch, std::string &error) = 0;

  virtual moert_status launch(const moert_call &call, int32_t stream,
                              const GPULaunch &launch, std::string &error) = 0;

  virtual moert_status findKernel(const moert_call &call,
                                  const moert_gpu_module &module, int32_t index,
                                  const void *&kernel, std::string &error) = 0;

  virtual moert_status findTensorMap(const moert_call &call,
                                     const TensorMapRequest &request,
                                     const void *&map, std::string &error) = 0;

  /// Enqueues a collective with the other ranks. Devices that ranks cannot join
  /// refuse.
  virtual moert_status enqueueCollective(const moert_call &call, int32_t stream,
                                         const CollectiveRequest &request,
                                         std::string &error);

  /// Joins a group of ranks, once. Devices refuse groups whose ranks they
  /// cannot reach.
  virtual moert_status join(const moert_group &group, int32_t rank,
                            std::string &error);

  /// Enqueues transfers that were checked with the other ranks. Devices without
  /// refuse.
  virtual moert_status enqueueTransfers(void *stream,
                                        const moert_transfer *transfers,
                                        int64_t count, std::string &error);

  /// Gives all ranks of the caller's communicator the text of rank 0, of at
  /// most 255 characters.
  virtual moert_status broadcast(void *comm, int32_t rank, int32_t numRanks,
                                 std::chrono::milliseconds timeout,
                                 std::string &text, std::string &error);

  /// Goes on without the ranks that the group has lost. `isMember[rank]` says
  /// who is left.
  virtual moert_status shrink(std::vector<bool> &isMember, std::string &error);

  /// Hands the bytes of each rank to all, in the order of ranks; "" for lost
  /// ones. Waits for all ranks.
  virtual moert_status allGather(std::string mine,
                                 std::vector<std::string> &all,
                                 std::string &error);

  /// What collectives of calls took from other ranks; null before a group was
  /// joined.
  virtual const Traffic *traffic() const { return nullptr; }

  /// Programs were loaded: an address may name something else than before.
  virtual void programsChanged() = 0;

  /// Waits for the compute stream and returns what went wrong there.
  virtual moert_status synchronize(std::string &error) = 0;

  //===--- Traces ---------------------------------------------------------===//

  virtual moert_status startTrace(std::string &error) = 0;
  virtual void stopTrace() = 0;

  /// Appends the spans of launches that are complete, in any order.
  virtual moert_status collectSpans(std::vector<moert_trace_span> &spans,
                                    std::string &error) = 0;
  virtual int64_t numDroppedSpans() const = 0;

  /// Whether the stream was ever used.
  virtual bool hasStream(int32_t number) const = 0;

  //===--- What moert.h offers under the same names -----------------------===//

  virtual moert_status allocate(size_t bytes, void *&memory,
                                std::string &error) = 0;
  virtual moert_status free(void *memory, std::string &error) = 0;
  virtual moert_status copy(void *stream, void *to, const void *from,
                            size_t bytes, moert_copy_kind kind,
                            std::string &error) = 0;
  virtual moert_status fill(void *stream, void *memory, uint8_t byte,
                            size_t bytes, std::string &error) = 0;
  virtual moert_status createStream(void *&stream, std::string &error) = 0;
  virtual moert_status destroyStream(void *stream, std::string &error) = 0;
  virtual moert_status beginCapture(void *stream, std::string &error) = 0;
  virtual moert_status endCapture(void *stream, moert_graph *&graph,
                                  std::string &error) = 0;
  virtual moert_status launchGraph(moert_graph &graph, void *stream,
                                   std::string &error) = 0;
  virtual moert_status destroyGraph(moert_graph &graph, std::string &error) = 0;
  virtual moert_status mark(void *stream, int32_t index,
                            std::string &error) = 0;
  virtual moert_status elapsed(int32_t from, int32_t to, int64_t &nanoseconds,
                               std::string &error) = 0;

protected:
  explicit Device(DLDevice device) : device(device) {}

private:
  const DLDevice device;
};

/// What a device's library exports under `createDeviceSymbol`. `options` are
/// checked, but for the ABI version and the number of the device.
using CreateDevice = moert_status (*)(const moert_context_options *options,
                                      Device **device, std::string *error);
constexpr char createDeviceSymbol[] = "moert_create_device";

} // namespace moert

#endif // MOERT_COMMON_DEVICE_H
