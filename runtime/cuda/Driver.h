//===- Driver.h - The CUDA driver, found at run time ------------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOERT_CUDA_DRIVER_H
#define MOERT_CUDA_DRIVER_H

#include "moert/moert.h"

#include <cuda.h>
#include <string>

namespace moert {

/// The functions of the driver. They are looked up, not linked to, so that this
/// library loads on every machine and can say what one lacks.
struct Driver {
#define MOERT_DRIVER_FUNCTION(name) decltype(&::name) name = nullptr;
#include "DriverFunctions.def"

  /// Loads libcuda.so.1 and finds all functions. Returns an empty text or what
  /// is missing.
  std::string load();

  /// "CUDA_ERROR_INVALID_VALUE (invalid argument)".
  std::string describe(CUresult result) const;

  /// Puts "<what>: <the result in words>" into `error`.
  moert_status report(CUresult result, const std::string &what,
                      std::string &error) const;
};

/// What of the runtime's errors a driver's is.
moert_status getStatus(CUresult result);

/// Lets this thread do what a capture of a stream forbids other work to do (to
/// load, create and allocate) while the object lives: none of it is part of the
/// capture, and all of it is needed by what is.
class RelaxedCapture {
public:
  explicit RelaxedCapture(const Driver &driver) : driver(driver) {
    driver.cuThreadExchangeStreamCaptureMode(&mode);
  }
  RelaxedCapture(const RelaxedCapture &) = delete;
  RelaxedCapture &operator=(const RelaxedCapture &) = delete;
  ~RelaxedCapture() { driver.cuThreadExchangeStreamCaptureMode(&mode); }

private:
  const Driver &driver;
  CUstreamCaptureMode mode = CU_STREAM_CAPTURE_MODE_RELAXED;
};

/// Makes a CUDA context this thread's current one while the object lives.
class CurrentContext {
public:
  CurrentContext(const Driver &driver, CUcontext context) : driver(driver) {
    CUcontext current = nullptr;
    driver.cuCtxGetCurrent(&current);
    isPushed =
        current != context && driver.cuCtxPushCurrent(context) == CUDA_SUCCESS;
  }
  CurrentContext(const CurrentContext &) = delete;
  CurrentContext &operator=(const CurrentContext &) = delete;
  ~CurrentContext() {
    CUcontext popped;
    if (isPushed)
      driver.cuCtxPopCurrent(&popped);
  }

private:
  const Driver &driver;
  bool isPushed;
};

} // namespace moert

#endif // MOERT_CUDA_DRIVER_H
