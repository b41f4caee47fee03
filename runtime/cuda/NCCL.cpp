//===- NCCL.cpp - NCCL, found at run time ---------------------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "NCCL.h"

#include <dlfcn.h>

using namespace moert;

std::string NCCL::load() {
  // Its threads do not expect to be unloaded.
  void *library = dlopen("libnccl.so.2", RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
  if (!library)
    return std::string("needs NCCL: ") + dlerror();
  std::string missing;
  auto find = [&](const char *name, auto &function) {
    void *address = dlsym(library, name);
    if (!address)
      missing += (missing.empty() ? "" : ", ") + std::string(name);
    function = reinterpret_cast<std::decay_t<decltype(function)>>(address);
  };
#define MOERT_NCCL_FUNCTION(name) find("nccl" #name, name);
#include "NCCLFunctions.def"
  return missing.empty() ? ""
                         : "needs a later NCCL: libnccl.so.2 lacks " + missing;
}
