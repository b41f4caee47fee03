//===- Ranges.h - Names for profilers ---------------------------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOERT_CUDA_RANGES_H
#define MOERT_CUDA_RANGES_H

#if __has_include(<nvtx3/nvToolsExt.h>)
#include <nvtx3/nvToolsExt.h>
#define MOERT_HAS_NVTX 1
#else
#define MOERT_HAS_NVTX 0
#endif

namespace moert {

/// Nested ranges of this thread's time, which NVIDIA's profilers show and
/// relate to the kernels that are launched in them. Without a profiler they
/// cost the test of a pointer, without the toolkit's headers nothing.
class Ranges {
public:
#if MOERT_HAS_NVTX
  Ranges() : domain(getDomain()) {}

  void push(const char *name) const {
    nvtxEventAttributes_t attributes = {};
    attributes.version = NVTX_VERSION;
    attributes.size = NVTX_EVENT_ATTRIB_STRUCT_SIZE;
    attributes.messageType = NVTX_MESSAGE_TYPE_ASCII;
    attributes.message.ascii = name;
    nvtxDomainRangePushEx(domain, &attributes);
  }
  void pop() const { nvtxDomainRangePop(domain); }

private:
  /// One for the process, made under the lock of a static: the first call of
  /// NVTX fills its table of functions, and other threads read that unlocked.
  static nvtxDomainHandle_t getDomain() {
    static nvtxDomainHandle_t domain = nvtxDomainCreateA("moe-mlir");
    return domain;
  }

  nvtxDomainHandle_t domain;
#else
  void push(const char *) const {}
  void pop() const {}
#endif
};

} // namespace moert

#endif // MOERT_CUDA_RANGES_H
