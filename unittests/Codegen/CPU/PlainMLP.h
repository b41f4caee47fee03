//===- PlainMLP.h - An expert in double precision ---------------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_UNITTESTS_CODEGEN_CPU_PLAINMLP_H
#define MOE_MLIR_UNITTESTS_CODEGEN_CPU_PLAINMLP_H

#include "Testing/CPU/Program.h"

namespace moe::codegen::cpu::test {

/// Expert `expert` of w13 [E, 2I, H], w2 [E, H, I] (biases [E, 2I], [E, H]) on
/// one row, with the parameters that the activation has by default.
std::vector<double>
plainMLP(const std::vector<double> &row, const Tensor &w13, const Tensor &w2,
         const Tensor *b13, const Tensor *b2, int64_t expert,
         ActivationKind activation = ActivationKind::swiglu);

/// The relative Frobenius error that results may have.
double tolerance(Element element);

} // namespace moe::codegen::cpu::test

#endif // MOE_MLIR_UNITTESTS_CODEGEN_CPU_PLAINMLP_H
