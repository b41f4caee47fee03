//===- NoNCCL.cpp - What is missing without NCCL --------------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Transport.h"

#include "../common/Error.h"

using namespace moert;

static moert_status refuse(std::string &error) {
  return fail(error, MOERT_UNSUPPORTED,
              "this runtime was built without the headers of NCCL (nccl.h), "
              "over which ranks reach each other");
}

moert_status moert::createNCCLTransport(const Driver &, CUcontext,
                                        std::shared_ptr<ProcessGroup>,
                                        std::unique_ptr<Transport> &,
                                        std::string &error) {
  return refuse(error);
}

moert_status moert::broadcastByNCCL(const Driver &, void *, int32_t, int32_t,
                                    std::chrono::milliseconds, std::string &,
                                    std::string &error) {
  return refuse(error);
}
