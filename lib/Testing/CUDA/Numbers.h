//===- Numbers.h - Floats as a GPU rounds them ------------------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_TESTING_CUDA_NUMBERS_H
#define MOE_MLIR_TESTING_CUDA_NUMBERS_H

#include "llvm/ADT/APFloat.h"
#include "llvm/ADT/bit.h"
#include <cmath>
#include <cstdint>

namespace moe::codegen::cuda::test {

inline float toFloat(uint64_t bits) {
  return llvm::bit_cast<float>(static_cast<uint32_t>(bits));
}

/// A GPU has one NaN.
inline uint64_t fromFloat(float value) {
  return std::isnan(value) ? 0x7FFFFFFF : llvm::bit_cast<uint32_t>(value);
}

inline float toFloatB16(uint64_t bits) { return toFloat(bits << 16); }

inline float toFloat16(uint64_t bits) {
  uint32_t magnitude = bits & 0x7FFF;
  // The exponents' biases differ by 112; subnormals become normal numbers.
  float value = magnitude < 0x7C00
                    ? toFloat(magnitude << 13) * 0x1p112f
                    : toFloat(0x7F800000 | uint64_t(magnitude) << 13);
  return bits & 0x8000 ? -value : value;
}

/// To nearest even.
inline uint64_t roundToBF16(float value) {
  if (std::isnan(value))
    return 0x7FFF;
  uint32_t bits = llvm::bit_cast<uint32_t>(value);
  return (bits + 0x7FFF + (bits >> 16 & 1)) >> 16;
}

inline uint64_t roundToF16(float value) {
  if (std::isnan(value))
    return 0x7FFF;
  llvm::APFloat number(value);
  bool isInexact;
  number.convert(llvm::APFloat::IEEEhalf(), llvm::APFloat::rmNearestTiesToEven,
                 &isInexact);
  return number.bitcastToAPInt().getZExtValue();
}

} // namespace moe::codegen::cuda::test

#endif // MOE_MLIR_TESTING_CUDA_NUMBERS_H
