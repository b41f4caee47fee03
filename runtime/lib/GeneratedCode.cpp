//===- GeneratedCode.cpp - What generated code calls ----------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moert/GeneratedCode.h"

#include "../common/Exchange.h"
#include "Context.h"
#include "Program.h"

#include <cstring>

using namespace moert;

static moert_context &contextOf(const void *call) {
  return *static_cast<const moert_call *>(call)->context;
}

/// Runs `body(call, device, error)` and records what goes wrong.
template <typename Body>
static void guardedInCall(const void *callPointer, Body body) noexcept {
  const auto &call = *static_cast<const moert_call *>(callPointer);
  moert_context &context = *call.context;
  std::string error;
  moert_status status =
      guarded(error, [&] { return body(call, *context.device, error); });
  if (status != MOERT_SUCCESS)
    context.recordError(status, std::move(error));
}

/// After a failure, what a launch would read may not have been written.
static bool hasFailed(const void *call) {
  return contextOf(call).recordedStatus != MOERT_SUCCESS;
}

static const char *labelText(const void *label) {
  return label ? static_cast<const char *>(label) : "";
}

/// Refuses a call whose context cannot take the message.
static moert_status refuseInThread(const moert_call *call) {
  std::string &error = threadError();
  return guarded(error, [&] {
    if (!call)
      return fail(error, MOERT_INVALID_ARGUMENT, "the call is null");
    if (call->abi != MOERT_ABI_VERSION)
      return fail(error, MOERT_INVALID_ARGUMENT,
                  format("the call has ABI version %u, expected %u", call->abi,
                         MOERT_ABI_VERSION));
    return fail(error, MOERT_INVALID_ARGUMENT, "the call's context is null");
  });
}

moert_status moert_call_begin(const void *callPointer,
                              const void *signaturePointer) {
  const auto *call = static_cast<const moert_call *>(callPointer);
  const auto *signature =
      static_cast<const moert_signature *>(signaturePointer);
  if (!call || call->abi != MOERT_ABI_VERSION || !call->context)
    return refuseInThread(call);
  moert_context &context = *call->context;
  std::string &error = context.lastError;
  return guarded(error, [&] {
    if (!signature)
      return fail(error, MOERT_INVALID_ARGUMENT, "the signature is null");
    if (signature->abi != MOERT_ABI_VERSION)
      return fail(error, MOERT_INVALID_ARGUMENT,
                  format("the signature has ABI version %u, expected %u",
                         signature->abi, MOERT_ABI_VERSION));
    if (moert_status status =
            checkCall(*call, *signature, context.device->id(), context.rank,
                      context.numRanks, context.sizes, error))
      return status;
    if (uint64_t programs = numProgramsLoaded();
        programs != context.seenPrograms) {
      context.seenPrograms = programs;
      context.device->programsChanged();
    }
    if (signature->exchange && !context.hasJoined)
      return fail(error, MOERT_UNSUPPORTED,
                  format("%s: exchanges data between %lld ranks, but the "
                         "context has joined no group (moert_context_join)",
                         signature->name,
                         static_cast<long long>(signature->num_ranks)));
    context.signature = signature;
    return context.device->beginCall(*call, signature->name, error);
  });
}

moert_status moert_call_end(const void *call) {
  // The caller of a failed call may free its tensors at once.
  guardedInCall(call,
                [](const moert_call &call, Device &device, std::string &error) {
                  return device.endCall(call, hasFailed(&call), error);
                });
  return contextOf(call).takeError();
}

int64_t moert_call_total_tokens(const void *call) {
  return contextOf(call).sizes.totalTokens;
}

int64_t moert_call_part_tokens(const void *callPointer, int32_t part,
                               int32_t parts) {
  const auto &call = *static_cast<const moert_call *>(callPointer);
  if (!call.tokens_per_rank)
    return countPart(call.context->sizes.tokens, part, parts);
  int64_t sum = 0;
  for (int32_t rank = 0; rank < call.context->numRanks; ++rank)
    sum += countPart(call.tokens_per_rank[rank], part, parts);
  return sum;
}

int64_t moert_call_max_tokens(const void *call) {
  return contextOf(call).sizes.maxTokens;
}

int64_t moert_call_get_value(const void *callPointer, const void *name) {
  const auto &call = *static_cast<const moert_call *>(callPointer);
  for (int32_t i = 0; i < call.num_values; ++i)
    if (std::strcmp(call.values[i].name, static_cast<const char *>(name)) == 0)
      return call.values[i].value;
  return 0;
}

int32_t moert_call_rank(const void *call) { return contextOf(call).rank; }

int64_t moert_event_record(const void *call, int32_t stream) {
  int64_t event = 0;
  guardedInCall(
      call, [&](const moert_call &call, Device &device, std::string &error) {
        return device.recordEvent(call, stream, event, error);
      });
  return event;
}

void moert_stream_wait(const void *call, int32_t stream, int64_t event) {
  guardedInCall(
      call, [&](const moert_call &call, Device &device, std::string &error) {
        return device.waitEvent(call, stream, event, error);
      });
}

void moert_launch(const void *call, int32_t stream, const void *kernel,
                  const void *label, const void *arguments,
                  int64_t argumentBytes, int64_t grid) {
  if (hasFailed(call))
    return;
  HostLaunch launch = {kernel, labelText(label), arguments, argumentBytes,
                       grid};
  guardedInCall(
      call, [&](const moert_call &call, Device &device, std::string &error) {
        return device.launch(call, stream, launch, error);
      });
}

void moert_collective_enqueue(const void *call, int32_t stream, int32_t step,
                              const void *data, const void *sendCounts,
                              const void *receiveCounts) {
  // As launches: after a failure the others wait for their time limit only.
  if (hasFailed(call))
    return;
  CollectiveRequest request = {contextOf(call).signature, step,
                               static_cast<const moert_collective_data *>(data),
                               static_cast<const int32_t *>(sendCounts),
                               static_cast<const int32_t *>(receiveCounts)};
  guardedInCall(call, [&](const moert_call &call, Device &device,
                          std::string &error) {
    const moert_signature *signature = request.signature;
    if (!signature || !signature->exchange || step < 0 ||
        step >= signature->exchange->num_collectives)
      return fail(error, MOERT_INVALID_ARGUMENT,
                  format("there is no collective %d in this program", step));
    return device.enqueueCollective(call, stream, request, error);
  });
}

const void *moert_kernel(const void *call, const void *module, int32_t index) {
  const void *kernel = nullptr;
  guardedInCall(
      call, [&](const moert_call &call, Device &device, std::string &error) {
        if (!module)
          return fail(error, MOERT_INVALID_ARGUMENT, "the GPU module is null");
        return device.findKernel(call,
                                 *static_cast<const moert_gpu_module *>(module),
                                 index, kernel, error);
      });
  return kernel;
}

const void *moert_tensor_map(const void *call, const void *address,
                             int32_t dtype, int32_t rank, const void *extents,
                             const void *box, int32_t swizzle) {
  const void *map = nullptr;
  TensorMapRequest request = {address,
                              uint8_t(dtype >> 8),
                              uint8_t(dtype),
                              rank,
                              static_cast<const int64_t *>(extents),
                              static_cast<const int64_t *>(box),
                              swizzle};
  guardedInCall(
      call, [&](const moert_call &call, Device &device, std::string &error) {
        return device.findTensorMap(call, request, map, error);
      });
  return map;
}

void moert_launch_gpu(const void *call, int32_t stream, const void *kernel,
                      const void *label, const void *parameters, int64_t grid,
                      int32_t threads, int32_t shared, int32_t cluster,
                      int32_t earlyStart) {
  if (hasFailed(call))
    return;
  // The driver takes what it only reads as not constant.
  GPULaunch launch = {kernel,
                      labelText(label),
                      static_cast<void **>(const_cast<void *>(parameters)),
                      grid,
                      threads,
                      shared,
                      cluster,
                      earlyStart != 0};
  guardedInCall(
      call, [&](const moert_call &call, Device &device, std::string &error) {
        return device.launch(call, stream, launch, error);
      });
}
