//===- Transport.h - How a GPU reaches other ranks --------------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOERT_CUDA_TRANSPORT_H
#define MOERT_CUDA_TRANSPORT_H

#include "../common/Device.h"
#include "../processes/ProcessGroup.h"
#include "Driver.h"

#include <memory>
#include <string>

namespace moert {

/// The way from this GPU to those of the other ranks of a group.
class Transport {
public:
  virtual ~Transport();

  virtual const std::shared_ptr<ProcessGroup> &processes() const = 0;

  virtual const Traffic &traffic() const = 0;

  /// Addresses of programs may name others now.
  virtual void programsChanged() = 0;
  virtual void beginCall() = 0;
  virtual moert_status enqueue(const moert_call &call, CUstream stream,
                               bool isCaptured,
                               const CollectiveRequest &request,
                               std::string &error) = 0;
  virtual moert_status enqueueTransfers(CUstream stream,
                                        const moert_transfer *transfers,
                                        int64_t count, std::string &error) = 0;
};

/// That of NCCL; refuses where this was built without NCCL's headers. The
/// driver outlives it.
moert_status createNCCLTransport(const Driver &driver, CUcontext context,
                                 std::shared_ptr<ProcessGroup> group,
                                 std::unique_ptr<Transport> &transport,
                                 std::string &error);

/// Gives all ranks of the caller's ncclComm_t the text of rank 0. The context
/// is current.
moert_status broadcastByNCCL(const Driver &driver, void *comm, int32_t rank,
                             int32_t numRanks,
                             std::chrono::milliseconds timeout,
                             std::string &text, std::string &error);

} // namespace moert

#endif // MOERT_CUDA_TRANSPORT_H
