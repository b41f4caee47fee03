//===- Device.cpp - What a context does on its device ---------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Device.h"

#include "Error.h"
#include "TensorText.h"

using namespace moert;

Device::~Device() = default;

std::string Device::name() const {
  return deviceName(device.device_type, device.device_id);
}

moert_status Device::enqueueCollective(const moert_call &, int32_t,
                                       const CollectiveRequest &request,
                                       std::string &error) {
  return fail(error, MOERT_UNSUPPORTED,
              format("collective '%s' needs a communicator, which %s has not",
                     request.collective().label, name().c_str()));
}

moert_status Device::enqueueTransfers(void *, const moert_transfer *, int64_t,
                                      std::string &error) {
  return fail(
      error, MOERT_UNSUPPORTED,
      format("transfers between ranks need a communicator, which %s has "
             "not",
             name().c_str()));
}

moert_status Device::join(const moert_group &, int32_t, std::string &error) {
  return fail(
      error, MOERT_UNSUPPORTED,
      format("this context runs on %s, which joins no ranks", name().c_str()));
}

moert_status Device::broadcast(void *, int32_t, int32_t,
                               std::chrono::milliseconds, std::string &,
                               std::string &error) {
  return fail(error, MOERT_UNSUPPORTED,
              format("this context runs on %s, expected a GPU: a communicator "
                     "of NCCL has no other ranks",
                     name().c_str()));
}

moert_status Device::shrink(std::vector<bool> &, std::string &error) {
  return fail(error, MOERT_UNSUPPORTED,
              "only a group of processes can go on without a rank");
}

moert_status Device::allGather(std::string, std::vector<std::string> &,
                               std::string &error) {
  return fail(error, MOERT_UNSUPPORTED,
              "the context has joined no group of processes");
}

std::string moert::streamName(int32_t number) {
  if (number == MOERT_STREAM_COMPUTE)
    return "compute";
  if (number == MOERT_STREAM_AUX)
    return "aux";
  return "comm " + std::to_string(number - MOERT_STREAM_COMM);
}

std::string moert::noStreamText(int32_t number) {
  return format("there is no stream %d, expected 0 to %d", number,
                maxStreams - 1);
}

std::string moert::unknownEventText(int32_t stream, int64_t event) {
  return format("stream '%s' waits for event %#llx, expected an event that was "
                "recorded in this context",
                streamName(stream).c_str(),
                static_cast<unsigned long long>(event));
}
