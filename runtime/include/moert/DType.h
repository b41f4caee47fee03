//===- DType.h - Element types of tensors in files --------------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOERT_DTYPE_H
#define MOERT_DTYPE_H

#include <cstdint>
#include <dlpack/dlpack.h>
#include <iterator>
#include <optional>
#include <string_view>

namespace moert {

/// The element types of the safetensors format, under its names.
enum class DType : uint8_t {
  BOOL,
  F4,
  U8,
  I8,
  F8_E4M3,
  F8_E5M2,
  F8_E8M0,
  U16,
  I16,
  F16,
  BF16,
  U32,
  I32,
  F32,
  U64,
  I64,
  F64
};

/// What is to be known of one type.
struct DTypeInfo {
  std::string_view name; // Null-terminated.
  unsigned bits;         // Of one element; a power of two.
  DLDataType dlpack;     // By the codes of DLPack 1.1, which has all of them.
};

inline const DTypeInfo &info(DType dtype) {
  // DLPack's codes 6, 10, 12, 14 and 17 are Bool, Float8_e4m3fn, Float8_e5m2,
  // Float8_e8m0fnu and Float4_e2m1fn.
  static constexpr DTypeInfo table[] = {
      {"BOOL", 8, {6, 8, 1}},           {"F4", 4, {17, 4, 1}},
      {"U8", 8, {kDLUInt, 8, 1}},       {"I8", 8, {kDLInt, 8, 1}},
      {"F8_E4M3", 8, {10, 8, 1}},       {"F8_E5M2", 8, {12, 8, 1}},
      {"F8_E8M0", 8, {14, 8, 1}},       {"U16", 16, {kDLUInt, 16, 1}},
      {"I16", 16, {kDLInt, 16, 1}},     {"F16", 16, {kDLFloat, 16, 1}},
      {"BF16", 16, {kDLBfloat, 16, 1}}, {"U32", 32, {kDLUInt, 32, 1}},
      {"I32", 32, {kDLInt, 32, 1}},     {"F32", 32, {kDLFloat, 32, 1}},
      {"U64", 64, {kDLUInt, 64, 1}},    {"I64", 64, {kDLInt, 64, 1}},
      {"F64", 64, {kDLFloat, 64, 1}}};
  static_assert(std::size(table) == size_t(DType::F64) + 1);
  return table[static_cast<uint8_t>(dtype)];
}

/// The type of that name, or nothing.
inline std::optional<DType> parseDType(std::string_view name) {
  for (int i = 0; i <= static_cast<int>(DType::F64); ++i)
    if (info(static_cast<DType>(i)).name == name)
      return static_cast<DType>(i);
  return std::nullopt;
}

} // namespace moert

#endif // MOERT_DTYPE_H
