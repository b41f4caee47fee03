//===- Phase.h - Emits single phases ----------------------------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_TESTING_PHASE_H
#define MOE_MLIR_TESTING_PHASE_H

#include "moe-mlir/Codegen/KernelTable.h"

#include "mlir/IR/Verifier.h"

namespace moe::codegen::test {

/// Replaces an op on buffers by the launches that a target's table has for it.
/// The op is verified first; what fails is an error at `emission.loc`.
template <typename EmissionT>
llvm::LogicalResult emitPhase(const KernelTable<EmissionT> &kernels,
                              const EmissionT &emission, mlir::Operation *op) {
  mlir::OpBuilder::InsertionGuard guard(emission.builder);
  emission.builder.setInsertionPoint(op);
  llvm::LogicalResult result = llvm::failure(
      failed(mlir::verify(op)) || failed(kernels.emit(op, emission)));
  op->erase();
  return result;
}

/// The same for an op that is made of the arguments of one of its builders,
/// behind those of its results, which it has none of.
template <typename OpT, typename EmissionT, typename... Arguments>
llvm::LogicalResult emitPhase(const KernelTable<EmissionT> &kernels,
                              const EmissionT &emission,
                              Arguments &&...arguments) {
  return emitPhase(kernels, emission,
                   OpT::create(emission.builder, emission.loc,
                               mlir::TypeRange(),
                               std::forward<Arguments>(arguments)...)
                       .getOperation());
}

} // namespace moe::codegen::test

#endif // MOE_MLIR_TESTING_PHASE_H
