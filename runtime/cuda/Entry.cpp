//===- Entry.cpp - What the library exports -------------------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "CUDADevice.h"

#include "../common/Error.h"

using namespace moert;

extern "C" MOERT_API moert_status moert_create_device(
    const moert_context_options *options, Device **device, std::string *error) {
  if (options->abi != MOERT_ABI_VERSION)
    return fail(*error, MOERT_UNSUPPORTED,
                format("libmoert has ABI version %u, but libmoert_cuda %u",
                       options->abi, MOERT_ABI_VERSION));
  std::unique_ptr<CUDADevice> created;
  moert_status status = CUDADevice::create(options->device_id, created, *error);
  *device = created.release();
  return status;
}
