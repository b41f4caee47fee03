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
