//===- ImageVersion.h - The driver that an image needs ----------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOERT_CUDA_IMAGEVERSION_H
#define MOERT_CUDA_IMAGEVERSION_H

#include "moert/GeneratedCode.h"

#include <string>

namespace moert {

/// The CUDA version whose driver takes an image, as cuDriverGetVersion counts
/// (13000 for 13.0): for PTX, the first that knows its ISA; for a cubin, the
/// first of the major version that assembled it ("CUDA compatibility": a cubin
/// runs on every driver of its major version and later). 0 if the image does
/// not say.
int findNeededDriver(const moert_gpu_module &module);

/// "13.0" for 13000.
std::string driverVersionText(int version);

} // namespace moert

#endif // MOERT_CUDA_IMAGEVERSION_H
