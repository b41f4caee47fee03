//===- Float.h - Half-precision floats as bits ------------------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOERT_FLOAT_H
#define MOERT_FLOAT_H

#include <cstdint>
#include <cstring>

namespace moert {

namespace detail {
inline uint32_t bitsOf(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof(bits));
  return bits;
}
inline float floatOf(uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, sizeof(value));
  return value;
}
/// `bits` divided by two to the power of `shift` (1 to 31), rounded to nearest,
/// ties to even.
inline uint32_t shiftRounded(uint32_t bits, unsigned shift) {
  uint32_t below = (1u << (shift - 1)) - 1;
  return (bits + below + ((bits >> shift) & 1)) >> shift;
}
} // namespace detail

/// bfloat16 (sign, 8 bits of exponent, 7 of fraction), given as its bits.
inline float bfloat16ToFloat(uint16_t bits) {
  return detail::floatOf(uint32_t(bits) << 16);
}

/// Rounds to nearest, ties to even. NaN stays a (quiet) NaN with its sign.
inline uint16_t floatToBfloat16(float value) {
  uint32_t bits = detail::bitsOf(value);
  if ((bits & 0x7fffffff) > 0x7f800000)
    return uint16_t(bits >> 16 | 0x40);
  // A carry out of the fraction goes to the exponent, at the end to infinity.
  return uint16_t(detail::shiftRounded(bits, 16));
}

/// IEEE binary16 (sign, 5 bits of exponent, 10 of fraction), given as its bits.
inline float float16ToFloat(uint16_t bits) {
  uint32_t sign = uint32_t(bits & 0x8000) << 16;
  uint32_t exponent = bits >> 10 & 0x1f;
  uint32_t fraction = bits & 0x3ff;
  if (exponent == 0x1f)
    return detail::floatOf(sign | 0x7f800000 | fraction << 13);
  if (exponent != 0)
    return detail::floatOf(sign | (exponent + 127 - 15) << 23 | fraction << 13);
  // Subnormal: a multiple of 2^-24, exact in a float.
  float magnitude = float(fraction) * 0x1p-24f;
  return sign ? -magnitude : magnitude;
}

/// Rounds to nearest, ties to even, overflow to infinity. NaN stays a (quiet)
/// NaN with its sign.
inline uint16_t floatToFloat16(float value) {
  uint32_t bits = detail::bitsOf(value);
  uint32_t sign = bits >> 16 & 0x8000;
  uint32_t magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000)
    return uint16_t(sign | 0x7e00 | (magnitude >> 13 & 0x3ff));
  // From 65520 on, the nearest is infinity.
  if (magnitude >= 0x477ff000)
    return uint16_t(sign | 0x7c00);
  // From 2^-14 on, the result is normal: rebase the exponent and round.
  if (magnitude >= 0x38800000)
    return uint16_t(sign |
                    detail::shiftRounded(magnitude - ((127 - 15) << 23), 13));
  // Below 2^-25, and at it (a tie with zero), the nearest is zero.
  if (magnitude <= 0x33000000)
    return uint16_t(sign);
  uint32_t significand = (magnitude & 0x7fffff) | 0x800000;
  return uint16_t(sign |
                  detail::shiftRounded(significand, 126 - (magnitude >> 23)));
}

} // namespace moert

#endif // MOERT_FLOAT_H
