//===- Kernels.h - Emits and compiles CUDA kernels in tests -----*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_UNITTESTS_CODEGEN_CUDA_KERNELS_H
#define MOE_MLIR_UNITTESTS_CODEGEN_CUDA_KERNELS_H

#include "Testing/Phase.h"
#include "moe-mlir/Codegen/CUDA/CUDA.h"
#include "moe-mlir/Codegen/CUDA/Lowering.h"

#include "mlir/IR/MLIRContext.h"
#include "mlir/IR/OwningOpRef.h"
#include <functional>
#include <string>
#include <vector>

namespace moe::codegen::cuda::test {

/// A module that phases are emitted into.
class Kernels {
public:
  using Phase = std::function<llvm::LogicalResult(const Emission &,
                                                  mlir::ValueRange operands)>;
  Kernels();

  /// Adds a function with a run of one phase whose operands have these types,
  /// such as "?x64xbf16". Returns the error, or nothing.
  std::string add(const std::vector<std::string> &types, const Phase &phase);

  /// Lowers and compiles all kernels; a test fails where that does, or where
  /// ptxas spills registers or complains. Without ptxas the way ends at PTX.
  void compile();

  mlir::ModuleOp getModule() { return *module; }
  int64_t countKernels();
  /// Launches of all functions, of all sides of conditions on the host.
  int64_t countLaunches();
  /// The module as it is now.
  std::string getText();
  const std::string &getPTX() const { return ptx; }

private:
  mlir::MLIRContext context;
  mlir::OwningOpRef<mlir::ModuleOp> module;
  Target target;
  std::string ptx;
};

/// Emits one phase, an op of type OpT that is made of `arguments`.
template <typename OpT, typename... Arguments>
llvm::LogicalResult emit(const Emission &emission, Arguments &&...arguments) {
  return codegen::test::emitPhase<OpT>(getKernels(), emission,
                                       std::forward<Arguments>(arguments)...);
}

} // namespace moe::codegen::cuda::test

#endif // MOE_MLIR_UNITTESTS_CODEGEN_CUDA_KERNELS_H
