//===- Tensor.h - Tensors in host memory ---------------------- -*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef MOE_MLIR_REFERENCE_TENSOR_H
#define MOE_MLIR_REFERENCE_TENSOR_H

#include "moe-mlir/Layer/Tensors.h"
#include <cstddef>
#include <cstring>
#include <memory>

namespace moe {

/// A row-major contiguous tensor that somebody else owns.
struct TensorView {
  std::string name;
  DType dtype = DType::F32;
  std::vector<int64_t> shape;
  const void *data = nullptr;
};

/// A row-major contiguous tensor that owns its memory, aligned to 256 bytes.
class HostTensor {
public:
  HostTensor() = default;
  /// Allocates uninitialized memory; `shape` has no -1. Throws std::bad_alloc.
  HostTensor(std::string name, DType dtype, std::vector<int64_t> shape);

  const std::string &name() const { return label; }
  DType dtype() const { return elementType; }
  const std::vector<int64_t> &shape() const { return dims; }
  int64_t numElements() const { return count; }
  int64_t numBytes() const { return count * dtypeBytes(elementType); }
  void *data() { return memory.get(); }
  const void *data() const { return memory.get(); }
  template <typename T> T *as() { return static_cast<T *>(data()); }
  template <typename T> const T *as() const {
    return static_cast<const T *>(data());
  }
  TensorView view() const { return {label, elementType, dims, data()}; }

private:
  struct Free {
    void operator()(void *pointer) const;
  };
  std::string label;
  DType elementType = DType::F32;
  std::vector<int64_t> dims;
  int64_t count = 0;
  std::unique_ptr<void, Free> memory;
};

/// The product of the dims; 1 for a scalar.
int64_t numElements(const std::vector<int64_t> &shape);

inline float bf16ToFloat(uint16_t bits) {
  uint32_t wide = static_cast<uint32_t>(bits) << 16;
  float value;
  std::memcpy(&value, &wide, sizeof(value));
  return value;
}

inline float f16ToFloat(uint16_t bits) {
  // The exponent is rebased by a multiplication, which is exact and treats
  // subnormal numbers like all others; infinities and NaNs come separately.
  uint32_t wide = static_cast<uint32_t>(bits & 0x7fff) << 13;
  float value;
  std::memcpy(&value, &wide, sizeof(value));
  value *= 0x1p112f;
  std::memcpy(&wide, &value, sizeof(value));
  wide |= (bits & 0x7c00) == 0x7c00 ? 0x7f800000u : 0u;
  wide |= static_cast<uint32_t>(bits & 0x8000) << 16;
  std::memcpy(&value, &wide, sizeof(value));
  return value;
}

/// Rounding to nearest, ties to even; NaN stays NaN.
inline uint16_t floatToBF16(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof(bits));
  // Adding half of the last kept place, less one if that place is even, rounds
  // to nearest even; overflow runs into the exponent, as it should.
  uint32_t rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
  uint32_t quiet = (bits >> 16) | 0x0040;
  return static_cast<uint16_t>((bits & 0x7fffffff) > 0x7f800000 ? quiet
                                                                : rounded);
}
uint16_t floatToF16(float value);

/// Reads `count` elements of `dtype` (not I32) from `from`, starting at element
/// `first`, as float64. Exact.
void readAsDouble(DType dtype, const void *from, int64_t first, int64_t count,
                  double *to);

/// Converts `count` elements between the floating-point dtypes, rounding to
/// nearest even; `from` and `to` do not overlap.
void convertElements(DType fromType, const void *from, DType toType, void *to,
                     int64_t count);

} // namespace moe

#endif // MOE_MLIR_REFERENCE_TENSOR_H
