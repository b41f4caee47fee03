//===- Carried.h - What loops and branches hand on --------------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A loop carries, and a branch results in, a typed state: an `Expr`, a range of
// such (`Exprs`), or a struct that says which of its members are part of it,
// each a state itself:
//
//   struct RingPosition {
//     Expr stage, parity;
//     auto fields() { return std::tie(stage, parity); }
//   };
//
// The operations of MLIR carry lists of values; this is the one place that
// knows at which position of a list a member is.
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_LIB_CODEGEN_CUDA_CARRIED_H
#define MOE_MLIR_LIB_CODEGEN_CUDA_CARRIED_H

#include "Expr.h"

#include <tuple>

namespace moe::codegen::cuda {

using Exprs = llvm::SmallVector<Expr, 4>;

/// The state of loops that only repeat something.
struct NoState {
  std::tuple<> fields() { return {}; }
};

namespace detail {
template <typename State, typename = void>
struct HasFields : std::false_type {};
template <typename State>
struct HasFields<State, std::void_t<decltype(std::declval<State &>().fields())>>
    : std::true_type {};
} // namespace detail

/// Calls `visit` with every value of a state, always in the same order.
template <typename State, typename Visit>
void forEachValue(State &state, const Visit &visit) {
  if constexpr (std::is_same_v<State, Expr>)
    visit(state);
  else if constexpr (detail::HasFields<State>::value)
    std::apply([&](auto &...members) { (forEachValue(members, visit), ...); },
               state.fields());
  else
    for (auto &element : state)
      forEachValue(element, visit);
}

/// The values of a state.
template <typename State> Exprs getValues(State state) {
  Exprs values;
  forEachValue(state, [&](Expr &value) { values.push_back(value); });
  return values;
}

/// A state like `state`, of as many values, which are these.
template <typename State>
State withValues(State state, llvm::ArrayRef<Expr> values) {
  const Expr *next = values.begin();
  forEachValue(state, [&](Expr &value) { value = *next++; });
  assert(next == values.end() && "expected as many values as the state has");
  return state;
}

} // namespace moe::codegen::cuda

#endif // MOE_MLIR_LIB_CODEGEN_CUDA_CARRIED_H
