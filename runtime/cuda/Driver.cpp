//===- Driver.cpp - The CUDA driver, found at run time --------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Driver.h"

#include "../common/Error.h"

#include <dlfcn.h>

using namespace moert;

/// The CUDA version whose functions we ask for.
static constexpr int driverVersion = 12000;

std::string Driver::load() {
  // A driver does not expect to be unloaded.
  void *library = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
  if (!library)
    return std::string("needs an NVIDIA driver: ") + dlerror();
  using GetProcAddress = CUresult (*)(const char *, void **, int, cuuint64_t,
                                      CUdriverProcAddressQueryResult *);
  auto getProcAddress =
      reinterpret_cast<GetProcAddress>(dlsym(library, "cuGetProcAddress_v2"));
  std::string missing;
  auto find = [&](const char *name, auto &function) {
    void *address = nullptr;
    CUdriverProcAddressQueryResult found;
    if (!getProcAddress ||
        getProcAddress(name, &address, driverVersion,
                       CU_GET_PROC_ADDRESS_LEGACY_STREAM,
                       &found) != CUDA_SUCCESS ||
        !address)
      missing += (missing.empty() ? "" : ", ") + std::string(name);
    function = reinterpret_cast<std::decay_t<decltype(function)>>(address);
  };
#define MOERT_DRIVER_FUNCTION(name) find(#name, name);
#include "DriverFunctions.def"
  if (missing.empty())
    return "";
  return "needs an NVIDIA driver for CUDA 12.0 or later: libcuda.so.1 lacks " +
         (getProcAddress ? missing : "cuGetProcAddress_v2");
}

std::string Driver::describe(CUresult result) const {
  const char *name = nullptr, *text = nullptr;
  cuGetErrorName(result, &name);
  cuGetErrorString(result, &text);
  return format("%s (%s)", name ? name : std::to_string(result).c_str(),
                text ? text : "an error that the driver does not know");
}

moert_status Driver::report(CUresult result, const std::string &what,
                            std::string &error) const {
  return fail(error, getStatus(result), what + ": " + describe(result));
}

moert_status moert::getStatus(CUresult result) {
  switch (result) {
  case CUDA_SUCCESS:
    return MOERT_SUCCESS;
  case CUDA_ERROR_OUT_OF_MEMORY:
    return MOERT_OUT_OF_MEMORY;
  case CUDA_ERROR_INVALID_PTX:
  case CUDA_ERROR_NO_BINARY_FOR_GPU:
  case CUDA_ERROR_NO_DEVICE:
  case CUDA_ERROR_NOT_SUPPORTED:
  case CUDA_ERROR_SYSTEM_DRIVER_MISMATCH:
  case CUDA_ERROR_UNSUPPORTED_PTX_VERSION:
    return MOERT_UNSUPPORTED;
  default:
    return MOERT_INTERNAL;
  }
}
