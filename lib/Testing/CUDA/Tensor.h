//===- Tensor.h - Arguments of emulated kernels -----------------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_TESTING_CUDA_TENSOR_H
#define MOE_MLIR_TESTING_CUDA_TENSOR_H

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace moe::codegen::cuda::test {

enum class Element { F32, BF16, F16, I32 };

/// The name of an element type in IR.
const char *nameOf(Element element);
int64_t bytesOf(Element element);
/// A value as the element type holds it, rounded to nearest even.
double rounded(double value, Element element);

/// A row-major tensor of the host. What nobody set is poison: floats are NaN,
/// integers are no index of anything.
struct Tensor {
  Tensor() = default;
  Tensor(Element element, std::vector<int64_t> shape);
  /// With the values of a function of the flat index.
  Tensor(Element element, std::vector<int64_t> shape,
         const std::function<double(int64_t)> &value);

  int64_t size() const { return static_cast<int64_t>(written.size()); }
  int64_t rows() const { return shape.front(); }
  int64_t columns() const { return shape.back(); }
  double get(int64_t index) const;
  double get(int64_t row, int64_t column) const {
    return get(row * columns() + column);
  }
  void set(int64_t index, double value);
  /// Whether a value is there.
  bool isSet(int64_t index) const { return written[index]; }

  /// The type in IR; the first `dynamic` dimensions are so.
  std::string type(int64_t dynamic = 0) const;

  Element element = Element::F32;
  std::vector<int64_t> shape;
  std::vector<char> bytes;
  std::vector<uint8_t> written; ///< One flag for each element.
};

} // namespace moe::codegen::cuda::test

#endif // MOE_MLIR_TESTING_CUDA_TENSOR_H
