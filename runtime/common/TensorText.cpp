//===- TensorText.cpp - Tensors in messages -------------------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "TensorText.h"

#include "Error.h"

#include <iterator>

std::string moert::deviceName(int32_t deviceType, int32_t deviceId) {
  switch (deviceType) {
  case kDLCPU:
    return "cpu";
  case kDLCUDA:
    return format("cuda:%d", deviceId);
  default:
    return format("of DLPack type %d", deviceType);
  }
}

std::string moert::dtypeName(unsigned code, unsigned bits, unsigned lanes) {
  static const char *const sized[] = {"int",    "uint",   "float",
                                      "opaque", "bfloat", "complex"};
  static const char *const whole[] = {"bool",           "float8_e3m4",
                                      "float8_e4m3",    "float8_e4m3b11fnuz",
                                      "float8_e4m3fn",  "float8_e4m3fnuz",
                                      "float8_e5m2",    "float8_e5m2fnuz",
                                      "float8_e8m0fnu", "float6_e2m3fn",
                                      "float6_e3m2fn",  "float4_e2m1fn"};
  std::string name;
  if (code < std::size(sized))
    name = sized[code] + std::to_string(bits);
  else if (code < std::size(sized) + std::size(whole))
    name = whole[code - std::size(sized)];
  else
    name = format("of DLPack code %u with %u bits", code, bits);
  return lanes == 1 ? name : name + format("x%u", lanes);
}

std::string moert::listText(const int64_t *values, int64_t count) {
  std::string text = "[";
  for (int64_t i = 0; i < count; ++i)
    text += (i ? ", " : "") + std::to_string(values[i]);
  return text + "]";
}
