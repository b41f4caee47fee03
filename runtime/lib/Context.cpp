//===- Context.cpp - A context: its device and its errors -----------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Context.h"

#include "CPUDevice.h"
#include "DeviceLibrary.h"

using namespace moert;

void moert_context::recordError(moert_status status, std::string message) {
  if (recordedStatus != MOERT_SUCCESS)
    return;
  recordedStatus = status;
  recordedMessage = std::move(message);
}

moert_status moert_context::takeError() {
  moert_status status = recordedStatus;
  if (status != MOERT_SUCCESS)
    lastError = std::move(recordedMessage);
  recordedStatus = MOERT_SUCCESS;
  recordedMessage.clear();
  return status;
}

void moert_context_options_init(moert_context_options *options) {
  if (options)
    *options = {MOERT_ABI_VERSION, /*num_threads=*/0,
                /*rank=*/0,
                /*num_ranks=*/1,   kDLCPU,
                /*device_id=*/0};
}

/// Returns "" for options that a context can have.
static std::string findFault(const moert_context_options &options) {
  if (options.abi != MOERT_ABI_VERSION)
    return format("the context's options have ABI version %u, expected %u",
                  options.abi, MOERT_ABI_VERSION);
  if (options.num_threads < 0 || options.num_threads > maxThreads)
    return format("num_threads is %d, expected 0 to %d", options.num_threads,
                  maxThreads);
  if (options.num_ranks < 1)
    return format("num_ranks is %d, expected at least 1", options.num_ranks);
  if (options.rank < 0 || options.rank >= options.num_ranks)
    return format("rank is %d, expected 0 to %d", options.rank,
                  options.num_ranks - 1);
  if (options.device_type != kDLCPU && options.device_type != kDLCUDA)
    return format("device_type is %d, expected %d (cpu) or %d (cuda)",
                  options.device_type, kDLCPU, kDLCUDA);
  if (options.device_id < 0 ||
      (options.device_type == kDLCPU && options.device_id > 0))
    return format("device_id is %d, expected 0%s", options.device_id,
                  options.device_type == kDLCPU ? " on the cpu" : " or more");
  return "";
}

moert_status moert_context_create(const moert_context_options *options,
                                  moert_context **context) {
  std::string &error = threadError();
  return guarded(error, [&] {
    if (!context)
      return fail(error, MOERT_INVALID_ARGUMENT,
                  "the place for the context is null");
    *context = nullptr;
    moert_context_options given;
    moert_context_options_init(&given);
    if (options)
      given = *options;
    std::string fault = findFault(given);
    if (!fault.empty())
      return fail(error, MOERT_INVALID_ARGUMENT, std::move(fault));
    std::unique_ptr<Device> device;
    if (given.device_type == kDLCPU)
      device = std::make_unique<CPUDevice>(given.num_threads);
    else if (moert_status status = createCUDADevice(given, device, error))
      return status;
    *context =
        new moert_context(std::move(device), given.rank, given.num_ranks);
    return MOERT_SUCCESS;
  });
}

void moert_context_destroy(moert_context *context) { delete context; }

const char *moert_last_error(const moert_context *context) {
  return context ? context->lastError.c_str() : threadError().c_str();
}

moert_status moert_context_synchronize(moert_context *context) {
  return withContext(context, [&] {
    std::string error;
    moert_status status = context->device->synchronize(error);
    // What no call has returned comes first: it came first.
    if (moert_status recorded = context->takeError())
      return recorded;
    return status ? fail(context->lastError, status, std::move(error)) : status;
  });
}
