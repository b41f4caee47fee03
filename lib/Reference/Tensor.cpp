//===- Tensor.cpp - Tensors in host memory --------------------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moe-mlir/Reference/Tensor.h"
#include <cmath>
#include <cstdlib>
#include <new>

using namespace moe;

int64_t moe::numElements(const std::vector<int64_t> &shape) {
  int64_t count = 1;
  for (int64_t dim : shape)
    count *= dim;
  return count;
}

HostTensor::HostTensor(std::string name, DType dtype,
                       std::vector<int64_t> shape)
    : label(std::move(name)), elementType(dtype), dims(std::move(shape)),
      count(moe::numElements(dims)) {
  constexpr size_t alignment = 256;
  // Sizes given to aligned_alloc are multiples of the alignment, and an empty
  // tensor still has an address.
  size_t bytes = static_cast<size_t>(numBytes());
  size_t padded = (bytes / alignment + 1) * alignment;
  memory.reset(std::aligned_alloc(alignment, padded));
  if (!memory)
    throw std::bad_alloc();
}

void HostTensor::Free::operator()(void *pointer) const { std::free(pointer); }

uint16_t moe::floatToF16(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof(bits));
  const uint16_t sign = static_cast<uint16_t>((bits >> 16) & 0x8000);
  bits &= 0x7fffffff;
  if (bits > 0x7f800000)
    return static_cast<uint16_t>(sign | 0x7e00);
  // 65520 is halfway between the largest f16 and the next power of two.
  if (bits >= 0x477ff000)
    return static_cast<uint16_t>(sign | 0x7c00);
  if (bits < 0x38800000) {
    // Subnormal in f16: adding 0.5 lets float32 addition round at 2^-24, the
    // place of the last bit.
    float magnitude;
    std::memcpy(&magnitude, &bits, sizeof(magnitude));
    magnitude += 0.5f;
    std::memcpy(&bits, &magnitude, sizeof(bits));
    return static_cast<uint16_t>(sign | (bits - 0x3f000000));
  }
  bits += 0xfff + ((bits >> 13) & 1);
  return static_cast<uint16_t>(sign | ((bits - 0x38000000) >> 13));
}

namespace {
template <DType> struct Element;
template <> struct Element<DType::F32> {
  using Type = float;
  static float load(float value) { return value; }
  static float store(float value) { return value; }
};
template <> struct Element<DType::BF16> {
  using Type = uint16_t;
  static float load(uint16_t value) { return bf16ToFloat(value); }
  static uint16_t store(float value) { return floatToBF16(value); }
};
template <> struct Element<DType::F16> {
  using Type = uint16_t;
  static float load(uint16_t value) { return f16ToFloat(value); }
  static uint16_t store(float value) { return floatToF16(value); }
};
} // namespace

template <DType dtype>
static void readLoop(const void *from, int64_t first, int64_t count,
                     double *to) {
  const auto *source =
      static_cast<const typename Element<dtype>::Type *>(from) + first;
  for (int64_t i = 0; i < count; ++i)
    to[i] = Element<dtype>::load(source[i]);
}

void moe::readAsDouble(DType dtype, const void *from, int64_t first,
                       int64_t count, double *to) {
  switch (dtype) {
  case DType::F32:
    return readLoop<DType::F32>(from, first, count, to);
  case DType::BF16:
    return readLoop<DType::BF16>(from, first, count, to);
  case DType::F16:
    return readLoop<DType::F16>(from, first, count, to);
  case DType::I32:
    return;
  }
}

template <DType fromType, DType toType>
static void convertLoop(const void *from, void *to, int64_t count) {
  const auto *source =
      static_cast<const typename Element<fromType>::Type *>(from);
  auto *target = static_cast<typename Element<toType>::Type *>(to);
  for (int64_t i = 0; i < count; ++i)
    target[i] = Element<toType>::store(Element<fromType>::load(source[i]));
}

template <DType fromType>
static void convertFrom(const void *from, DType toType, void *to,
                        int64_t count) {
  switch (toType) {
  case DType::F32:
    return convertLoop<fromType, DType::F32>(from, to, count);
  case DType::BF16:
    return convertLoop<fromType, DType::BF16>(from, to, count);
  case DType::F16:
    return convertLoop<fromType, DType::F16>(from, to, count);
  case DType::I32:
    return;
  }
}

void moe::convertElements(DType fromType, const void *from, DType toType,
                          void *to, int64_t count) {
  if (fromType == toType) {
    // The bits are kept, those of NaNs included.
    std::memcpy(to, from, static_cast<size_t>(count * dtypeBytes(toType)));
    return;
  }
  switch (fromType) {
  case DType::F32:
    return convertFrom<DType::F32>(from, toType, to, count);
  case DType::BF16:
    return convertFrom<DType::BF16>(from, toType, to, count);
  case DType::F16:
    return convertFrom<DType::F16>(from, toType, to, count);
  case DType::I32:
    return;
  }
}
