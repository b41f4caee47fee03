//===- FloatTest.cpp - Conversions of half-precision floats ---------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moert/Float.h"

#include <cmath>
#include <gtest/gtest.h>
#include <limits>
#include <random>

using namespace moert;

namespace {

/// A format with `fractionBits` bits of fraction, its functions and its bits.
struct Format {
  float (*toFloat)(uint16_t);
  uint16_t (*fromFloat)(float);
  int fractionBits;

  bool isNaN(uint16_t bits) const { return (bits & 0x7fff) > infinity(); }
  uint16_t infinity() const {
    return uint16_t(0x7fff >> fractionBits << fractionBits);
  }
};

const Format formats[] = {{bfloat16ToFloat, floatToBfloat16, 7},
                          {float16ToFloat, floatToFloat16, 10}};

/// The value of a finite number by the definition of the formats.
double definition(const Format &format, uint16_t bits) {
  int exponentBits = 15 - format.fractionBits;
  int bias = (1 << (exponentBits - 1)) - 1;
  int exponent = (bits & 0x7fff) >> format.fractionBits;
  double fraction = bits & ((1 << format.fractionBits) - 1);
  double value = exponent == 0
                     ? std::ldexp(fraction, 1 - bias - format.fractionBits)
                     : std::ldexp(fraction + (1 << format.fractionBits),
                                  exponent - bias - format.fractionBits);
  return bits & 0x8000 ? -value : value;
}

TEST(FloatTest, AllValuesAreExactAndComeBack) {
  for (const Format &format : formats)
    for (uint32_t i = 0; i <= 0xffff; ++i) {
      auto bits = uint16_t(i);
      float value = format.toFloat(bits);
      if (format.isNaN(bits)) {
        ASSERT_TRUE(std::isnan(value));
        uint16_t back = format.fromFloat(value);
        ASSERT_TRUE(format.isNaN(back));
        ASSERT_EQ(back & 0x8000, bits & 0x8000);
        continue;
      }
      if ((bits & 0x7fff) == format.infinity())
        ASSERT_TRUE(std::isinf(value));
      else
        ASSERT_EQ(double(value), definition(format, bits)) << bits;
      ASSERT_EQ(format.fromFloat(value), bits);
    }
}

TEST(FloatTest, RoundsToNearestEven) {
  // Between two neighbours lie all cases: below the middle, at it, above it.
  for (const Format &format : formats)
    for (uint16_t lower = 0; lower < format.infinity(); ++lower) {
      auto upper = uint16_t(lower + 1);
      double low = definition(format, lower);
      // The largest number's neighbour would be the next power of two.
      double high = definition(format, upper);
      double middle = (low + high) / 2;
      auto exact = float(middle);
      if (double(exact) != middle)
        continue; // The middle of the smallest bfloat16s is no float.
      uint16_t even = lower % 2 == 0 ? lower : upper;
      float below = std::nextafter(exact, 0.0f);
      float above =
          std::nextafter(exact, std::numeric_limits<float>::infinity());
      ASSERT_EQ(format.fromFloat(exact), even) << lower;
      ASSERT_EQ(format.fromFloat(below), lower) << lower;
      ASSERT_EQ(format.fromFloat(above), upper) << lower;
      ASSERT_EQ(format.fromFloat(-exact), even | 0x8000) << lower;
    }
}

TEST(FloatTest, OverflowIsInfinityAndUnderflowIsZero) {
  float largest = std::numeric_limits<float>::max();
  EXPECT_EQ(floatToFloat16(largest), 0x7c00);
  EXPECT_EQ(floatToFloat16(-70000.0f), 0xfc00);
  EXPECT_EQ(floatToFloat16(65519.0f), 0x7bff);
  EXPECT_EQ(floatToFloat16(65520.0f), 0x7c00);
  EXPECT_EQ(floatToBfloat16(largest), 0x7f80);
  EXPECT_EQ(floatToFloat16(1e-30f), 0);
  EXPECT_EQ(floatToFloat16(-1e-30f), 0x8000);
  EXPECT_EQ(floatToFloat16(0.0f), 0);
  EXPECT_EQ(floatToBfloat16(-0.0f), 0x8000);
}

TEST(FloatTest, ANaNWithASmallPayloadStaysOne) {
  // Its payload lies in bits that the narrow formats lack.
  uint32_t bits = 0x7f800001;
  float value;
  std::memcpy(&value, &bits, sizeof(value));
  EXPECT_EQ(floatToBfloat16(value), 0x7fc0);
  EXPECT_EQ(floatToFloat16(value), 0x7e00);
}

} // namespace
