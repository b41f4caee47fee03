//===- TensorText.h - Tensors in messages -----------------------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOERT_COMMON_TENSORTEXT_H
#define MOERT_COMMON_TENSORTEXT_H

#include <cstdint>
#include <dlpack/dlpack.h>
#include <string>

namespace moert {

/// "cpu", "cuda:0" or a number.
std::string deviceName(int32_t deviceType, int32_t deviceId);

/// "float32", "bfloat16", "int64"; names of DLPack versions later than the one
/// we build with included.
std::string dtypeName(unsigned code, unsigned bits, unsigned lanes);

/// "[16, 2048]".
std::string listText(const int64_t *values, int64_t count);

} // namespace moert

#endif // MOERT_COMMON_TENSORTEXT_H
