//===- CompileOptions.h - What a compilation can be asked for ---*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The options of CompileOptions.def as a struct, and how passes get them. To
// add one: a row there, an option of the same name of the pass that reads it
// (its default is `::moe::CompileOptions().name`), and a line in the docs.
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_SUPPORT_COMPILEOPTIONS_H
#define MOE_MLIR_SUPPORT_COMPILEOPTIONS_H

#include <cstdint>
#include <optional>
#include <string>
#include <type_traits>
#include <vector>

namespace moe {

struct CompileOptions {
#define MOE_PASS_OPTION(NAME, TYPE, DEFAULT, PIPELINE, FLAG, GROUP, VALUES,    \
                        HELP)                                                  \
  TYPE NAME = DEFAULT;
#define MOE_DRIVER_OPTION(NAME, TYPE, DEFAULT, FLAG, GROUP, VALUES, HELP)      \
  TYPE NAME = DEFAULT;
#include "moe-mlir/Support/CompileOptions.def"
};

/// The form that an option has as one of passes: those have no optional
/// numbers, and -1 stands for none.
template <typename T> T toPassOption(const T &value) { return value; }
inline int64_t toPassOption(const std::optional<int64_t> &value) {
  return value.value_or(-1);
}
template <typename T, typename PassOption>
T fromPassOption(const PassOption &value) {
  if constexpr (std::is_same_v<T, std::optional<int64_t>>)
    return value < 0 ? T() : T(value);
  else
    return value;
}

namespace detail {
/// Sets a member of `pass`, which `member` names, if there is such a one.
template <typename Pass, typename T, typename Member>
void setIfPresent(Pass &pass, const T &value, Member member) {
  if constexpr (std::is_invocable_v<Member, Pass &>)
    member(pass) = toPassOption(value);
}
} // namespace detail

/// The options of a pass, from TableGen: those that bear the name of an option
/// of the compiler have its value.
template <typename PassOptions>
PassOptions getPassOptions(const CompileOptions &options) {
  PassOptions pass;
#define MOE_PASS_OPTION(NAME, TYPE, DEFAULT, PIPELINE, FLAG, GROUP, VALUES,    \
                        HELP)                                                  \
  detail::setIfPresent(                                                        \
      pass, options.NAME,                                                      \
      [](auto &any) -> decltype((any.NAME)) { return any.NAME; });
#include "moe-mlir/Support/CompileOptions.def"
  return pass;
}

} // namespace moe

#endif // MOE_MLIR_SUPPORT_COMPILEOPTIONS_H
