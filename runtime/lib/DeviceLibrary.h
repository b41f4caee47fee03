//===- DeviceLibrary.h - Devices in libraries of their own ------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOERT_LIB_DEVICELIBRARY_H
#define MOERT_LIB_DEVICELIBRARY_H

#include "../common/Device.h"

#include <memory>

namespace moert {

/// Creates a device of the library for CUDA, which is loaded for the first one:
/// a process that runs on the CPU needs none of it.
moert_status createCUDADevice(const moert_context_options &options,
                              std::unique_ptr<Device> &device,
                              std::string &error);

} // namespace moert

#endif // MOERT_LIB_DEVICELIBRARY_H
