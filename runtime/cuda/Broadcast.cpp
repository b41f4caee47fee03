//===- Broadcast.cpp - A text over the caller's communicator --------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "NCCL.h"
#include "Transport.h"

#include "../common/Error.h"

#include <chrono>
#include <cstring>
#include <thread>

using namespace moert;

moert_status moert::broadcastByNCCL(const Driver &driver, void *comm,
                                    int32_t rank, int32_t numRanks,
                                    std::chrono::milliseconds timeout,
                                    std::string &text, std::string &error) {
  NCCL nccl;
  error = nccl.load();
  if (!error.empty())
    return MOERT_UNSUPPORTED;
  auto handle = static_cast<ncclComm_t>(comm);
  int count = 0, number = 0;
  nccl.CommCount(handle, &count);
  nccl.CommUserRank(handle, &number);
  if (count != numRanks || number != rank)
    return fail(error, MOERT_INVALID_ARGUMENT,
                format("the communicator has this process as rank %d of %d, "
                       "expected %d of %d, as the context",
                       number, count, rank, numRanks));
  char line[256] = "";
  std::strncpy(line, text.c_str(), sizeof(line) - 1);
  CUdeviceptr memory = 0;
  CUstream stream = nullptr;
  CUresult result = driver.cuMemAlloc(&memory, sizeof(line));
  if (result == CUDA_SUCCESS)
    result = driver.cuStreamCreateWithPriority(&stream, CU_STREAM_NON_BLOCKING,
                                               /*priority=*/0);
  if (result == CUDA_SUCCESS)
    result = driver.cuMemcpyHtoDAsync(memory, line, sizeof(line), stream);
  ncclResult_t sent = ncclSuccess;
  if (result == CUDA_SUCCESS)
    sent = nccl.Broadcast(reinterpret_cast<void *>(memory),
                          reinterpret_cast<void *>(memory), sizeof(line),
                          ncclInt8, /*root=*/0, handle, stream);
  const auto deadline = std::chrono::steady_clock::now() + timeout;
  auto isLate = [&] { return std::chrono::steady_clock::now() > deadline; };
  while (sent == ncclInProgress && !isLate()) {
    std::this_thread::yield();
    nccl.CommGetAsyncError(handle, &sent);
  }
  if (result == CUDA_SUCCESS && sent == ncclSuccess)
    result = driver.cuMemcpyDtoHAsync(line, memory, sizeof(line), stream);
  while (result == CUDA_SUCCESS && sent == ncclSuccess) {
    result = driver.cuStreamQuery(stream);
    if (result != CUDA_ERROR_NOT_READY)
      break;
    result = CUDA_SUCCESS;
    if (isLate())
      sent = ncclInProgress;
    std::this_thread::yield();
  }
  // What still runs keeps its stream and memory: who waits for it is stuck.
  if (sent == ncclInProgress)
    return fail(error, MOERT_RANK_FAILED,
                format("rank %d has waited %lld ms for the other ranks of the "
                       "communicator",
                       rank, static_cast<long long>(timeout.count())));
  if (stream)
    driver.cuStreamDestroy(stream);
  if (memory)
    driver.cuMemFree(memory);
  if (sent != ncclSuccess)
    return fail(error, MOERT_RANK_FAILED,
                std::string("the communicator's broadcast: ") +
                    nccl.GetErrorString(sent));
  if (result != CUDA_SUCCESS)
    return driver.report(result, "the communicator's broadcast", error);
  text = line;
  return MOERT_SUCCESS;
}
