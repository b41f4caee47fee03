//===- DeviceLibrary.cpp - Devices in libraries of their own --------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "DeviceLibrary.h"

#include "../common/Error.h"
#include "../common/TensorText.h"

#include <dlfcn.h>

using namespace moert;

static constexpr char libraryName[] = "libmoert_cuda.so.0";

/// Its path beside this library, where both are installed and carried to; only
/// its name, for the loader to search, where our own place is unknown.
static std::string getLibraryPath() {
  Dl_info info;
  if (!dladdr(reinterpret_cast<const void *>(&moert_context_create), &info) ||
      !info.dli_fname)
    return libraryName;
  std::string path = info.dli_fname;
  size_t slash = path.rfind('/');
  return slash == std::string::npos ? libraryName
                                    : path.substr(0, slash + 1) + libraryName;
}

moert_status moert::createCUDADevice(const moert_context_options &options,
                                     std::unique_ptr<Device> &device,
                                     std::string &error) {
  const std::string name = deviceName(options.device_type, options.device_id);
  const std::string path = getLibraryPath();
  // It stays: devices come and go, and their code costs nothing.
  void *library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
  if (!library)
    return fail(error, MOERT_UNSUPPORTED,
                format("device %s needs '%s', which is built where the headers "
                       "of a CUDA toolkit are found: %s",
                       name.c_str(), libraryName, dlerror()));
  auto create =
      reinterpret_cast<CreateDevice>(dlsym(library, createDeviceSymbol));
  if (!create)
    return fail(error, MOERT_UNSUPPORTED,
                format("'%s' is no device of this runtime: it has no symbol "
                       "'%s'",
                       path.c_str(), createDeviceSymbol));
  Device *created = nullptr;
  moert_status status = create(&options, &created, &error);
  device.reset(created);
  return status;
}
