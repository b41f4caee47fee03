//===- Tensor.cpp - Arguments of emulated kernels -------------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Tensor.h"
#include "Numbers.h"

#include "llvm/Support/ErrorHandling.h"
#include <cstring>

using namespace moe::codegen::cuda::test;

const char *moe::codegen::cuda::test::nameOf(Element element) {
  switch (element) {
  case Element::F32:
    return "f32";
  case Element::BF16:
    return "bf16";
  case Element::F16:
    return "f16";
  case Element::I32:
    return "i32";
  }
  llvm_unreachable("unknown element");
}

int64_t moe::codegen::cuda::test::bytesOf(Element element) {
  return element == Element::F32 || element == Element::I32 ? 4 : 2;
}

static uint32_t encode(double value, Element element) {
  switch (element) {
  case Element::F32:
    return fromFloat(static_cast<float>(value));
  case Element::BF16:
    return roundToBF16(static_cast<float>(value));
  case Element::F16:
    return roundToF16(static_cast<float>(value));
  case Element::I32:
    return static_cast<int32_t>(value);
  }
  llvm_unreachable("unknown element");
}

static double decode(uint32_t bits, Element element) {
  switch (element) {
  case Element::F32:
    return toFloat(bits);
  case Element::BF16:
    return toFloatB16(bits);
  case Element::F16:
    return toFloat16(bits);
  case Element::I32:
    return static_cast<int32_t>(bits);
  }
  llvm_unreachable("unknown element");
}

double moe::codegen::cuda::test::rounded(double value, Element element) {
  return decode(encode(value, element), element);
}

static int64_t countOf(const std::vector<int64_t> &shape) {
  int64_t count = 1;
  for (int64_t extent : shape)
    count *= extent;
  return count;
}

Tensor::Tensor(Element element, std::vector<int64_t> extents)
    : element(element), shape(std::move(extents)),
      bytes(countOf(shape) * bytesOf(element),
            element == Element::I32 ? 0x7B : char(0xFF)),
      written(countOf(shape), 0) {}

Tensor::Tensor(Element element, std::vector<int64_t> extents,
               const std::function<double(int64_t)> &value)
    : Tensor(element, std::move(extents)) {
  for (int64_t i = 0; i < size(); ++i)
    set(i, value(i));
}

double Tensor::get(int64_t index) const {
  uint32_t bits = 0;
  std::memcpy(&bits, bytes.data() + index * bytesOf(element), bytesOf(element));
  return decode(bits, element);
}

void Tensor::set(int64_t index, double value) {
  uint32_t bits = encode(value, element);
  std::memcpy(bytes.data() + index * bytesOf(element), &bits, bytesOf(element));
  written[index] = 1;
}

std::string Tensor::type(int64_t dynamic) const {
  std::string text = "memref<";
  for (int64_t extent : shape)
    text += (dynamic-- > 0 ? "?" : std::to_string(extent)) + "x";
  return text + nameOf(element) + ">";
}
