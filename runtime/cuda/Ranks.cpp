//===- Ranks.cpp - A GPU as a rank ----------------------------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "CUDADevice.h"

#include "../common/Error.h"
#include "../common/Group.h"
#include "Transport.h"

using namespace moert;

moert_status CUDADevice::join(const moert_group &group, int32_t,
                              std::string &error) {
  if (!group.processes)
    return fail(error, MOERT_UNSUPPORTED,
                format("this context runs on %s, expected the cpu: a local "
                       "group hands rows over in memory of the process",
                       name().c_str()));
  return connect(group.processes, error);
}

moert_status CUDADevice::connect(std::shared_ptr<ProcessGroup> group,
                                 std::string &error) {
  CurrentContext current(driver, context);
  moert_status status = createNCCLTransport(driver, context, std::move(group),
                                            state->transport, error);
  if (status != MOERT_SUCCESS)
    error = "device " + name() + ": " + error;
  return status;
}

const Traffic *CUDADevice::traffic() const {
  return state->transport ? &state->transport->traffic() : nullptr;
}

moert_status CUDADevice::shrink(std::vector<bool> &isMember,
                                std::string &error) {
  if (!state->transport)
    return Device::shrink(isMember, error);
  CurrentContext current(driver, context);
  std::shared_ptr<ProcessGroup> before = state->transport->processes();
  std::shared_ptr<ProcessGroup> group;
  if (moert_status status = before->shrink(group, error))
    return status;
  // What the lost ranks have left half done ends with the old transport.
  state->transport.reset();
  if (CUresult result = driver.cuCtxSynchronize())
    return driver.report(result, "the work on " + name() + " failed", error);
  isMember.assign(size_t(group->size()), false);
  for (int32_t rank : group->members())
    isMember[size_t(rank)] = true;
  return connect(std::move(group), error);
}

moert_status CUDADevice::allGather(std::string mine,
                                   std::vector<std::string> &all,
                                   std::string &error) {
  if (!state->transport)
    return Device::allGather(std::move(mine), all, error);
  const std::shared_ptr<ProcessGroup> &group = state->transport->processes();
  if (group->hasFailed(error))
    return MOERT_RANK_FAILED;
  std::vector<std::string> gathered;
  if (moert_status status =
          group->allGather("values", std::move(mine), gathered, error))
    return status;
  all.assign(size_t(group->size()), "");
  for (size_t i = 0; i < gathered.size(); ++i)
    all[size_t(group->members()[i])] = std::move(gathered[i]);
  return MOERT_SUCCESS;
}

moert_status CUDADevice::enqueueCollective(const moert_call &call,
                                           int32_t number,
                                           const CollectiveRequest &request,
                                           std::string &error) {
  CUstream stream;
  if (moert_status status = findStream(call, number, stream, error))
    return status;
  if (!state->transport)
    return Device::enqueueCollective(call, number, request, error);
  const bool isBeingCaptured = isCaptured(stream);
  const bool isTraced = state->trace.isOn() && !isBeingCaptured;
  const char *label = request.collective().label;
  ranges.push(label);
  CUresult result = CUDA_SUCCESS;
  if (isTraced)
    result = state->trace.begin(stream, number, label);
  moert_status status = MOERT_SUCCESS;
  if (result == CUDA_SUCCESS)
    status = state->transport->enqueue(call, stream, isBeingCaptured, request,
                                       error);
  if (isTraced && result == CUDA_SUCCESS)
    result = state->trace.end(stream);
  ranges.pop();
  latestLabel.assign(label);
  if (status == MOERT_SUCCESS && result != CUDA_SUCCESS)
    return driver.report(result,
                         format("collective '%s' on stream '%s' of %s", label,
                                streamName(number).c_str(), name().c_str()),
                         error);
  return status;
}

moert_status CUDADevice::enqueueTransfers(void *stream,
                                          const moert_transfer *transfers,
                                          int64_t count, std::string &error) {
  if (!state->transport)
    return Device::enqueueTransfers(stream, transfers, count, error);
  CurrentContext current(driver, context);
  compute = static_cast<CUstream>(stream);
  return state->transport->enqueueTransfers(*compute, transfers, count, error);
}

moert_status CUDADevice::broadcast(void *comm, int32_t rank, int32_t numRanks,
                                   std::chrono::milliseconds timeout,
                                   std::string &text, std::string &error) {
  CurrentContext current(driver, context);
  return broadcastByNCCL(driver, comm, rank, numRanks, timeout, text, error);
}
