//===- TensorTest.cpp - Conversions between dtypes ------------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moe-mlir/Reference/Tensor.h"
#include <cmath>
#include <gtest/gtest.h>
#include <limits>

using namespace moe;

// Every f16 and every bf16 number survives the way through float32, so both
// directions agree on all 65536 bit patterns.
TEST(Tensor, SixteenBitRoundTrip) {
  for (uint32_t bits = 0; bits < 65536; ++bits) {
    float half = f16ToFloat(static_cast<uint16_t>(bits));
    if (std::isnan(half))
      EXPECT_TRUE((floatToF16(half) & 0x7fff) > 0x7c00) << bits;
    else
      EXPECT_EQ(floatToF16(half), bits);
    float brain = bf16ToFloat(static_cast<uint16_t>(bits));
    if (std::isnan(brain))
      EXPECT_TRUE((floatToBF16(brain) & 0x7fff) > 0x7f80) << bits;
    else
      EXPECT_EQ(floatToBF16(brain), bits);
  }
}

TEST(Tensor, KnownHalves) {
  EXPECT_EQ(f16ToFloat(0x3c00), 1.0f);
  EXPECT_EQ(f16ToFloat(0x0001), 0x1p-24f);
  EXPECT_EQ(f16ToFloat(0x7bff), 65504.0f);
  EXPECT_EQ(f16ToFloat(0xfc00), -std::numeric_limits<float>::infinity());
}

// Between two neighbours the nearest is taken, and of two equally near ones the
// even one.
TEST(Tensor, RoundsToNearestEven) {
  EXPECT_EQ(floatToF16(1.0f + 0x1p-11f), 0x3c00);
  EXPECT_EQ(floatToF16(1.0f + 0x1p-11f + 0x1p-20f), 0x3c01);
  EXPECT_EQ(floatToF16(1.0f + 3 * 0x1p-11f), 0x3c02);
  EXPECT_EQ(floatToF16(0x1p-25f), 0x0000);
  EXPECT_EQ(floatToF16(3 * 0x1p-25f), 0x0002);
  EXPECT_EQ(floatToF16(65519.0f), 0x7bff);
  EXPECT_EQ(floatToF16(65520.0f), 0x7c00);
  EXPECT_EQ(floatToBF16(1.0f + 0x1p-8f), 0x3f80);
  EXPECT_EQ(floatToBF16(1.0f + 3 * 0x1p-8f), 0x3f82);
  EXPECT_EQ(floatToBF16(std::numeric_limits<float>::max()), 0x7f80);
}

TEST(Tensor, ReadsFromAnOffset) {
  uint16_t values[] = {0x3f80, 0x4000, 0xc040};
  double read[2];
  readAsDouble(DType::BF16, values, 1, 2, read);
  EXPECT_EQ(read[0], 2.0);
  EXPECT_EQ(read[1], -3.0);
}

TEST(Tensor, EmptyTensorHasAnAddress) {
  HostTensor tensor("x", DType::F32, {0, 4});
  EXPECT_EQ(tensor.numBytes(), 0);
  EXPECT_NE(tensor.data(), nullptr);
}
