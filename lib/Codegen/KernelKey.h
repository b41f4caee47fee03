//===- KernelKey.h - What tells kernels apart -------------------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_LIB_CODEGEN_KERNELKEY_H
#define MOE_MLIR_LIB_CODEGEN_KERNELKEY_H

#include "moe-mlir/Dialect/MoE/IR/MoE.h"

#include "llvm/ADT/bit.h"
#include "llvm/Support/raw_ostream.h"

#include <string>
#include <type_traits>

namespace moe::codegen {

/// Text that tells parameter values apart in a kernel's key; floats to the last
/// bit.
template <typename... Ts> std::string describeParameters(const Ts &...values) {
  std::string text;
  llvm::raw_string_ostream stream(text);
  auto describe = [&](const auto &value) {
    if constexpr (std::is_floating_point_v<std::decay_t<decltype(value)>>)
      stream << llvm::bit_cast<uint64_t>(static_cast<double>(value)) << ';';
    else
      stream << value << ';';
  };
  (describe(values), ...);
  return text;
}

/// Text that tells apart what attributes ask of a kernel. Of the routing that
/// is everything but what other phases do with it.
std::string describe(RoutingAttr routing);
std::string describe(ActivationAttr activation);
std::string describe(PlacementAttr placement);

} // namespace moe::codegen

#endif // MOE_MLIR_LIB_CODEGEN_KERNELKEY_H
