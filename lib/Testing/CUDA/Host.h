//===- Host.h - Schedules on emulated GPUs ----------------------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Executes a function whose phases are launches of CUDA kernels, op by op:
// sizes and branches of the host, temporaries, launches (see Machine.h) and
// collectives. Streams do not run beside each other: the verifier of schedules
// is what proves their order.
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_TESTING_CUDA_HOST_H
#define MOE_MLIR_TESTING_CUDA_HOST_H

#include "Machine.h"
#include "Tensor.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"

namespace moe::codegen::cuda::test {

/// Runs a function on every rank of one communicator: `arguments[r]` are the
/// operands of rank r, in order, and hold what they were written in the end.
/// The text of an error, or nothing.
std::string runOnRanks(mlir::func::FuncOp function,
                       std::vector<std::vector<Tensor *>> arguments,
                       EventOrder order);

} // namespace moe::codegen::cuda::test

#endif // MOE_MLIR_TESTING_CUDA_HOST_H
