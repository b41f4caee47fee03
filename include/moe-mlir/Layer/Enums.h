//===- Enums.h - Choices of a layer and of its ranks ------------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The enumerations of Enums.def and their spelling.
//
//===----------------------------------------------------------------------===//
#ifndef MOE_MLIR_LAYER_ENUMS_H
#define MOE_MLIR_LAYER_ENUMS_H

#include <optional>
#include <string_view>

namespace moe {

#define MOE_ENUM_BEGIN(TYPE) enum class TYPE {
#define MOE_ENUM_CASE_AS(TYPE, NAME, TEXT) NAME,
#define MOE_ENUM_END(TYPE)                                                     \
  }                                                                            \
  ;
#include "moe-mlir/Layer/Enums.def"

/// `cases` of an enumeration of Enums.def: its enumerators, in their order.
template <typename Enum> struct LayerEnum;

template <typename Enum> struct LayerEnumCase {
  Enum value;
  const char *name;
};

#define MOE_ENUM_BEGIN(TYPE)                                                   \
  template <> struct LayerEnum<TYPE> {                                         \
    static constexpr LayerEnumCase<TYPE> cases[] = {
#define MOE_ENUM_CASE_AS(TYPE, NAME, TEXT) {TYPE::NAME, TEXT},
#define MOE_ENUM_END(TYPE)                                                     \
  }                                                                            \
  ;                                                                            \
  }                                                                            \
  ;
#include "moe-mlir/Layer/Enums.def"

/// The spelling of an enumerator in JSON and in IR, such as
/// "softmax_of_chosen".
template <typename Enum, typename = decltype(LayerEnum<Enum>::cases)>
const char *name(Enum value) {
  return LayerEnum<Enum>::cases[static_cast<size_t>(value)].name;
}

/// The enumerator of that spelling.
template <typename Enum> std::optional<Enum> parseName(std::string_view text) {
  for (const LayerEnumCase<Enum> &candidate : LayerEnum<Enum>::cases)
    if (text == candidate.name)
      return candidate.value;
  return std::nullopt;
}

} // namespace moe

#endif // MOE_MLIR_LAYER_ENUMS_H
